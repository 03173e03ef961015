import Foundation

/// A conversation with a model: what was said, and the cache that saves reading it again.
///
/// A turn is a transaction: one that is cancelled or that fails leaves the conversation as it was before. One turn runs at a
/// time, on a thread of its own; what would change the conversation meanwhile throws ``SpratError/busy``, what only looks
/// sees it as it was before the turn. All functions may be called from any thread.
public final class Session: Sendable {
    private let handle: any SessionHandle

    /// A new, empty conversation.
    ///
    /// - Parameters:
    ///   - model: What answers. The session keeps what it needs of it.
    ///   - instructions: The system message, if any.
    ///   - options: Everything else.
    public init(model: Model, instructions: String? = nil, options: SessionOptions = SessionOptions()) throws(SpratError) {
        handle = try model.handle.session(instructions: instructions, options: options)
    }

    private init(handle: any SessionHandle) {
        self.handle = handle
    }

    /// A conversation that ``save(to:)`` wrote to the file at `url` with this very model: it goes on without reading anything
    /// anew. Its messages and tools replace those of `options`. The file must stay as it is while the session is open;
    /// saving to the same place replaces it and does no harm.
    ///
    /// - Throws: ``SpratError/cannotOpen(_:)``, ``SpratError/damaged(_:)``; ``SpratError/unsupported(_:)`` if it was written
    ///   with another model or by another version of the library: see ``savedTranscript(at:)``.
    public static func restore(
        from url: URL, model: Model, options: SessionOptions = SessionOptions()
    ) async throws -> Session {
        try await onWaitingThread { () throws(SpratError) in
            Session(handle: try model.handle.restore(path: url.path, options: options))
        }
    }

    /// The messages of the session that was saved at `url`. Any model can take them up with ``setTranscript(_:)``.
    public static func savedTranscript(at url: URL) async throws -> [Message] {
        try await onWaitingThread { () throws(SpratError) in try readTranscript(url.path) }
    }

    /// The messages so far, instructions first.
    public var transcript: [Message] {
        get throws(SpratError) { try handle.transcript() }
    }

    /// Replaces all messages, as when a conversation is taken up that was kept elsewhere.
    public func setTranscript(_ messages: [Message]) throws(SpratError) {
        try handle.setTranscript(messages)
    }

    /// Whether a turn runs.
    public var isResponding: Bool { handle.isResponding() }

    /// Whether a turn is stopping, which takes milliseconds.
    public var isStopping: Bool { handle.isStopping() }

    /// What the last turn had written, if it failed or was stopped and undone.
    public var partial: Partial? { handle.partial() }

    /// Tokens in the cache.
    public var tokensUsed: Int {
        get throws(SpratError) { try handle.tokensUsed() }
    }

    /// Tokens that the conversation may take.
    public var contextLimit: Int {
        get throws(SpratError) { try handle.contextLimit() }
    }

    /// Messages of the transcript, from the first after the instructions on, that the model sees no more because of
    /// ``WhenFull/slide``.
    public var messagesLeftOut: Int {
        get throws(SpratError) { try handle.messagesLeftOut() }
    }

    /// Whether the cache is only near what computing the conversation gives, after ``WhenFull/slideCached`` or a save in fewer
    /// bits. ``Trim/cache`` makes it exact again.
    public var isApproximate: Bool {
        get throws(SpratError) { try handle.isApproximate() }
    }

    /// Memory of this session and of its model.
    public var memory: Memory {
        get throws(SpratError) { try handle.memory() }
    }

    /// Answers `prompt` as the user's next message and returns the finished reply. Cancelling the task stops the work within
    /// milliseconds.
    ///
    /// - Throws: ``SpratError``; `CancellationError` when ``stop()`` was called or the task cancelled.
    public func respond(to prompt: String, options: GenerationOptions = GenerationOptions()) async throws -> Reply {
        try await respond(to: .text(prompt), options: options)
    }

    /// The same for any kind of `input`: an edited message, results of tools, the last reply once more.
    public func respond(to input: Input, options: GenerationOptions = GenerationOptions()) async throws -> Reply {
        for try await event in streamResponse(to: input, options: options) {
            if case .done(let reply) = event { return reply }
        }
        throw CancellationError()
    }

