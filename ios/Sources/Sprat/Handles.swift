/// What stands behind a ``Model``: the library, or a script.
protocol ModelHandle: Sendable {
    func info() throws(SpratError) -> ModelInfo
    func session(instructions: String?, options: SessionOptions) throws(SpratError) -> any SessionHandle
    func restore(path: String, options: SessionOptions) throws(SpratError) -> any SessionHandle
    func canRestore(path: String) throws(SpratError) -> Bool
    func kvBytesPerToken(_ format: KVFormat) throws(SpratError) -> Int64
    func countTokens(in text: String) throws(SpratError) -> Int
    func residentBytes() throws(SpratError) -> Int64
    func allocatedBytes() throws(SpratError) -> Int64
    func releasePages() throws(SpratError)
    /// Stops and closes all sessions too; waits for it.
    func unload() throws(SpratError)
    func close()
}

/// What stands behind a ``Session``.
protocol SessionHandle: Sendable {
    func transcript() throws(SpratError) -> [Message]
    func setTranscript(_ messages: [Message]) throws(SpratError)
    func isResponding() -> Bool
    func isStopping() -> Bool
    func partial() -> Partial?
    func tokensUsed() throws(SpratError) -> Int
    func contextLimit() throws(SpratError) -> Int
    func messagesLeftOut() throws(SpratError) -> Int
    func isApproximate() throws(SpratError) -> Bool
    func memory() throws(SpratError) -> Memory
    /// Begins a turn; waits for one that is stopping.
    func stream(_ input: Input, options: GenerationOptions) throws(SpratError) -> any ReplyHandle
    /// Waits; ``stop()`` ends it, and then it is nil.
    func prewarm() throws(SpratError) -> Int?
    /// With `cache` keys and values are stored so, else as they are.
    func save(path: String, cache: KVFormat?) throws(SpratError)
    func trim(_ level: Trim) throws(SpratError)
    func stop()
    func setInstructions(_ instructions: String?) throws(SpratError)
    func setTools(_ tools: [Tool]) throws(SpratError)
    func undo() throws(SpratError) -> String?
    func fork() throws(SpratError) -> any SessionHandle
    func countTokens(in input: Input) throws(SpratError) -> Int
    func close()
}

/// A reply on its way.
protocol ReplyHandle: Sendable {
    /// What has come since the last call, at least one event; empty at the end.
    func next() async throws -> [Event]
    /// Stops the work.
    func stop()
}
