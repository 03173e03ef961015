import Dispatch
import Foundation

/// An open model file: read once, shared by any number of sessions.
///
/// The file is mapped, not loaded: its pages are the system's to give and to take back. All functions may be called from
/// any thread. The file is let go when the last reference to the model and its sessions goes, or by ``close()``.
public final class Model: Sendable {
    let handle: any ModelHandle

    /// What the model says of itself.
    public let info: ModelInfo

    init(_ handle: any ModelHandle) throws(SpratError) {
        self.handle = handle
        info = try handle.info()
    }

    init(script: Script) {
        handle = script
        info = script.info()
    }

    /// Maps the file at `url` and checks it: milliseconds to tenths of a second, on a thread for waiting.
    ///
    /// - Throws: ``SpratError/cannotOpen(_:)``, ``SpratError/damaged(_:)`` or ``SpratError/unsupported(_:)``.
    public static func open(_ url: URL) async throws -> Model {
        try await open(path: url.path)
    }

    /// Maps the file at `path`, as ``open(_:)`` does.
    public static func open(path: String) async throws -> Model {
        try await onWaitingThread { () throws(SpratError) in try Model(openFile(path)) }
    }

    /// How many tokens `text` is by itself; for a whole conversation see ``Session/countTokens(in:)``.
    public func countTokens(in text: String) throws(SpratError) -> Int {
        try handle.countTokens(in: text)
    }

    /// Lets go of the file. Sessions that are open go on and keep what they need; anything else asked of this model
    /// afterwards throws ``SpratError/closed``. A second call does nothing.
    public func close() {
        handle.close()
    }
}

/// What a model says of itself.
public struct ModelInfo: Sendable, Equatable {
    /// Its name, or empty.
    public let name: String
    /// Its family, such as `llama`.
    public let family: String
    /// Where its chat template comes from.
    public let template: String
    /// Tokens of context it was made for.
    public let contextTokens: Int
    /// Size of the mapped file, in bytes.
    public let fileBytes: Int64
    /// Bytes of weights that one token reads: generation is as fast as memory brings them.
    public let bytesPerToken: Int64
    /// Bytes of KV cache that each token of a conversation takes.
    public let kvBytesPerToken: Int64
}

/// Runs something that blocks for a while where blocking is harmless: not on Swift's few cooperative threads.
func onWaitingThread<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global(qos: .userInitiated).async {
            continuation.resume(with: Result(catching: work))
        }
    }
}
