import Foundation

/// Where a model's bytes are.
public enum ModelSource: Sendable, Equatable {
    /// A file; that of any part of a split model (`NAME-00001-of-00003.gguf`) finds the others beside it.
    case file(URL)
    /// A part of an open file, from `offsetBytes`, a multiple of 4. The descriptor stays the caller's, who may close it
    /// afterwards.
    case descriptor(Int32, offsetBytes: UInt64, lengthBytes: UInt64)
    /// The parts of a split model, in their order.
    case parts([ModelSource])
}

/// Choices when a model is opened. What is nil is chosen by the engine.
public struct OpenOptions: Sendable, Equatable {
    /// The chat template; nil for the file's own, or the built-in one for its kind.
    public var template: TemplateChoice?
    /// Bytes that all sessions of the model together may allocate for caches and buffers; nil for no limit. What would exceed
    /// it throws ``SpratError/outOfMemory(bytes:)`` before it is there. The mapped file does not count.
    public var maximumAnonymousBytes: Int?
    /// What computes.
    public var backend: Backend?

    /// The choices named, and the engine's for the others.
    public init(template: TemplateChoice? = nil, maximumAnonymousBytes: Int? = nil, backend: Backend? = nil) {
        self.template = template
        self.maximumAnonymousBytes = maximumAnonymousBytes
        self.backend = backend
    }
}

/// What computes. The text is the same wherever the two likeliest tokens were not nearly alike.
public enum Backend: Sendable {
    /// The GPU reads prompts and writes where it is faster; the CPU does what it cannot.
    case auto
    /// The CPU.
    case cpu
    /// The GPU, and the CPU where it refuses and in the background. Opening throws ``SpratError/unsupported(_:)`` where there is
    /// none for the model.
    case gpu
}

/// A chat template in place of the file's own, which is then not even looked at.
public enum TemplateChoice: Sendable, Equatable {
    /// A built-in one by name, such as `chatml`.
    case builtin(String)
    /// The text of one, in Jinja as Hugging Face has them.
    case text(String)
}

/// What a model's header tells before the model is opened, or even downloaded.
public struct Probe: Sendable, Equatable {
    /// Its name, or empty.
    public let name: String
    /// Its family, such as `llama`.
    public let family: String
    /// Size of the whole file, in bytes.
    public let fileBytes: Int64
    /// Size of the header, which is all that was looked at.
    public let headerBytes: Int64
    /// Tokens of context it was made for.
    public let contextTokens: Int
    /// Bytes of KV cache that each token of a conversation takes, stored as ``KVFormat/f16``.
    public let kvBytesPerToken: Int64
    /// Bytes of weights that one token reads: no more tokens a second than memory brings of these.
    public let bytesPerToken: Int64
}
