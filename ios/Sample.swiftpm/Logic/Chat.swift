import Foundation
import Observation
import Sprat

/// One line of the conversation.
public struct Line: Sendable, Equatable {
    public let fromUser: Bool
    public let text: String
}

/// A conversation with a model that can be exchanged, and everything that the screen shows of it. It knows nothing of
/// SwiftUI: a view reads it, a test does the same.
@MainActor @Observable
public final class Chat {
    /// The open model's name, or nil while one is opened.
    public private(set) var model: String?
    public private(set) var lines: [Line] = []
    /// What the model has written of its answer, or nil when it does not answer.
    public private(set) var answer: String?
    /// Speed and memory of the last answer.
    public private(set) var figures = ""
    /// What went wrong last, for the user.
    public private(set) var trouble: String?

    public var canSend: Bool { model != nil && answer == nil }

    private let instructions: String
    private let onSession: @MainActor (Session) -> Void
    private var session: Session?
    private var work: Task<Void, Never>?

    /// `onSession` is told each new conversation: what watches the device takes care of it.
    public init(instructions: String, onSession: @escaping @MainActor (Session) -> Void = { _ in }) {
        self.instructions = instructions
        self.onSession = onSession
    }

    /// Takes the model that `open` gives, and begins a new conversation; the one before is let go only if that works.
    @discardableResult
    public func use(_ open: @escaping @Sendable () async throws -> Model) -> Task<Void, Never> {
        let (before, name) = (work, model)
        (model, trouble) = (nil, nil)
        let next = Task {
            before?.cancel()
            await before?.value
            do {
                let opened = try await open()
                begin(try Session(model: opened, instructions: instructions), opened.info)
            } catch {
                // Ours, or of whatever `open` asks: a file that is gone, a permission that was taken back.
                (model, trouble) = (name, explanation(error))
            }
        }
        work = next
        return next
    }

    /// Sends a message; the answer grows.
    public func send(_ text: String) {
        guard let session, canSend, !text.allSatisfy(\.isWhitespace) else { return }
        lines.append(Line(fromUser: true, text: text))
        (answer, trouble) = ("", nil)
        work = Task {
            do {
                try await listen(session, text)
            } catch {
                trouble = explanation(error)
            }
            lines = written(session)
            answer = nil
        }
    }

    /// Ends the answer that is being written; what is there stays.
    public func stop() {
        session?.stop()
    }

    private func begin(_ new: Session, _ info: ModelInfo) {
        session?.close()
        session = new
        onSession(new)
        (model, lines, figures) = (info.name.isEmpty ? info.family : info.name, [], "")
    }

    private func listen(_ session: Session, _ text: String) async throws {
        var options = GenerationOptions(temperature: 0)
        // What is there when the user presses stop stays part of the conversation.
        options.keepPartial = true
        for try await event in session.streamResponse(to: text, options: options) {
            switch event {
            case .text(let piece): answer = (answer ?? "") + piece
            case .done(let reply): figures = described(reply)
            default: break
            }
        }
    }

    private func written(_ session: Session) -> [Line] {
        let messages = (try? session.transcript) ?? []
        return messages.filter { $0.role == .user || $0.role == .assistant }
            .map { Line(fromUser: $0.role == .user, text: $0.content) }
    }

    private func described(_ reply: Reply) -> String {
        let megabytes = Double(reply.memory.kv + reply.memory.scratch) / 1e6
        return String(format: "%.1f tokens/s · %.1f MB of memory", reply.tokensPerSecond, megabytes)
    }

    private func explanation(_ error: any Error) -> String? {
        switch error {
        case is CancellationError: nil
        case SpratError.damaged: "The model file is damaged. Fetch it again."
        case SpratError.unsupported: "This model is not supported."
        case SpratError.outOfMemory: "There is not enough memory for this model."
        case SpratError.contextFull: "The conversation has become too long. Begin a new one."
        case SpratError.cannotOpen, is CocoaError: "The model file cannot be read."
        default: "Something went wrong: \(error.localizedDescription)"
        }
    }
}
