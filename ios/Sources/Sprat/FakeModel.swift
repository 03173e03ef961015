import Foundation

extension Model {
    /// A model that plays a script, for tests of user interfaces: no file, no library, no waiting.
    ///
    /// - Parameters:
    ///   - replies: Each turn of any of its sessions is answered with the next, piece by piece as words; after the last one it
    ///     begins anew.
    ///   - pause: Time before each piece.
    ///   - failure: Thrown when a reply has been played, instead of ending it.
    public static func fake(
        replies: [String], pause: Duration = .zero, failure: SpratError? = nil
    ) -> Model {
        precondition(!replies.isEmpty, "a script has at least one reply")
        return Model(script: Script(replies: replies, pause: pause, failure: failure))
    }
}

private let fakeContextTokens = 4096

final class Script: ModelHandle, @unchecked Sendable {
    static let about = ModelInfo(
        name: "fake", family: "fake", template: "none", contextTokens: fakeContextTokens, fileBytes: 0, bytesPerToken: 0,
        kvBytesPerToken: 0, parts: 1, unusedTensors: [], gpuFault: nil)

    let pause: Duration
    let failure: SpratError?
    private let replies: [String]
    private let lock = NSLock()
    // Under the lock.
    private var turn = 0
    private var saved: [String: [Message]] = [:] // sessions are saved in memory alone
    private var sessions: [ScriptedSession] = []

    init(replies: [String], pause: Duration, failure: SpratError?) {
        self.replies = replies
        self.pause = pause
        self.failure = failure
    }

    func info() -> ModelInfo { Self.about }

    func session(instructions: String?, options: SessionOptions) -> any SessionHandle {
        begun(ScriptedSession(script: self, messages: systemMessage(instructions)))
    }

    func restore(path: String, options: SessionOptions) throws(SpratError) -> any SessionHandle {
        guard let messages = lock.withLock({ saved[path] }) else { throw .cannotOpen("nothing was saved to \(path)") }
        return begun(ScriptedSession(script: self, messages: messages))
    }

    /// Keeps a session for ``unload()``.
    fileprivate func begun(_ session: ScriptedSession) -> ScriptedSession {
        lock.withLock { sessions.append(session) }
        return session
    }

    func canRestore(path: String) -> Bool { lock.withLock { saved[path] != nil } }

    func residentBytes() -> Int64 { 0 }

    func allocatedBytes() -> Int64 { 0 }

    func releasePages() {}

    func unload() {
        for session in lock.withLock({ sessions }) { session.close() }
    }

    func save(_ messages: [Message], path: String) {
        lock.withLock { saved[path] = messages }
    }

    func kvBytesPerToken(_ format: KVFormat) -> Int64 { 0 }

    func countTokens(in text: String) -> Int { words(text).count }

    func close() {}

    func nextReply() -> String {
        lock.withLock {
            defer { turn += 1 }
            return replies[turn % replies.count]
        }
    }
}

private final class ScriptedSession: SessionHandle, @unchecked Sendable {
    private let script: Script
    private let lock = NSLock()
    // Under the lock.
    private var messages: [Message]
    private var isClosed = false
    private var running: ScriptedReply?
    private var lastPartial: Partial?

    init(script: Script, messages: [Message]) {
        self.script = script
        self.messages = messages
    }

    func transcript() -> [Message] { lock.withLock { messages } }

    func setTranscript(_ messages: [Message]) throws(SpratError) {
        try idle { () throws(SpratError) in self.messages = messages }
    }

    func isResponding() -> Bool { lock.withLock { running != nil } }

    func isStopping() -> Bool { false }

    func partial() -> Partial? { lock.withLock { lastPartial } }

    func tokensUsed() -> Int { transcript().reduce(0) { $0 + words($1.content).count } }

    func contextLimit() -> Int { fakeContextTokens }

    func messagesLeftOut() -> Int { 0 }

    func isApproximate() -> Bool { false }

    func memory() -> Memory { Memory() }

    func stream(_ input: Input, options: GenerationOptions) throws(SpratError) -> any ReplyHandle {
        try idle { () throws(SpratError) in
            let reply = ScriptedReply(
                session: self, asked: try messages.with(input), script: script, options: options)
            running = reply
            return reply
        }
    }

    func prewarm() throws(SpratError) -> Int? {
        let read = tokensUsed()
        return try idle { () throws(SpratError) in read }
    }

    func save(path: String, cache: KVFormat?) throws(SpratError) {
        try idle { () throws(SpratError) in script.save(messages, path: path) }
    }

