import Foundation

/// What can go wrong, by what an app can do about it. No description holds text of a prompt or of a reply.
public enum SpratError: Error, Sendable, Equatable {
    /// The file is not there, or the app may not read or write it: look at the path.
    case cannotOpen(String)
    /// The file is damaged or incomplete: fetch it again, or begin the session anew.
    case damaged(String)
    /// The file is sound, but of a kind this version does not run, or the saved session not of this model: choose another.
    case unsupported(String)
    /// The file's chat template cannot be used: name a built-in one in the session's options.
    case template(String)
    /// An argument is out of range or empty: a mistake of the caller.
    case invalidArgument(String)
    /// Conversation and reply do not fit the context: shorten, or start a new session.
    case contextFull(usedTokens: Int, limitTokens: Int)
    /// The system has no memory for this many bytes: close something, or choose a smaller model.
    case outOfMemory(bytes: Int64)
    /// The session is still answering: wait for it, or cancel it.
    case busy
    /// The model or session was closed.
    case closed
    /// A fault of the library. The turn is lost, the app is not. Please report it.
    case `internal`(String)
}

extension SpratError: LocalizedError {
    /// The fault in words, for developers.
    public var errorDescription: String? {
        switch self {
        case .cannotOpen(let reason), .damaged(let reason), .unsupported(let reason), .template(let reason),
            .invalidArgument(let reason), .internal(let reason):
            reason
        case .contextFull(let used, let limit): "the context is full: \(used) tokens needed, \(limit) available"
        case .outOfMemory(let bytes): "no memory for \(bytes) bytes"
        case .busy: "the session is still answering"
        case .closed: "closed"
        }
    }
}
