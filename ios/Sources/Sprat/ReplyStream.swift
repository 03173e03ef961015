/// A reply while it is made: an asynchronous sequence of ``Event``.
///
/// Nothing happens before the first event is asked for; each iteration is a turn of its own.
public struct ReplyStream: AsyncSequence, Sendable {
    /// What the sequence brings.
    public typealias Element = Event

    private let begin: @Sendable () throws -> any ReplyHandle

    init(begin: @escaping @Sendable () throws -> any ReplyHandle) {
        self.begin = begin
    }

    /// An iterator that has not begun the turn yet.
    public func makeAsyncIterator() -> Iterator {
        Iterator(begin: begin)
    }

    /// Pulls one event after the other; the work stops when it goes.
    public final class Iterator: AsyncIteratorProtocol {
        private let begin: @Sendable () throws -> any ReplyHandle
        private var reply: (any ReplyHandle)?
        private var waiting: ArraySlice<Event> = []

        init(begin: @escaping @Sendable () throws -> any ReplyHandle) {
            self.begin = begin
        }

        /// The next event, or nil after the last.
        ///
        /// - Throws: ``SpratError``; `CancellationError` when the task was cancelled.
        public func next() async throws -> Event? {
            if waiting.isEmpty { waiting = try await batch()[...] }
            return waiting.popFirst()
        }

        private func batch() async throws -> [Event] {
            try Task.checkCancellation()
            let reply = try await begun()
            // The generated code does not stop at a cancellation by itself.
            let events = try await withTaskCancellationHandler { try await reply.next() } onCancel: { reply.stop() }
            try Task.checkCancellation()
            return events
        }

        private func begun() async throws -> any ReplyHandle {
            if let reply { return reply }
            let new = try await onWaitingThread(begin)
            reply = new
            return new
        }

        deinit {
            reply?.stop()
        }
    }
}

/// What a ``ReplyStream`` brings.
public enum Event: Sendable, Equatable {
    /// A piece of the answer: whole characters.
    case text(String)
    /// A piece of the model's thoughts.
    case thinking(String)
    /// The model wants a tool called.
    case toolCall(ToolCall)
    /// What began like a call but is none, and why; it stays part of the answer in the transcript.
    case toolCallFailed(text: String, reason: String)
    /// The last event: the turn is part of the conversation now.
    case done(Reply)
}

/// Why a reply ended.
public enum StopReason: Sendable {
    /// The model ended its turn.
    case endOfTurn
    /// A stop string appeared; it is not part of the reply.
    case stopString
    /// The reply has as many tokens as were allowed.
    case maxTokens
    /// It was stopped, and the options say to keep what there was.
    case stopped
}

/// What a turn that did not come to its end had written.
public struct Partial: Sendable, Equatable {
    /// The answer so far.
    public let text: String
    /// The thoughts so far.
    public let thinking: String
}

/// A finished reply.
public struct Reply: Sendable, Equatable {
    /// The whole answer, without thoughts and calls.
    public let text: String
    /// Why it ended.
    public let stopReason: StopReason
    /// The model's thoughts before the answer, if it thinks.
    public var thinking = ""
    /// The tools it wants called, in order; answer them with ``Input/toolResults(_:)``.
    public var toolCalls: [ToolCall] = []
    /// Tokens of the prompt, the conversation so far included.
    public var promptTokens = 0
    /// How many of them were in the cache already.
    public var cachedTokens = 0
    /// Tokens of the reply.
    public let generatedTokens: Int
    /// How many of them were guessed right and checked together with others.
    public var guessedTokens = 0
    /// Messages of the transcript, from the first after the instructions on, that the model sees no more.
    public var messagesLeftOut = 0
    /// Whether it rests on a cache that is only near what computing the conversation gives: see ``WhenFull/slideCached``.
    public var approximate = false
    /// From the call to the first token, in milliseconds.
    public var firstTokenMs = 0.0
    /// Tokens per second after the first.
    public var tokensPerSecond = 0.0
    /// Tokens of the turn that the CPU computed, prompt and reply.
    public var cpuTokens = 0
    /// Tokens of the turn that the GPU computed.
    public var gpuTokens = 0
    /// The slowest pace of the turn: what heat, battery, background or memory held it back to.
    public var slowestPace = Pace.full
    /// How long the turn was paused, in milliseconds.
    public var pausedMs = 0
    /// Memory at the end of the turn.
    public var memory = Memory()
}
