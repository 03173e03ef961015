/// Memory of a session and of its model, in bytes.
public struct Memory: Sendable, Equatable {
    /// Size of the mapped model file.
    public internal(set) var mapped: Int64 = 0
    /// How much of it is in memory, at most (other models count too): pages that the system takes back when it needs them.
    public internal(set) var resident: Int64 = 0
    /// The conversation's KV cache; forks count in full what they share.
    public internal(set) var kv: Int64 = 0
    /// The conversation's buffers for computing.
    public internal(set) var scratch: Int64 = 0
    /// What all sessions of the model have allocated together, nothing of it twice: see
    /// ``OpenOptions/maximumAnonymousBytes``.
    public internal(set) var allocated: Int64 = 0
    /// What the whole process has allocated, by the system's own word; 0 where it does not tell.
    public internal(set) var anonymous: Int64 = 0
}

/// How much a session gives back; each gives back what the one before does, too.
public enum Trim: Sendable {
    /// The buffers for computing; the next turn takes them anew.
    case buffers
    /// And the cache; the next turn reads the conversation anew.
    case cache
    /// And the pages of the model's file that are in memory; they are read anew as they are needed.
    case pages
}
