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

    /** How many tokens [text] is by itself; for a whole conversation see [Session.countTokens]. */
    public fun countTokens(text: String): Int = handle.countTokens(text)

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
        public suspend fun open(path: String): Model = opened { openFile(path) }

        /** The same for a [file]. */
        public suspend fun open(file: File): Model = open(file.path)

        /**
         * Maps [lengthBytes] bytes from [offsetBytes], a multiple of 4, of the file behind the descriptor number
         * [descriptor]. The descriptor stays the caller's, who may close it afterwards.
         */
        public suspend fun openDescriptor(descriptor: Int, offsetBytes: Long, lengthBytes: Long): Model =
            opened { openDescriptorRange(descriptor, offsetBytes, lengthBytes) }

        private suspend fun opened(open: () -> ModelHandle): Model = owned(Dispatchers.IO, { Model(open()) }) { it }
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
    /** Bytes of KV cache that each token of a conversation takes. */
    public val kvBytesPerToken: Long,
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
