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
    public static func open(_ url: URL, options: OpenOptions = OpenOptions()) async throws -> Model {
        try await open(.file(url), options: options)
    }

    /// Maps the file at `path`, as ``open(_:options:)-(URL,_)`` does.
    public static func open(path: String, options: OpenOptions = OpenOptions()) async throws -> Model {
        try await open(URL(fileURLWithPath: path), options: options)
    }

    /// Maps a part of an open file, or a split model, as ``open(_:options:)-(URL,_)`` does.
    public static func open(_ source: ModelSource, options: OpenOptions = OpenOptions()) async throws -> Model {
        try await onWaitingThread { () throws(SpratError) in try Model(openSource(source, options)) }
    }

    /// Looks at the header of a model alone: whether it is supported, and what it needs. Throws as opening it does.
    public static func probe(_ source: ModelSource) async throws -> Probe {
        try await onWaitingThread { () throws(SpratError) in try probeSource(source) }
    }

    /// The same for the first bytes of a file of `fileBytes`, before the rest is fetched: some megabytes, most of it the
    /// vocabulary.
    ///
    /// - Throws: ``SpratError/damaged(_:)`` if the header is longer than `header`; what opening the file would throw.
    public static func probe(header: Data, fileBytes: UInt64) async throws -> Probe {
        try await onWaitingThread { () throws(SpratError) in try probeHeader(header, fileBytes) }
    }

    /// Whether ``Session/restore(from:model:options:)`` would take the session that was saved at `url`: it was saved with this
    /// very model.
    ///
    /// - Throws: ``SpratError/cannotOpen(_:)`` or ``SpratError/damaged(_:)`` where there is no such session.
    public func canRestore(from url: URL) async throws -> Bool {
        let handle = self.handle
        return try await onWaitingThread { () throws(SpratError) in try handle.canRestore(path: url.path) }
    }

    /// Bytes of KV cache that each token of a conversation takes, stored in this format.
    public func kvBytesPerToken(_ format: KVFormat) throws(SpratError) -> Int64 {
        try handle.kvBytesPerToken(format)
    }

    /// How many tokens `text` is by itself; for a whole conversation see ``Session/countTokens(in:)``.
    public func countTokens(in text: String) throws(SpratError) -> Int {
        try handle.countTokens(in: text)
    }

    /// Bytes of the mapped file that are in memory, at most: the system takes them back when it needs them.
    public var residentBytes: Int64 {
        get throws(SpratError) { try handle.residentBytes() }
    }

    /// Bytes that all sessions of this model have allocated together: what counts against the app.
    public var allocatedBytes: Int64 {
        get throws(SpratError) { try handle.allocatedBytes() }
    }

    /// Asks the system to drop the file's pages from memory now. They are read anew as they are needed.
    public func releasePages() throws(SpratError) {
        try handle.releasePages()
    }

    /// Closes this model and all its sessions: turns that run are stopped, and it returns when they have ended. Anything asked
    /// of them afterwards throws ``SpratError/closed``.
    public func unload() async throws {
        let handle = self.handle
        try await onWaitingThread { try handle.unload() }
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
    /// Bytes of KV cache that each token of a conversation takes, stored as ``KVFormat/f16``.
    public let kvBytesPerToken: Int64
    /// Files that it consists of.
    public let parts: Int
    /// Names of the file's tensors that its family has no use for: a sign of a file that is not what it says.
    public let unusedTensors: [String]
    /// Why no GPU computes for it; nil where one does.
    public let gpuFault: String?
}

/// Runs something that blocks for a while where blocking is harmless: not on Swift's few cooperative threads.
func onWaitingThread<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global(qos: .userInitiated).async {
            continuation.resume(with: Result(catching: work))
        }
    }
}
