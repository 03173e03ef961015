package dev.sprat

/** What stands behind a [Model]: the library ([openSource]), or a script ([FakeModel]). */
internal interface ModelHandle : AutoCloseable {
    val info: ModelInfo

    fun session(options: SessionOptions): SessionHandle

    fun restore(path: String, options: SessionOptions): SessionHandle

    fun canRestore(path: String): Boolean

    fun kvBytesPerToken(format: KvFormat): Long

    fun countTokens(text: String): Int

    /** Bytes of the file that are in memory, at most. */
    val residentBytes: Long

    /** Bytes that all sessions have allocated together. */
    val allocatedBytes: Long

    fun releasePages()

    /** Stops and closes all sessions too; waits for it. */
    fun unload()

    override fun close()
}

/** What stands behind a [Session]. */
internal interface SessionHandle : AutoCloseable {
    var transcript: List<Message>
    val isResponding: Boolean
    val isStopping: Boolean
    val partial: Partial?
    val tokensUsed: Int
    val contextLimit: Int
    val messagesLeftOut: Int
    val isApproximate: Boolean
    val memory: Memory

    /** Begins a turn; waits for one that is stopping. */
    fun stream(input: Input, options: GenerationOptions): ReplyHandle

    /** Waits; [stop] ends it, and then it is null. */
    fun prewarm(): Int?

    /** With [cache] keys and values are stored so, else as they are. */
    fun save(path: String, cache: KvFormat?)

    fun trim(level: Trim)

    fun stop()

    fun setInstructions(instructions: String?)

    fun setTools(tools: List<Tool>)

    fun undo(): String?

    fun fork(): SessionHandle

    fun countTokens(input: Input): Int

    override fun close()
}

/** A reply on its way; closing it stops the work. */
internal interface ReplyHandle : AutoCloseable {
    /** What has come since the last call, at least one event; empty at the end. */
    suspend fun next(): List<Event>

    override fun close()
}
