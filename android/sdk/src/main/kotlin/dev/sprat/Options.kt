package dev.sprat

/**
 * Choices for a whole conversation: `SessionOptions { instructions = "Answer briefly." }`. What is not set is chosen by the
 * engine.
 */
public class SessionOptions(build: Builder.() -> Unit = {}) {
    private val chosen = Builder().apply(build)

    /** The system message, if any. */
    public val instructions: String? = chosen.instructions

    /** Tools the model may call. */
    public val tools: List<Tool> = chosen.tools.toList()

    /** Name of a built-in chat template that replaces the file's own. */
    public val template: String? = chosen.template

    /** Whether the model is to think first; null leaves it to the template. */
    public val thinking: Boolean? = chosen.thinking

    /** Tokens the conversation may take; null for what the model was made for. */
    public val contextTokens: Int? = chosen.contextTokens

    /** What happens when the conversation no longer fits the context; null for [WhenFull.Fail]. */
    public val whenFull: WhenFull? = chosen.whenFull

    /**
     * Where the random numbers of the conversation begin; null takes a seed from the system. Replies whose options name no
     * seed of their own go on from there, one after the other.
     */
    public val seed: Long? = chosen.seed

    /** How the cache stores the conversation; null for [KvFormat.F16]. */
    public val kvFormat: KvFormat? = chosen.kvFormat

    /** Worker threads; null for the cores that help. The text does not depend on it. */
    public val threads: Int? = chosen.threads

    /** Tokens of a prompt that are computed at once, up to 256. The text does not depend on it. */
    public val batch: Int? = chosen.batch

    /** Name of the instruction set that computes; null for the best of this processor. The text does not depend on it. */
    public val instructionSet: String? = chosen.instructionSet

    /** Sets what [SessionOptions] holds. */
    public class Builder internal constructor() {
        /** See [SessionOptions.instructions]. */
        public var instructions: String? = null

        /** See [SessionOptions.tools]. */
        public var tools: List<Tool> = emptyList()

        /** See [SessionOptions.template]. */
        public var template: String? = null

        /** See [SessionOptions.thinking]. */
        public var thinking: Boolean? = null

        /** See [SessionOptions.contextTokens]. */
        public var contextTokens: Int? = null

        /** See [SessionOptions.whenFull]. */
        public var whenFull: WhenFull? = null

        /** See [SessionOptions.seed]. */
        public var seed: Long? = null

        /** See [SessionOptions.kvFormat]. */
        public var kvFormat: KvFormat? = null

        /** See [SessionOptions.threads]. */
        public var threads: Int? = null

        /** See [SessionOptions.batch]. */
        public var batch: Int? = null

        /** See [SessionOptions.instructionSet]. */
        public var instructionSet: String? = null
    }
}

/** What happens when the conversation no longer fits the context. */
public enum class WhenFull {
    /** The turn throws [SpratException.ContextFull] and changes nothing. */
    Fail,

    /**
     * The model no longer sees the oldest turns: the instructions stay, whole turns are left out until half of the context is
     * free. [Session.transcript] keeps everything, [Session.messagesLeftOut] tells how much the model does not see.
     */
    Slide,

    /**
     * As [Slide], but what stays is moved in the cache instead of computed anew: sooner, and approximate, for it still bears
     * traces of what is left out; [Reply.approximate] says so. Models whose layers carry states or whose positions are
     * learned refuse it with [SpratException.InvalidArgument].
     */
    SlideCached,
}

/** How the cache stores keys and values. Fewer bits take less memory, and the text is not quite the same. */
public enum class KvFormat {
    /** Half precision. */
    F16,

    /** 8 bits a value, in blocks: 53 % of the memory. */
    Q8_0,

    /** 4 bits a value, in blocks: 28 % of the memory. */
    Q4_0,
}

/**
 * Choices for one reply: `GenerationOptions { maxTokens = 200; temperature = 0f }`. What is not set is chosen by the engine;
 * what is out of range is told by the call that uses it.
 */
