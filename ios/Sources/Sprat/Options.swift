/// Choices for a whole conversation. What is nil is chosen by the engine.
public struct SessionOptions: Sendable, Equatable {
    /// Tools the model may call.
    public var tools: [Tool]
    /// Name of a built-in chat template that replaces the file's own.
    public var template: String?
    /// Whether the model is to think first; nil leaves it to the template.
    public var thinking: Bool?
    /// Tokens the conversation may take; nil for what the model was made for.
    public var contextTokens: Int?
    /// Worker threads; nil for the cores that help. The text does not depend on it.
    public var threads: Int?
    /// What happens when the conversation no longer fits the context; nil for ``WhenFull/fail``.
    public var whenFull: WhenFull?
    /// Where the random numbers of the conversation begin; nil takes a seed from the system. Replies whose options name no
    /// seed of their own go on from there, one after the other.
    public var seed: UInt64?
    /// How the cache stores the conversation; nil for ``KVFormat/f16``.
    public var kvFormat: KVFormat?
    /// Tokens of a prompt that are computed at once, up to 256. The text does not depend on it.
    public var batch: Int?
    /// Name of the instruction set that computes; nil for the best of this processor. The text does not depend on it.
    public var instructionSet: String?

    /// The commonest choices; the others are set on the value.
    public init(
        tools: [Tool] = [], template: String? = nil, thinking: Bool? = nil, contextTokens: Int? = nil, threads: Int? = nil,
        whenFull: WhenFull? = nil
    ) {
        self.tools = tools
        self.template = template
        self.thinking = thinking
        self.contextTokens = contextTokens
        self.threads = threads
        self.whenFull = whenFull
    }
}

/// What happens when the conversation no longer fits the context.
public enum WhenFull: Sendable {
    /// The turn throws ``SpratError/contextFull(usedTokens:limitTokens:)`` and changes nothing.
    case fail
    /// The model no longer sees the oldest turns: the instructions stay, whole turns are left out until half of the context
    /// is free. ``Session/transcript`` keeps everything, ``Session/messagesLeftOut`` tells how much the model does not see.
    case slide
    /// As ``slide``, but what stays is moved in the cache instead of computed anew: sooner, and approximate, for it still bears
    /// traces of what is left out; ``Reply/approximate`` says so. Models whose layers carry states or whose positions are
    /// learned refuse it with ``SpratError/invalidArgument(_:)``.
    case slideCached
}

/// How the cache stores keys and values. Fewer bits take less memory, and the text is not quite the same.
public enum KVFormat: Sendable {
    /// Half precision.
    case f16
    /// 8 bits a value, in blocks: 53 % of the memory.
    case q8_0
    /// 4 bits a value, in blocks: 28 % of the memory.
    case q4_0
}

/// Choices for one reply. What is nil is chosen by the engine; what is out of range is told by the call that uses it.
public struct GenerationOptions: Sendable, Equatable {
    /// Most tokens of the reply.
    public var maximumResponseTokens: Int?
    /// 0 always takes the likeliest token, 1 draws as the model learned, up to 100.
    public var temperature: Float?
    /// Draws from this many of the likeliest tokens; 0 from all.
    public var topK: Int?
    /// Draws from the likeliest tokens that together reach this probability, 0 to 1.
    public var topP: Float?
    /// Draws from tokens at least this fraction as likely as the likeliest, 0 to 1.
    public var minP: Float?
    /// Draws from the tokens of typical surprise that together reach this probability, 0 to 1.
    public var typicalP: Float?
    /// Divides the logits of tokens that were used lately, 0.01 to 100; 1 is off.
    public var repetitionPenalty: Float?
    /// Taken from the logit of a token for each time it was used lately, -100 to 100.
    public var frequencyPenalty: Float?
    /// Taken from the logit of a token that was used lately, -100 to 100.
    public var presencePenalty: Float?
    /// How many of the last tokens count as lately.
    public var penaltyWindow: Int?
    /// Added to the logits of these tokens; minus infinity forbids one.
    public var logitBias: [Int: Float] = [:]
    /// Where the random numbers begin: the same seed gives the same text.
    public var seed: UInt64?
    /// Texts that end the reply; they are not part of it.
    public var stop: [String] = []
    /// Whether ``Session/stop()`` keeps what was written so far as the reply, instead of undoing the turn.
    public var keepPartial = false
    /// Whether tokens may be guessed from what was said and checked several at once, which is sooner where a reply repeats
    /// something; nil for yes. The text does not depend on it.
    public var guess: Bool?
    /// For tests and measurements: the tokens that are chosen first, whatever the model says.
    public var forced: [Int] = []

    /// The commonest choices; the others are set on the value.
    public init(
        maximumResponseTokens: Int? = nil, temperature: Float? = nil, seed: UInt64? = nil, stop: [String] = []
    ) {
        self.maximumResponseTokens = maximumResponseTokens
        self.temperature = temperature
        self.seed = seed
        self.stop = stop
    }
}