    /// Answers `prompt` piece by piece: any number of other events, then one ``Event/done(_:)``.
    ///
    /// Each iteration is a turn of its own. Text that is taken slowly waits in a bounded queue; when that is full,
    /// generation waits. Cancelling the task or leaving the loop early stops the work within milliseconds and takes the turn
    /// back; after ``stop()`` the sequence just ends.
    public func streamResponse(to prompt: String, options: GenerationOptions = GenerationOptions()) -> ReplyStream {
        streamResponse(to: .text(prompt), options: options)
    }

    /// The same for any kind of `input`: an edited message, results of tools, the last reply once more.
    public func streamResponse(to input: Input, options: GenerationOptions = GenerationOptions()) -> ReplyStream {
        let handle = self.handle
        return ReplyStream { try handle.stream(input, options: options) }
    }

    /// Reads the conversation so far into the cache, so that the next turn begins sooner, and returns how many tokens that is:
    /// as when the user begins to type. Cancelling the task stops it; then everything is as before.
    ///
    /// - Throws: ``SpratError``; `CancellationError` when ``stop()`` was called or the task cancelled.
    @discardableResult
    public func prewarm() async throws -> Int {
        let handle = self.handle
        let read = try await withTaskCancellationHandler {
            try await onWaitingThread { () throws(SpratError) in try handle.prewarm() }
        } onCancel: {
            handle.stop()
        }
        try Task.checkCancellation()
        guard let read else { throw CancellationError() }
        return read
    }

    /// Writes the conversation to the file at `url`: transcript, tools, random numbers and the cache, so that
    /// ``restore(from:model:options:)`` goes on without reading anything anew. The file is there whole or as it was before,
    /// should the battery run out meanwhile.
    ///
    /// With a `cache` of fewer bits than the session's the file is smaller, and what is restored from it is only near this
    /// conversation: see ``isApproximate``. `nil` stores the cache as it is.
    ///
    /// - Throws: ``SpratError/busy``; ``SpratError/cannotOpen(_:)`` if it cannot be written, a full disk included.
    public func save(to url: URL, cache: KVFormat? = nil) async throws {
        try await onWaitingThread { try self.saveNow(to: url, cache: cache) }
    }

    /// The same, waiting for it.
    func saveNow(to url: URL, cache: KVFormat? = nil) throws(SpratError) {
        try handle.save(path: url.path, cache: cache)
    }

    /// Gives memory back, as when the system is short of it. Nothing is lost but time.
    public func trim(_ level: Trim) throws(SpratError) {
        try handle.trim(level)
    }

    /// Stops the turn that runs, if any: it ends within milliseconds, and is taken back unless
    /// ``GenerationOptions/keepPartial`` says to keep what there is.
    public func stop() {
        handle.stop()
    }

    /// Replaces the instructions. The next turn reads the conversation anew under them.
    public func setInstructions(_ instructions: String?) throws(SpratError) {
        try handle.setInstructions(instructions)
    }

    /// Replaces the tools. The next turn reads the conversation anew with them.
    public func setTools(_ tools: [Tool]) throws(SpratError) {
        try handle.setTools(tools)
    }

    /// Takes back the last turn and returns its prompt, or nil where there is none.
    @discardableResult
    public func undo() throws(SpratError) -> String? {
        try handle.undo()
    }

    /// A second conversation that begins as this one is; they share the cache until one of them goes on.
    public func fork() throws(SpratError) -> Session {
        Session(handle: try handle.fork())
    }

    /// Tokens that a turn with this `input` would read, the conversation so far included.
    public func countTokens(in input: Input) throws(SpratError) -> Int {
        try handle.countTokens(in: input)
    }

    /// Stops the turn that runs and frees the cache. The transcript can still be read; a turn, or a change, throws
    /// ``SpratError/closed``. A second call does nothing.
    public func close() {
        handle.close()
    }
}

/// What a turn answers.
public enum Input: Sendable, Equatable {
    /// The user's next message.
    case text(String)
    /// What the tools gave that the last reply called for.
    case toolResults([ToolResult])
    /// The last reply is taken back and made anew.
    case regenerate
    /// A user's message, by its place in ``Session/transcript``, is replaced, and what followed it dropped.
    case edit(index: Int, text: String)
}
