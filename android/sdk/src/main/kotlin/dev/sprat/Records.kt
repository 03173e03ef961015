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
    guessedTokens = guessedTokens.toInt(),
    messagesLeftOut = messagesLeftOut.toInt(),
    approximate = approximate,
    firstTokenMs = firstTokenMs,
    tokensPerSecond = tokensPerS,
    cpuTokens = cpuTokens.toInt(),
    gpuTokens = gpuTokens.toInt(),
    slowestPace = restraint.slowest.lifted(),
    pausedMs = restraint.pausedMs.toLong(),
    memory = memory.lifted(),
)

private fun dev.sprat.ffi.StopReason.lifted(): StopReason = when (this) {
    dev.sprat.ffi.StopReason.END_OF_TURN -> StopReason.EndOfTurn
    dev.sprat.ffi.StopReason.STOP_STRING -> StopReason.StopString
    dev.sprat.ffi.StopReason.MAX_TOKENS -> StopReason.MaxTokens
    dev.sprat.ffi.StopReason.STOPPED -> StopReason.Stopped
}

internal fun dev.sprat.ffi.Memory.lifted(): Memory =
    Memory(mapped.toLong(), resident.toLong(), kv.toLong(), scratch.toLong(), allocated.toLong(), anonymous.toLong())

internal fun Trim.lowered(): dev.sprat.ffi.Trim = when (this) {
    Trim.Buffers -> dev.sprat.ffi.Trim.BUFFERS
    Trim.Cache -> dev.sprat.ffi.Trim.CACHE
    Trim.Pages -> dev.sprat.ffi.Trim.PAGES
}

internal fun dev.sprat.ffi.Pace.lifted(): Pace = when (this) {
    dev.sprat.ffi.Pace.FULL -> Pace.Full
    dev.sprat.ffi.Pace.EASED -> Pace.Eased
    dev.sprat.ffi.Pace.SLOW -> Pace.Slow
    dev.sprat.ffi.Pace.PAUSED -> Pace.Paused
}

internal fun Conditions.lowered(): dev.sprat.ffi.Conditions =
    dev.sprat.ffi.Conditions(thermal.lowered(), batterySaver, background, memory.lowered())

private fun Thermal.lowered(): dev.sprat.ffi.Thermal = when (this) {
    Thermal.Nominal -> dev.sprat.ffi.Thermal.NOMINAL
    Thermal.Fair -> dev.sprat.ffi.Thermal.FAIR
    Thermal.Serious -> dev.sprat.ffi.Thermal.SERIOUS
    Thermal.Critical -> dev.sprat.ffi.Thermal.CRITICAL
}

private fun MemoryPressure.lowered(): dev.sprat.ffi.MemoryPressure = when (this) {
    MemoryPressure.Normal -> dev.sprat.ffi.MemoryPressure.NORMAL
    MemoryPressure.Low -> dev.sprat.ffi.MemoryPressure.LOW
    MemoryPressure.Critical -> dev.sprat.ffi.MemoryPressure.CRITICAL
}

internal fun dev.sprat.ffi.ModelInfo.lifted(): ModelInfo = ModelInfo(
    name = name,
    family = family,
    template = template,
    contextTokens = contextTokens.toInt(),
    fileBytes = fileBytes.toLong(),
    bytesPerToken = bytesPerToken.toLong(),
    kvBytesPerToken = kvBytesPerToken.toLong(),
    parts = parts.toInt(),
    unusedTensors = unusedTensors,
    gpuFault = gpuFault,
)

internal fun dev.sprat.ffi.Device.lifted(): Device = Device(instructionSets, threads.toInt())

internal fun dev.sprat.ffi.Probe.lifted(): Probe = Probe(
    name = name,
    family = family,
    fileBytes = fileBytes.toLong(),
    headerBytes = headerBytes.toLong(),
    contextTokens = contextTokens.toInt(),
    kvBytesPerToken = kvBytesPerToken.toLong(),
    bytesPerToken = bytesPerToken.toLong(),
)

internal fun ModelSource.lowered(): dev.sprat.ffi.Source = when (this) {
    is ModelSource.Path -> dev.sprat.ffi.Source.Path(path)
    is ModelSource.Descriptor -> dev.sprat.ffi.Source.Descriptor(
        descriptor,
        unsigned("offsetBytes", offsetBytes),
        unsigned("lengthBytes", lengthBytes),
    )
    is ModelSource.Parts -> dev.sprat.ffi.Source.Parts(parts.map { it.lowered() })
}

internal fun OpenOptions.lowered(): dev.sprat.ffi.OpenOptions = dev.sprat.ffi.OpenOptions(
    template = template?.lowered(),
    maxAnonymousBytes = maxAnonymousBytes?.let { unsigned("maxAnonymousBytes", it) },
    backend = backend?.lowered(),
)

private fun Backend.lowered(): dev.sprat.ffi.Backend = when (this) {
    Backend.Auto -> dev.sprat.ffi.Backend.AUTO
    Backend.Cpu -> dev.sprat.ffi.Backend.CPU
    Backend.Gpu -> dev.sprat.ffi.Backend.GPU
}

private fun TemplateChoice.lowered(): dev.sprat.ffi.TemplateChoice = when (this) {
    is TemplateChoice.Builtin -> dev.sprat.ffi.TemplateChoice.Builtin(name)
    is TemplateChoice.Text -> dev.sprat.ffi.TemplateChoice.Text(text)
}

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
    whenFull = whenFull?.lowered(),
    seed = seed?.toULong(),
    contextTokens = contextTokens?.let { unsigned("contextTokens", it) },
    threads = threads?.let { unsigned("threads", it) },
    batch = batch?.let { unsigned("batch", it) },
    kvFormat = kvFormat?.lowered(),
    instructionSet = instructionSet,
)

private fun WhenFull.lowered(): dev.sprat.ffi.WhenFull = when (this) {
    WhenFull.Fail -> dev.sprat.ffi.WhenFull.FAIL
    WhenFull.Slide -> dev.sprat.ffi.WhenFull.SLIDE
    WhenFull.SlideCached -> dev.sprat.ffi.WhenFull.SLIDE_CACHED
}

internal fun KvFormat.lowered(): dev.sprat.ffi.KvFormat = when (this) {
    KvFormat.F16 -> dev.sprat.ffi.KvFormat.F16
    KvFormat.Q8_0 -> dev.sprat.ffi.KvFormat.Q8_0
    KvFormat.Q4_0 -> dev.sprat.ffi.KvFormat.Q4_0
}

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
    guess = guess,
    forced = forced.map { unsigned("forced", it) },
)

/** The library's numbers have no sign; a negative one is refused here, where its name is known. */
private fun unsigned(name: String, value: Int): UInt = unsigned(name, value.toLong()).toUInt()

internal fun unsigned(name: String, value: Long): ULong =
    if (value >= 0) value.toULong() else throw SpratException.InvalidArgument("$name: $value is negative", null)
