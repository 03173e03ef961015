// Apple's own `LanguageModelSession`, answered by a model of ours: from iOS 27 on, whose SDK comes with Swift 6.4.
// Untested: written from Apple's documentation of the protocols, never compiled with that SDK and never run.
#if compiler(>=6.4)
#if canImport(FoundationModels)
import FoundationModels

/// A model for Apple's `LanguageModelSession(model:)`: conversations as text, without tools and without guided generation.
///
/// The session that Apple keeps is the source of truth; with each request it hands over its whole transcript, of which nothing
/// is read anew that the cache holds already.
@available(iOS 27.0, macOS 27.0, visionOS 27.0, *)
public struct SpratLanguageModel: LanguageModel {
    /// What answers.
    public typealias Executor = SpratExecutor

    /// Which model, and how.
    public let executorConfiguration: SpratExecutor.Configuration

    /// Neither tools nor guided generation: Apple's session refuses requests for them.
    public var capabilities: LanguageModelCapabilities { LanguageModelCapabilities([]) }

    /// A model that is open already; any number of Apple's sessions share it.
    public init(_ model: Model, options: SessionOptions = SessionOptions()) {
        executorConfiguration = SpratExecutor.Configuration(model: model, options: options)
    }
}

/// Answers one of Apple's sessions.
@available(iOS 27.0, macOS 27.0, visionOS 27.0, *)
public struct SpratExecutor: LanguageModelExecutor {
    /// What it answers for.
    public typealias Model = SpratLanguageModel

    /// The open model, and choices for the conversation. The same model is the same configuration.
    public struct Configuration: Hashable, Sendable {
        let model: Sprat.Model
        let options: SessionOptions

        public static func == (a: Self, b: Self) -> Bool {
            a.model === b.model && a.options == b.options
        }

        public func hash(into hasher: inout Hasher) {
            hasher.combine(ObjectIdentifier(model))
        }
    }

    private let session: Session

    /// Begins a conversation.
    public init(configuration: Configuration) throws {
        session = try Session(model: configuration.model, options: configuration.options)
    }

    /// Reads the transcript into the cache.
    public func prewarm(model: SpratLanguageModel, transcript: Transcript) {
        let session = self.session
        Task {
            try? session.setTranscript(messages(transcript))
            _ = try? await session.prewarm()
        }
    }

    /// Answers the last message of the transcript; cancelling the task stops the work.
    public func respond(
        to request: LanguageModelExecutorGenerationRequest, model: SpratLanguageModel,
        streamingInto channel: LanguageModelExecutorGenerationChannel
    ) async throws {
        var said = messages(request.transcript)
        guard let last = said.popLast(), last.role == .user else {
            throw SpratError.invalidArgument("the transcript does not end with a prompt")
        }
        var options = GenerationOptions(
            maximumResponseTokens: request.generationOptions.maximumResponseTokens,
            temperature: request.generationOptions.temperature.map(Float.init))
        if request.generationOptions.samplingMode == .greedy { options.temperature = 0 }
        try session.setTranscript(said)
        for try await event in session.streamResponse(to: last.content, options: options) {
            if case .text(let piece) = event {
                await channel.send(.response(action: .appendText(piece, tokenCount: 1)))
            }
        }
    }
}

/// The texts of a transcript; what is not text is left out.
@available(iOS 27.0, macOS 27.0, visionOS 27.0, *)
private func messages(_ transcript: Transcript) -> [Message] {
    transcript.compactMap { entry in
        switch entry {
        case .instructions(let instructions): Message(role: .system, content: text(instructions.segments))
        case .prompt(let prompt): Message(role: .user, content: text(prompt.segments))
        case .response(let response): Message(role: .assistant, content: text(response.segments))
        default: nil
        }
    }
}

@available(iOS 27.0, macOS 27.0, visionOS 27.0, *)
private func text(_ segments: [Transcript.Segment]) -> String {
    segments.compactMap { if case .text(let segment) = $0 { segment.content } else { nil } }.joined()
}
#endif
#endif
