internal import SpratBindings

// Between the public types and the generated ones: `lifted` comes out of the library, `lowered` goes in.

extension SpratBindings.Event {
    var lifted: Event {
        switch self {
        case .text(let text): .text(text)
        case .thinking(let text): .thinking(text)
        case .toolCall(let call): .toolCall(call.lifted)
        case .toolCallFailed(let text, let reason): .toolCallFailed(text: text, reason: reason)
        case .done(let reply): .done(reply.lifted)
        }
    }
}

extension SpratBindings.Reply {
    var lifted: Reply {
        Reply(
            text: text, stopReason: stop.lifted, thinking: thinking, toolCalls: toolCalls.map(\.lifted),
            promptTokens: Int(promptTokens), cachedTokens: Int(cachedTokens), generatedTokens: Int(generatedTokens),
            firstTokenMs: firstTokenMs, tokensPerSecond: tokensPerS, memory: memory.lifted)
    }
}

extension SpratBindings.StopReason {
    var lifted: StopReason {
        switch self {
        case .endOfTurn: .endOfTurn
        case .stopString: .stopString
        case .maxTokens: .maxTokens
        case .stopped: .stopped
        }
    }
}

extension SpratBindings.Memory {
    var lifted: Memory {
        Memory(mapped: Int64(mapped), resident: Int64(resident), kv: Int64(kv), scratch: Int64(scratch))
    }
}

extension SpratBindings.Message {
    var lifted: Message {
        var message = Message(role: role.lifted, content: content)
        message.thinking = thinking
        message.toolCalls = toolCalls.map(\.lifted)
        message.name = name
        message.toolCallID = toolCallId
        return message
    }
}

extension Message {
    var lowered: SpratBindings.Message {
        SpratBindings.Message(
            role: role.lowered, content: content, thinking: thinking, toolCalls: toolCalls.map(\.lowered), name: name,
            toolCallId: toolCallID)
    }
}

extension SpratBindings.Role {
    var lifted: Role {
        switch self {
        case .system: .system
        case .user: .user
        case .assistant: .assistant
        case .tool: .tool
        }
    }
}

extension Role {
    var lowered: SpratBindings.Role {
        switch self {
        case .system: .system
        case .user: .user
        case .assistant: .assistant
        case .tool: .tool
        }
    }
}

extension SpratBindings.ToolCall {
    var lifted: ToolCall {
        ToolCall(id: id, name: name, argumentsJSON: argumentsJson)
    }
}

extension ToolCall {
    var lowered: SpratBindings.ToolCall {
        SpratBindings.ToolCall(id: id, name: name, argumentsJson: argumentsJSON)
    }
}

extension Tool {
    var lowered: SpratBindings.Tool {
        SpratBindings.Tool(name: name, description: description, parametersJson: parametersJSON)
    }
}

extension Input {
    func lowered() throws(SpratError) -> SpratBindings.Input {
        switch self {
        case .text(let text): .text(text: text)
        case .toolResults(let results):
            .toolResults(
                results: results.map {
                    SpratBindings.ToolResult(name: $0.name, callId: $0.callID, content: $0.content)
                })
        case .regenerate: .regenerate
        case .edit(let index, let text): .edit(index: try unsigned("index", index) ?? 0, text: text)
        }
    }
}

extension GenerationOptions {
    func lowered() throws(SpratError) -> SpratBindings.GenerationOptions {
        var biases: [LogitBias] = []
        for (token, bias) in logitBias {
            biases.append(LogitBias(token: try unsigned("logitBias", token) ?? 0, bias: bias))
        }
        return SpratBindings.GenerationOptions(
            maxTokens: try unsigned("maximumResponseTokens", maximumResponseTokens), temperature: temperature,
            topK: try unsigned("topK", topK), topP: topP, minP: minP, typicalP: typicalP,
            repetitionPenalty: repetitionPenalty, frequencyPenalty: frequencyPenalty, presencePenalty: presencePenalty,
            penaltyWindow: try unsigned("penaltyWindow", penaltyWindow), logitBias: biases, seed: seed, stop: stop,
            keepPartial: keepPartial)
    }
}

/// The library's numbers have no sign and 32 bits; another is refused here, where its name is known.
func unsigned(_ name: String, _ value: Int?) throws(SpratError) -> UInt32? {
    guard let value else { return nil }
    guard let lowered = UInt32(exactly: value) else {
        throw .invalidArgument("\(name): \(value) is outside 0...\(UInt32.max)")
    }
    return lowered
}
