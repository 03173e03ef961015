package dev.sprat

/** What [Session.stream] brings. */
public sealed interface Event {
    /** A piece of the answer: whole characters. */
    public class Text(
        /** The piece. */
        public val text: String,
    ) : Event

    /** A piece of the model's thoughts. */
    public class Thinking(
        /** The piece. */
        public val text: String,
    ) : Event

    /** The model wants a tool called. */
    public class ToolCalled(
        /** Which, and with what. */
        public val call: ToolCall,
    ) : Event

    /** What began like a call but is none; it stays part of the answer in the transcript. */
    public class ToolCallFailed(
        /** What the model wrote. */
        public val text: String,
        /** What is wrong with it. */
        public val reason: String,
    ) : Event

    /** The last event: the turn is part of the conversation now. */
    public class Done(
        /** All of it. */
        public val reply: Reply,
    ) : Event
}

/** Why a reply ended. */
public enum class StopReason {
    /** The model ended its turn. */
    EndOfTurn,

    /** A stop string appeared; it is not part of the reply. */
    StopString,

    /** The reply has as many tokens as were allowed. */
    MaxTokens,

    /** It was stopped, and the options say to keep what there was. */
    Stopped,
}

/** What a turn that did not come to its end had written. */
public class Partial(
    /** The answer so far. */
    public val text: String,
    /** The thoughts so far. */
    public val thinking: String = "",
)

/** A finished reply. */
public class Reply(
    /** The whole answer, without thoughts and calls. */
    public val text: String,
    /** Why it ended. */
    public val stopReason: StopReason = StopReason.EndOfTurn,
    /** The model's thoughts before the answer, if it thinks. */
    public val thinking: String = "",
    /** The tools it wants called, in order; answer them with [Input.ToolResults]. */
    public val toolCalls: List<ToolCall> = emptyList(),
    /** Tokens of the prompt, the conversation so far included. */
    public val promptTokens: Int = 0,
    /** How many of them were in the cache already. */
    public val cachedTokens: Int = 0,
    /** Tokens of the reply. */
    public val generatedTokens: Int = 0,
    /** How many of them were guessed right and checked together with others. */
    public val guessedTokens: Int = 0,
    /** Messages of the transcript, from the first after the instructions on, that the model sees no more. */
    public val messagesLeftOut: Int = 0,
    /** Whether it rests on a cache that is only near what computing the conversation gives: see [WhenFull.SlideCached]. */
    public val approximate: Boolean = false,
    /** From the call to the first token, in milliseconds. */
    public val firstTokenMs: Double = 0.0,
    /** Tokens per second after the first. */
    public val tokensPerSecond: Double = 0.0,
    /** Tokens of the turn that the CPU computed, prompt and reply. */
    public val cpuTokens: Int = 0,
    /** Tokens of the turn that the GPU computed. */
    public val gpuTokens: Int = 0,
    /** The slowest pace of the turn: what heat, battery, background or memory held it back to. */
    public val slowestPace: Pace = Pace.Full,
    /** How long the turn was paused, in milliseconds. */
    public val pausedMs: Long = 0,
    /** Memory at the end of the turn. */
    public val memory: Memory = Memory(0, 0, 0, 0, 0, 0),
) {
    /** Without the text, which has no place in a log. */
    override fun toString(): String =
        "Reply(stopReason=$stopReason, generatedTokens=$generatedTokens, tokensPerSecond=$tokensPerSecond)"
}
