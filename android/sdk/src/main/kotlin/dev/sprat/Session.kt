package dev.sprat

import java.io.File
import java.util.concurrent.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.firstOrNull
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.withContext

/**
 * A conversation with a model: what was said, and the cache that saves reading it again.
 *
 * A turn is a transaction: one that is cancelled or that fails leaves the conversation as it was before. One turn runs at a
 * time, on a thread of its own; what would change the conversation meanwhile throws [SpratException.Busy], what only looks
 * sees it as it was before the turn. All functions may be called from any thread. [close] it, or let `use {}` do so.
 */
public class Session internal constructor(private val handle: SessionHandle) : AutoCloseable {
    /** The messages so far, instructions first. Setting it takes up a conversation that was kept elsewhere. */
    public var transcript: List<Message>
        get() = handle.transcript
        set(messages) {
            handle.transcript = messages
        }

    /** Whether a turn runs. */
    public val isResponding: Boolean
        get() = handle.isResponding

    /** Whether a turn is stopping, which takes milliseconds. */
    public val isStopping: Boolean
        get() = handle.isStopping

    /** What the last turn had written, if it failed or was stopped and undone. */
    public val partial: Partial?
        get() = handle.partial

    /** Tokens in the cache. */
    public val tokensUsed: Int
        get() = handle.tokensUsed

    /** Tokens that the conversation may take. */
    public val contextLimit: Int
        get() = handle.contextLimit

    /**
     * Messages of the transcript, from the first after the instructions on, that the model sees no more because of
     * [WhenFull.Slide].
     */
    public val messagesLeftOut: Int
        get() = handle.messagesLeftOut

    /**
     * Whether the cache is only near what computing the conversation gives, after [WhenFull.SlideCached] or a save in fewer
     * bits. [Trim.Cache] makes it exact again.
     */
    public val isApproximate: Boolean
        get() = handle.isApproximate

    /** Memory of this session and of its model. */
    public val memory: Memory
        get() = handle.memory

    /**
     * Answers [prompt] as the user's next message and returns the finished reply. Cancelling the coroutine stops the work
     * within milliseconds.
     *
     * @throws SpratException.ContextFull if conversation and reply do not fit
     * @throws SpratException.InvalidArgument if the prompt is empty or an option out of its range
     * @throws CancellationException if [stop] was called, or the coroutine cancelled
     */
    public suspend fun respond(prompt: String, options: GenerationOptions = GenerationOptions()): Reply =
        respond(Input.Text(prompt), options)

    /** The same with the options that [build] sets. */
    public suspend fun respond(prompt: String, build: GenerationOptions.Builder.() -> Unit): Reply =
        respond(prompt, GenerationOptions(build))

    /** The same for any kind of [input]: an edited message, results of tools, the last reply once more. */
    public suspend fun respond(input: Input, options: GenerationOptions = GenerationOptions()): Reply =
        stream(input, options).filterIsInstance<Event.Done>().firstOrNull()?.reply
            ?: throw CancellationException("the reply was stopped")

    /**
     * Answers [prompt] piece by piece: any number of other events, then one [Event.Done].
     *
     * The flow is cold: each collection is a turn of its own. Text that the collector is slow to take waits in a bounded
     * queue; when that is full, generation waits. Cancelling the collection, an exception in the collector, or an operator
     * such as `take` stops the work within milliseconds and takes the turn back; after [stop] the flow just ends. Throws as
     * [respond] does.
     */
    public fun stream(prompt: String, options: GenerationOptions = GenerationOptions()): Flow<Event> =
        stream(Input.Text(prompt), options)

    /** The same with the options that [build] sets. */
    public fun stream(prompt: String, build: GenerationOptions.Builder.() -> Unit): Flow<Event> =
        stream(prompt, GenerationOptions(build))

    /** The same for any kind of [input]: an edited message, results of tools, the last reply once more. */
    public fun stream(input: Input, options: GenerationOptions = GenerationOptions()): Flow<Event> = flow {
        owned(Dispatchers.IO, { handle.stream(input, options) }) { reply ->
            reply.use {
                while (true) {
                    val batch = reply.next()
                    if (batch.isEmpty()) break
                    for (event in batch) emit(event)
                }
            }
        }
    }

