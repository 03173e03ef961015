package dev.sprat

/** Memory of a session and of its model, in bytes. */
public class Memory(
    /** Size of the mapped model file. */
    public val mapped: Long,
    /** How much of it is in memory, at most (other models count too): pages that the system takes back when it needs them. */
    public val resident: Long,
    /** The conversation's KV cache; forks count in full what they share. */
    public val kv: Long,
    /** The conversation's buffers for computing. */
    public val scratch: Long,
    /** What all sessions of the model have allocated together, nothing of it twice: see [OpenOptions.maxAnonymousBytes]. */
    public val allocated: Long,
    /** What the whole process has allocated, by the system's own word; 0 where it does not tell. */
    public val anonymous: Long,
) {
    override fun toString(): String =
        "Memory(mapped=$mapped, resident=$resident, kv=$kv, scratch=$scratch, allocated=$allocated, anonymous=$anonymous)"
}

/** How much a session gives back; each gives back what the one before does, too. */
public enum class Trim {
    /** The buffers for computing; the next turn takes them anew. */
    Buffers,

    /** And the cache; the next turn reads the conversation anew. */
    Cache,

    /** And the pages of the model's file that are in memory; they are read anew as they are needed. */
    Pages,
}
