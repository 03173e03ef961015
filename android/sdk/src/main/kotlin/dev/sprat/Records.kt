package dev.sprat

import dev.sprat.ffi.LogitBias

// Between the public classes and the generated ones: `lifted` comes out of the library, `lowered` goes in.

internal fun dev.sprat.ffi.Event.lifted(): Event = when (this) {
    is dev.sprat.ffi.Event.Text -> Event.Text(text)
    is dev.sprat.ffi.Event.Thinking -> Event.Thinking(text)
    is dev.sprat.ffi.Event.ToolCall -> Event.ToolCalled(call.lifted())
    is dev.sprat.ffi.Event.ToolCallFailed -> Event.ToolCallFailed(text, reason)
    is dev.sprat.ffi.Event.Done -> Event.Done(reply.lifted())
}

internal fun dev.sprat.ffi.Reply.lifted(): Reply = Reply(
    text = text,
    stopReason = stop.lifted(),
    thinking = thinking,
    toolCalls = toolCalls.map { it.lifted() },
    promptTokens = promptTokens.toInt(),
    cachedTokens = cachedTokens.toInt(),
    generatedTokens = generatedTokens.toInt(),
    firstTokenMs = firstTokenMs,
    tokensPerSecond = tokensPerS,
    memory = memory.lifted(),
)

private fun dev.sprat.ffi.StopReason.lifted(): StopReason = when (this) {
    dev.sprat.ffi.StopReason.END_OF_TURN -> StopReason.EndOfTurn
    dev.sprat.ffi.StopReason.STOP_STRING -> StopReason.StopString
    dev.sprat.ffi.StopReason.MAX_TOKENS -> StopReason.MaxTokens
    dev.sprat.ffi.StopReason.STOPPED -> StopReason.Stopped
}

internal fun dev.sprat.ffi.Memory.lifted(): Memory =
    Memory(mapped.toLong(), resident.toLong(), kv.toLong(), scratch.toLong())

internal fun dev.sprat.ffi.ModelInfo.lifted(): ModelInfo = ModelInfo(
    name = name,
    family = family,
    template = template,
    contextTokens = contextTokens.toInt(),
    fileBytes = fileBytes.toLong(),
    bytesPerToken = bytesPerToken.toLong(),
    kvBytesPerToken = kvBytesPerToken.toLong(),
)

internal fun dev.sprat.ffi.Message.lifted(): Message =
    Message(role.lifted(), content, thinking, toolCalls.map { it.lifted() }, name, toolCallId)

internal fun Message.lowered(): dev.sprat.ffi.Message =
    dev.sprat.ffi.Message(role.lowered(), content, thinking, toolCalls.map { it.lowered() }, name, toolCallId)

private fun dev.sprat.ffi.Role.lifted(): Role = when (this) {
    dev.sprat.ffi.Role.SYSTEM -> Role.System
    dev.sprat.ffi.Role.USER -> Role.User
    dev.sprat.ffi.Role.ASSISTANT -> Role.Assistant
    dev.sprat.ffi.Role.TOOL -> Role.Tool
}

private fun Role.lowered(): dev.sprat.ffi.Role = when (this) {
    Role.System -> dev.sprat.ffi.Role.SYSTEM
    Role.User -> dev.sprat.ffi.Role.USER
    Role.Assistant -> dev.sprat.ffi.Role.ASSISTANT
    Role.Tool -> dev.sprat.ffi.Role.TOOL
}

private fun dev.sprat.ffi.ToolCall.lifted(): ToolCall = ToolCall(id, name, argumentsJson)

private fun ToolCall.lowered() = dev.sprat.ffi.ToolCall(id, name, argumentsJson)

internal fun Tool.lowered(): dev.sprat.ffi.Tool = dev.sprat.ffi.Tool(name, description, parametersJson)

internal fun Input.lowered(): dev.sprat.ffi.Input = when (this) {
    is Input.Text -> dev.sprat.ffi.Input.Text(text)
    is Input.ToolResults ->
        dev.sprat.ffi.Input.ToolResults(results.map { dev.sprat.ffi.ToolResult(it.name, it.callId, it.content) })
    Input.Regenerate -> dev.sprat.ffi.Input.Regenerate
    is Input.Edit -> dev.sprat.ffi.Input.Edit(unsigned("index", index), text)
}

internal fun SessionOptions.lowered(): dev.sprat.ffi.SessionOptions = dev.sprat.ffi.SessionOptions(
    instructions = instructions,
    tools = tools.map { it.lowered() },
    template = template,
    thinking = thinking,
    contextTokens = contextTokens?.let { unsigned("contextTokens", it) },
    threads = threads?.let { unsigned("threads", it) },
)

internal fun GenerationOptions.lowered(): dev.sprat.ffi.GenerationOptions = dev.sprat.ffi.GenerationOptions(
    maxTokens = maxTokens?.let { unsigned("maxTokens", it) },
    temperature = temperature,
    topK = topK?.let { unsigned("topK", it) },
    topP = topP,
    minP = minP,
    typicalP = typicalP,
    repetitionPenalty = repetitionPenalty,
    frequencyPenalty = frequencyPenalty,
    presencePenalty = presencePenalty,
    penaltyWindow = penaltyWindow?.let { unsigned("penaltyWindow", it) },
    logitBias = logitBias.map { (token, bias) -> LogitBias(unsigned("logitBias", token), bias) },
    seed = seed?.toULong(),
    stop = stop,
    keepPartial = keepPartial,
)

/** The library's numbers have no sign; a negative one is refused here, where its name is known. */
private fun unsigned(name: String, value: Int): UInt = unsigned(name, value.toLong()).toUInt()

internal fun unsigned(name: String, value: Long): ULong =
    if (value >= 0) value.toULong() else throw SpratException.InvalidArgument("$name: $value is negative", null)