    func trim(_ level: Trim) throws(SpratError) {
        try idle { () throws(SpratError) in }
    }

    func stop() {
        lock.withLock { running }?.stop()
    }

    func setInstructions(_ instructions: String?) throws(SpratError) {
        try idle { () throws(SpratError) in
            messages = systemMessage(instructions) + messages.filter { $0.role != .system }
        }
    }

    func setTools(_ tools: [Tool]) {}

    func undo() throws(SpratError) -> String? {
        try idle { () throws(SpratError) in
            guard let last = messages.lastIndex(where: { $0.role == .user }) else { return nil }
            defer { messages.removeSubrange(last...) }
            return messages[last].content
        }
    }

    func fork() throws(SpratError) -> any SessionHandle {
        try idle { () throws(SpratError) in script.begun(ScriptedSession(script: script, messages: messages)) }
    }

    func countTokens(in input: Input) throws(SpratError) -> Int {
        try transcript().with(input).reduce(0) { $0 + words($1.content).count }
    }

    func close() {
        stop()
        lock.withLock { isClosed = true }
    }

    /// A turn is over: `turn` is all there is now, or nil to leave everything as it was before.
    func ended(_ turn: [Message]?, partial: Partial?) {
        lock.withLock {
            messages = turn ?? messages
            lastPartial = partial
            running = nil
        }
    }

    private func idle<T>(_ work: () throws(SpratError) -> T) throws(SpratError) -> T {
        lock.lock()
        defer { lock.unlock() }
        if isClosed { throw .closed }
        if running != nil { throw .busy }
        return try work()
    }
}

private final class ScriptedReply: ReplyHandle, @unchecked Sendable {
    private let session: ScriptedSession
    private let asked: [Message]
    private let script: Script
    private let pieces: [String]
    private let isCut: Bool
    private let keepsPartial: Bool
    private let lock = NSLock()
    // Under the lock.
    private var played = 0
    private var isOver = false

    init(session: ScriptedSession, asked: [Message], script: Script, options: GenerationOptions) {
        self.session = session
        self.asked = asked
        self.script = script
        let all = words(script.nextReply())
        pieces = Array(all.prefix(options.maximumResponseTokens ?? all.count))
        isCut = pieces.count < all.count
        keepsPartial = options.keepPartial
    }

    func next() async throws -> [Event] {
        if script.pause > .zero { try await Task.sleep(for: script.pause) }
        return try play()
    }

    private func play() throws -> [Event] {
        lock.lock()
        defer { lock.unlock() }
        if isOver { return [] }
        if played < pieces.count {
            defer { played += 1 }
            return [.text(pieces[played])]
        }
        isOver = true
        let text = pieces.joined()
        if let failure = script.failure {
            session.ended(nil, partial: Partial(text: text, thinking: ""))
            throw failure
        }
        session.ended(asked + [Message(role: .assistant, content: text)], partial: nil)
        return [.done(Reply(text: text, stopReason: isCut ? .maxTokens : .endOfTurn, generatedTokens: pieces.count))]
    }

    func stop() {
        lock.lock()
        defer { lock.unlock() }
        if isOver { return }
        isOver = true
        let text = pieces.prefix(played).joined()
        if keepsPartial && played > 0 {
            session.ended(asked + [Message(role: .assistant, content: text)], partial: nil)
        } else {
            session.ended(nil, partial: Partial(text: text, thinking: ""))
        }
    }
}

private func systemMessage(_ instructions: String?) -> [Message] {
    instructions.map { [Message(role: .system, content: $0)] } ?? []
}

extension [Message] {
    fileprivate func with(_ input: Input) throws(SpratError) -> [Message] {
        switch input {
        case .text(let text): return self + [try userMessage(text)]
        case .edit(let index, let text): return Array(prefix(index)) + [try userMessage(text)]
        case .regenerate: return Array(prefix((lastIndex { $0.role != .assistant } ?? -1) + 1))
        case .toolResults(let results):
            return self + results.map {
                var message = Message(role: .tool, content: $0.content)
                message.name = $0.name
                message.toolCallID = $0.callID
                return message
            }
        }
    }

    private func userMessage(_ text: String) throws(SpratError) -> Message {
        if text.isEmpty { throw .invalidArgument("the prompt is empty") }
        return Message(role: .user, content: text)
    }
}

/// Words with the space before each: joined, they are the text again.
private func words(_ text: String) -> [String] {
    text.reduce(into: []) { words, character in
        if character == " " || words.isEmpty {
            words.append(String(character))
        } else {
            words[words.count - 1].append(character)
        }
    }
}
