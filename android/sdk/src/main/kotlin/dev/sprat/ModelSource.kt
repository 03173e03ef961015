package dev.sprat

/** Where a model's bytes are. */
public sealed interface ModelSource {
    /** A file; that of any part of a split model (`NAME-00001-of-00003.gguf`) finds the others beside it. */
    public class Path(
        /** The file's path. */
        public val path: String,
    ) : ModelSource

    /** A part of an open file. The descriptor stays the caller's, who may close it afterwards. */
    public class Descriptor(
        /** The descriptor's number. */
        public val descriptor: Int,
        /** Where the model begins, a multiple of 4. */
        public val offsetBytes: Long,
        /** How long it is. */
        public val lengthBytes: Long,
    ) : ModelSource

    /** The parts of a split model. */
    public class Parts(
        /** Paths or descriptors, in the parts' order. */
        public val parts: List<ModelSource>,
    ) : ModelSource
}

/** Choices when a model is opened: `OpenOptions { maxAnonymousBytes = 400_000_000 }`. */
public class OpenOptions(build: Builder.() -> Unit = {}) {
    private val chosen = Builder().apply(build)

    /** The chat template; null for the file's own, or the built-in one for its kind. */
    public val template: TemplateChoice? = chosen.template

    /**
     * Bytes that all sessions of the model together may allocate for caches and buffers; null for no limit. What would exceed
     * it throws [SpratException.OutOfMemory] before it is there. The mapped file does not count.
     */
    public val maxAnonymousBytes: Long? = chosen.maxAnonymousBytes

    /** What computes; null for the engine's choice. */
    public val backend: Backend? = chosen.backend

    /** Sets what [OpenOptions] holds. */
    public class Builder internal constructor() {
        /** See [OpenOptions.template]. */
        public var template: TemplateChoice? = null

        /** See [OpenOptions.maxAnonymousBytes]. */
        public var maxAnonymousBytes: Long? = null

        /** See [OpenOptions.backend]. */
        public var backend: Backend? = null
    }
}

/** What computes. The text is the same wherever the two likeliest tokens were not nearly alike. */
public enum class Backend {
    /** The GPU reads prompts and writes where it is faster; the CPU does what it cannot: on Android everything. */
    Auto,

    /** The CPU. */
    Cpu,

    /**
     * The GPU, and the CPU where it refuses and in the background. Opening throws [SpratException.Unsupported] where there is
     * none for the model, as on Android.
     */
    Gpu,
}

/** A chat template in place of the file's own, which is then not even looked at. */
public sealed interface TemplateChoice {
    /** A built-in one. */
    public class Builtin(
        /** Its name, such as `chatml`. */
        public val name: String,
    ) : TemplateChoice

    /** The text of one. */
    public class Text(
        /** In Jinja, as Hugging Face has them. */
        public val text: String,
    ) : TemplateChoice
}

/** What a model's header tells before the model is opened, or even downloaded. */
public class Probe(
    /** Its name, or empty. */
    public val name: String,
    /** Its family, such as `llama`. */
    public val family: String,
    /** Size of the whole file, in bytes. */
    public val fileBytes: Long,
    /** Size of the header, which is all that was looked at. */
    public val headerBytes: Long,
    /** Tokens of context it was made for. */
    public val contextTokens: Int,
    /** Bytes of KV cache that each token of a conversation takes, stored as [KvFormat.F16]. */
    public val kvBytesPerToken: Long,
    /** Bytes of weights that one token reads: no more tokens a second than memory brings of these. */
    public val bytesPerToken: Long,
) {
    override fun toString(): String = "Probe(name=$name, family=$family, fileBytes=$fileBytes, contextTokens=$contextTokens)"
}
