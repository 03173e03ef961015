internal import SpratBindings

// What an app chooses, as the generated types that go into the library.

extension ModelSource {
    var lowered: SpratBindings.Source {
        switch self {
        case .file(let url): .path(path: url.path)
        case .descriptor(let descriptor, let offsetBytes, let lengthBytes):
            .descriptor(descriptor: descriptor, offsetBytes: offsetBytes, lenBytes: lengthBytes)
        case .parts(let parts): .parts(parts: parts.map(\.lowered))
        }
    }
}

extension OpenOptions {
    func lowered() throws(SpratError) -> SpratBindings.OpenOptions {
        SpratBindings.OpenOptions(
            template: template?.lowered,
            maxAnonymousBytes: try unsigned64("maximumAnonymousBytes", maximumAnonymousBytes),
            backend: backend?.lowered)
    }
}

extension Backend {
    fileprivate var lowered: SpratBindings.Backend {
        switch self {
        case .auto: .auto
        case .cpu: .cpu
        case .gpu: .gpu
        }
    }
}

extension TemplateChoice {
    fileprivate var lowered: SpratBindings.TemplateChoice {
        switch self {
        case .builtin(let name): .builtin(name: name)
        case .text(let text): .text(text: text)
        }
    }
}

extension SessionOptions {
    func lowered(_ instructions: String?) throws(SpratError) -> SpratBindings.SessionOptions {
        SpratBindings.SessionOptions(
            instructions: instructions, tools: tools.map(\.lowered), template: template, thinking: thinking,
            whenFull: whenFull?.lowered, seed: seed, contextTokens: try unsigned("contextTokens", contextTokens),
            threads: try unsigned("threads", threads), batch: try unsigned("batch", batch),
            kvFormat: kvFormat?.lowered, instructionSet: instructionSet)
    }
}

extension WhenFull {
    fileprivate var lowered: SpratBindings.WhenFull {
        switch self {
        case .fail: .fail
        case .slide: .slide
        case .slideCached: .slideCached
        }
    }
}

extension KVFormat {
    var lowered: SpratBindings.KvFormat {
        switch self {
        case .f16: .f16
        case .q8_0: .q80
        case .q4_0: .q40
        }
    }
}

extension Trim {
    var lowered: SpratBindings.Trim {
        switch self {
        case .buffers: .buffers
        case .cache: .cache
        case .pages: .pages
        }
    }
}

extension GenerationOptions {
    func lowered() throws(SpratError) -> SpratBindings.GenerationOptions {
        var biases: [LogitBias] = []
        for (token, bias) in logitBias {
            biases.append(LogitBias(token: try unsigned("logitBias", token) ?? 0, bias: bias))
        }
        var tokens: [UInt32] = []
        for token in forced { tokens.append(try unsigned("forced", token) ?? 0) }
        return SpratBindings.GenerationOptions(
            maxTokens: try unsigned("maximumResponseTokens", maximumResponseTokens), temperature: temperature,
            topK: try unsigned("topK", topK), topP: topP, minP: minP, typicalP: typicalP,
            repetitionPenalty: repetitionPenalty, frequencyPenalty: frequencyPenalty, presencePenalty: presencePenalty,
            penaltyWindow: try unsigned("penaltyWindow", penaltyWindow), logitBias: biases, seed: seed, stop: stop,
            keepPartial: keepPartial, guess: guess, forced: tokens)
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

func unsigned64(_ name: String, _ value: Int?) throws(SpratError) -> UInt64? {
    guard let value else { return nil }
    guard let lowered = UInt64(exactly: value) else { throw .invalidArgument("\(name): \(value) is negative") }
    return lowered
}