public class GenerationOptions(build: Builder.() -> Unit = {}) {
    private val chosen = Builder().apply(build)

    /** Most tokens of the reply. */
    public val maxTokens: Int? = chosen.maxTokens

    /** 0 always takes the likeliest token, 1 draws as the model learned, up to 100. */
    public val temperature: Float? = chosen.temperature

    /** Draws from this many of the likeliest tokens; 0 from all. */
    public val topK: Int? = chosen.topK

    /** Draws from the likeliest tokens that together reach this probability, 0 to 1. */
    public val topP: Float? = chosen.topP

    /** Draws from tokens at least this fraction as likely as the likeliest, 0 to 1. */
    public val minP: Float? = chosen.minP

    /** Draws from the tokens of typical surprise that together reach this probability, 0 to 1. */
    public val typicalP: Float? = chosen.typicalP

    /** Divides the logits of tokens that were used lately, 0.01 to 100; 1 is off. */
    public val repetitionPenalty: Float? = chosen.repetitionPenalty

    /** Taken from the logit of a token for each time it was used lately, -100 to 100. */
    public val frequencyPenalty: Float? = chosen.frequencyPenalty

    /** Taken from the logit of a token that was used lately, -100 to 100. */
    public val presencePenalty: Float? = chosen.presencePenalty

    /** How many of the last tokens count as lately. */
    public val penaltyWindow: Int? = chosen.penaltyWindow

    /** Added to the logits of these tokens; minus infinity forbids one. */
    public val logitBias: Map<Int, Float> = chosen.logitBias.toMap()

    /** Where the random numbers begin: the same seed gives the same text. */
    public val seed: Long? = chosen.seed

    /** Texts that end the reply; they are not part of it. */
    public val stop: List<String> = chosen.stop.toList()

    /** Whether [Session.stop] keeps what was written so far as the reply, instead of undoing the turn. */
    public val keepPartial: Boolean = chosen.keepPartial

    /**
     * Whether tokens may be guessed from what was said and checked several at once, which is sooner where a reply repeats
     * something; null for yes. The text does not depend on it.
     */
    public val guess: Boolean? = chosen.guess

    /** For tests and measurements: the tokens that are chosen first, whatever the model says. */
    public val forced: List<Int> = chosen.forced.toList()

    /** Sets what [GenerationOptions] holds. */
    public class Builder internal constructor() {
        /** See [GenerationOptions.maxTokens]. */
        public var maxTokens: Int? = null

        /** See [GenerationOptions.temperature]. */
        public var temperature: Float? = null

        /** See [GenerationOptions.topK]. */
        public var topK: Int? = null

        /** See [GenerationOptions.topP]. */
        public var topP: Float? = null

        /** See [GenerationOptions.minP]. */
        public var minP: Float? = null

        /** See [GenerationOptions.typicalP]. */
        public var typicalP: Float? = null

        /** See [GenerationOptions.repetitionPenalty]. */
        public var repetitionPenalty: Float? = null

        /** See [GenerationOptions.frequencyPenalty]. */
        public var frequencyPenalty: Float? = null

        /** See [GenerationOptions.presencePenalty]. */
        public var presencePenalty: Float? = null

        /** See [GenerationOptions.penaltyWindow]. */
        public var penaltyWindow: Int? = null

        /** See [GenerationOptions.logitBias]. */
        public var logitBias: Map<Int, Float> = emptyMap()

        /** See [GenerationOptions.seed]. */
        public var seed: Long? = null

        /** See [GenerationOptions.stop]. */
        public var stop: List<String> = emptyList()

        /** See [GenerationOptions.keepPartial]. */
        public var keepPartial: Boolean = false

        /** See [GenerationOptions.guess]. */
        public var guess: Boolean? = null

        /** See [GenerationOptions.forced]. */
        public var forced: List<Int> = emptyList()
    }
}
