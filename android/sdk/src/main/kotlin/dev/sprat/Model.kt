package dev.sprat

import java.io.File
import kotlin.coroutines.CoroutineContext
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/**
 * An open model file: read once, shared by any number of sessions.
 *
 * The file is mapped, not loaded: its pages are the system's to give and to take back. All functions may be called from
 * any thread. [close] it, or let `use {}` do so; one that is forgotten is freed some time after the garbage collector has
 * found it, which for a large model is too late.
 */
public class Model internal constructor(private val handle: ModelHandle) : AutoCloseable {
    /** What the model says of itself. */
    public val info: ModelInfo = handle.info

    /** A new, empty conversation. */
    public fun session(options: SessionOptions = SessionOptions()): Session =
        Session(handle.session(options))

    /** A new, empty conversation with the options that [build] sets. */
    public fun session(build: SessionOptions.Builder.() -> Unit): Session = session(SessionOptions(build))

    /**
     * A conversation that [Session.save] wrote to the file at [path] with this very model: it goes on without reading
     * anything anew. Its messages and tools replace those of [options]. The file must stay as it is while the session is
     * open; saving to the same path replaces it and does no harm.
     *
     * @throws SpratException.CannotOpen if the file is not there
     * @throws SpratException.Damaged if it is not what was written
     * @throws SpratException.Unsupported if it was written with another model, or by another version of the library; see
     *   [Session.savedTranscript]
     */
    public suspend fun restore(path: String, options: SessionOptions = SessionOptions()): Session =
        owned(Dispatchers.IO, { Session(handle.restore(path, options)) }) { it }

    /** The same from a [file]. */
    public suspend fun restore(file: File, options: SessionOptions = SessionOptions()): Session = restore(file.path, options)

    /**
     * Whether [restore] would take the session at [path]: it was saved with this very model. Throws as [restore] does where
     * the file cannot be read.
     */
    public suspend fun canRestore(path: String): Boolean = withContext(Dispatchers.IO) { handle.canRestore(path) }

    /** Bytes of KV cache that each token of a conversation takes, stored in this [format]. */
    public fun kvBytesPerToken(format: KvFormat): Long = handle.kvBytesPerToken(format)

    /** How many tokens [text] is by itself; for a whole conversation see [Session.countTokens]. */
    public fun countTokens(text: String): Int = handle.countTokens(text)

    /** Bytes of the mapped file that are in memory, at most: the system takes them back when it needs them. */
    public val residentBytes: Long
        get() = handle.residentBytes

    /** Bytes that all sessions of this model have allocated together: what counts against the app. */
    public val allocatedBytes: Long
        get() = handle.allocatedBytes

    /** Asks the system to drop the file's pages from memory now. They are read anew as they are needed. */
    public fun releasePages(): Unit = handle.releasePages()

    /**
     * Closes this model and all its sessions: turns that run are stopped, and it returns when they have ended. Anything asked
     * of them afterwards throws [SpratException.Closed].
     */
    public suspend fun unload(): Unit = withContext(Dispatchers.IO) { handle.unload() }

    /**
     * Lets go of the file. Sessions that are open go on and keep what they need; anything else asked of this model
     * afterwards throws [SpratException.Closed]. A second call does nothing.
     */
    override fun close(): Unit = handle.close()

    /** Opens models. */
    public companion object {
        /**
         * Maps the file at [path] and checks it: milliseconds to tenths of a second, on a thread for waiting.
         *
         * @throws SpratException.CannotOpen if the file is not there or may not be read
         * @throws SpratException.Damaged if it is cut off or contradicts itself
         * @throws SpratException.Unsupported if it is of a kind that this version does not run, or if the app runs on a
         *   processor that the library is not made for
         */
        public suspend fun open(path: String, options: OpenOptions = OpenOptions()): Model =
            open(ModelSource.Path(path), options)

        /** The same for a [file]. */
        public suspend fun open(file: File, options: OpenOptions = OpenOptions()): Model = open(file.path, options)

        /** The same for a part of an open file, or for a split model. */
        public suspend fun open(source: ModelSource, options: OpenOptions = OpenOptions()): Model =
            owned(Dispatchers.IO, { Model(openSource(source, options)) }) { it }

        /**
         * Looks at the header of the model at [path] alone: whether it is supported, and what it needs. Throws as [open] does.
         */
        public suspend fun probe(path: String): Probe = probe(ModelSource.Path(path))

        /** The same for any [source]. */
        public suspend fun probe(source: ModelSource): Probe = withContext(Dispatchers.IO) { probeSource(source) }

        /**
         * The same for the first bytes of a file of [fileBytes], before the rest is fetched: some megabytes, most of it the
         * vocabulary.
         *
         * @throws SpratException.Damaged if the header is longer than [header]
         */
        public suspend fun probe(header: ByteArray, fileBytes: Long): Probe =
            withContext(Dispatchers.Default) { probeBytes(header, fileBytes) }
    }
}

/** What a model says of itself. */
public class ModelInfo(
    /** Its name, or empty. */
    public val name: String,
    /** Its family, such as `llama`. */
    public val family: String,
    /** Where its chat template comes from. */
    public val template: String,
    /** Tokens of context it was made for. */
    public val contextTokens: Int,
    /** Size of the mapped file, in bytes. */
    public val fileBytes: Long,
    /** Bytes of weights that one token reads: generation is as fast as memory brings them. */
    public val bytesPerToken: Long,
    /** Bytes of KV cache that each token of a conversation takes, stored as [KvFormat.F16]. */
    public val kvBytesPerToken: Long,
    /** Files that it consists of. */
    public val parts: Int = 1,
    /** Names of the file's tensors that its family has no use for: a sign of a file that is not what it says. */
    public val unusedTensors: List<String> = emptyList(),
    /** Why no GPU computes for it; null where one does. */
    public val gpuFault: String? = null,
) {
    override fun toString(): String = "ModelInfo(name=$name, family=$family, contextTokens=$contextTokens)"
}

/**
 * Makes a resource on [context] and hands it to [use]. If the coroutine is cancelled in between, when nobody would hold
 * the resource, it is closed.
 */
internal suspend fun <R : AutoCloseable, T> owned(context: CoroutineContext, make: () -> R, use: suspend (R) -> T): T {
    var made: R? = null
    try {
        withContext(context) { made = make() }
    } catch (failure: Throwable) {
        made?.close()
        throw failure
    }
    return use(checkNotNull(made))
}