    /**
     * Reads the conversation so far into the cache, so that the next turn begins sooner, and returns how many tokens that is:
     * as when the user begins to type. Cancelling the coroutine stops it; then everything is as before.
     *
     * @throws SpratException.Busy if a turn runs
     * @throws CancellationException if [stop] was called, or the coroutine cancelled
     */
    public suspend fun prewarm(): Int = coroutineScope {
        val work = async(Dispatchers.IO) { handle.prewarm() }
        try {
            work.await() ?: throw CancellationException("it was stopped")
        } catch (cancelled: CancellationException) {
            handle.stop()
            throw cancelled
        }
    }

    /**
     * Writes the conversation to the file at [path]: transcript, tools, random numbers and the cache, so that
     * [Model.restore] goes on without reading anything anew. The file is there whole or as it was before, should the battery
     * run out meanwhile.
     *
     * With a [cache] of fewer bits than the session's the file is smaller, and what is restored from it is only near this
     * conversation: see [isApproximate]. Null stores the cache as it is.
     *
     * @throws SpratException.Busy if a turn runs
     * @throws SpratException.CannotOpen if it cannot be written, a full disk included
     */
    public suspend fun save(path: String, cache: KvFormat? = null): Unit =
        withContext(Dispatchers.IO) { handle.save(path, cache) }

    /** The same to a [file]. */
    public suspend fun save(file: File, cache: KvFormat? = null): Unit = save(file.path, cache)

    /** Gives memory back, as when the system is short of it. Nothing is lost but time. */
    public fun trim(level: Trim): Unit = handle.trim(level)

    /**
     * Stops the turn that runs, if any: it ends within milliseconds, and is taken back unless
     * [GenerationOptions.keepPartial] says to keep what there is.
     */
    public fun stop(): Unit = handle.stop()

    /** Replaces the instructions. The next turn reads the conversation anew under them. */
    public fun setInstructions(instructions: String?): Unit = handle.setInstructions(instructions)

    /** Replaces the tools. The next turn reads the conversation anew with them. */
    public fun setTools(tools: List<Tool>): Unit = handle.setTools(tools)

    /** Takes back the last turn and returns its prompt, or null where there is none. */
    public fun undo(): String? = handle.undo()

    /** A second conversation that begins as this one is; they share the cache until one of them goes on. */
    public fun fork(): Session = Session(handle.fork())

    /** Tokens that a turn with this [input] would read, the conversation so far included. */
    public fun countTokens(input: Input): Int = handle.countTokens(input)

    /** The same for the user's next message. */
    public fun countTokens(prompt: String): Int = countTokens(Input.Text(prompt))

    /**
     * Stops the turn that runs and frees the cache. Anything asked of the session afterwards throws
     * [SpratException.Closed]. A second call does nothing.
     */
    override fun close(): Unit = handle.close()

    /** Looks into saved sessions. */
    public companion object {
        /**
         * The messages of the session that was saved to [path]. Any model can take them up with [Session.transcript], also
         * when [Model.restore] refuses the file because it was saved with another one.
         */
        public suspend fun savedTranscript(path: String): List<Message> = withContext(Dispatchers.IO) { readTranscript(path) }
    }
}

/** What a turn answers. */
public sealed interface Input {
    /** The user's next message. */
    public class Text(
        /** What is said. */
        public val text: String,
    ) : Input

    /** What the tools gave that the last reply called for. */
    public class ToolResults(
        /** In any order. */
        public val results: List<ToolResult>,
    ) : Input

    /** The last reply is taken back and made anew. */
    public data object Regenerate : Input

    /** A user's message is replaced, and what followed it dropped. */
    public class Edit(
        /** Its place in [Session.transcript]. */
        public val index: Int,
        /** The new text. */
        public val text: String,
    ) : Input
}
