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
            guessedTokens: Int(guessedTokens), messagesLeftOut: Int(messagesLeftOut),
            approximate: approximate, firstTokenMs: firstTokenMs, tokensPerSecond: tokensPerS,
            cpuTokens: Int(cpuTokens), gpuTokens: Int(gpuTokens), slowestPace: restraint.slowest.lifted,
            pausedMs: Int(restraint.pausedMs), memory: memory.lifted)
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
        Memory(
            mapped: Int64(mapped), resident: Int64(resident), kv: Int64(kv), scratch: Int64(scratch),
            allocated: Int64(allocated), anonymous: Int64(anonymous))
    }
}

extension SpratBindings.Probe {
    var lifted: Probe {
        Probe(
            name: name, family: family, fileBytes: Int64(fileBytes), headerBytes: Int64(headerBytes),
            contextTokens: Int(contextTokens), kvBytesPerToken: Int64(kvBytesPerToken),
            bytesPerToken: Int64(bytesPerToken))
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
