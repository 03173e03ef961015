package dev.sprat

import dev.sprat.ffi.FfiException
import dev.sprat.ffi.InternalException
import java.nio.charset.CharacterCodingException
import java.util.concurrent.atomic.AtomicBoolean

/** Maps what is at [source]. */
internal fun openSource(source: ModelSource, options: OpenOptions): ModelHandle = translated {
    LibraryModel(dev.sprat.ffi.Model.open(source.lowered(), options.lowered()))
}

/** Looks at the header of what is at [source]. */
internal fun probeSource(source: ModelSource): Probe = translated { dev.sprat.ffi.probe(source.lowered()) }.lifted()

/** Looks at a header by itself. */
internal fun probeBytes(header: ByteArray, fileBytes: Long): Probe =
    translated { dev.sprat.ffi.probeHeader(header, unsigned("fileBytes", fileBytes)) }.lifted()

/** The messages of a saved session. */
internal fun readTranscript(path: String): List<Message> =
    translated { dev.sprat.ffi.savedTranscript(path) }.map { it.lifted() }

private class LibraryModel(private val model: dev.sprat.ffi.Model) : ModelHandle {
    private val closed = AtomicBoolean()

    override val info: ModelInfo
        get() = translated { model.info() }.lifted()

    override fun session(options: SessionOptions): SessionHandle =
        translated { LibrarySession(model.session(options.lowered())) }

    override fun restore(path: String, options: SessionOptions): SessionHandle =
        translated { LibrarySession(model.restore(path, options.lowered())) }

    override fun canRestore(path: String): Boolean = translated { model.canRestore(path) }

    override fun kvBytesPerToken(format: KvFormat): Long =
        translated { model.kvBytesPerToken(format.lowered()) }.toLong()

    override fun countTokens(text: String): Int = translated { model.countTokens(text).toInt() }

    override val residentBytes: Long
        get() = translated { model.residentBytes() }.toLong()

    override val allocatedBytes: Long
        get() = translated { model.allocatedBytes() }.toLong()

    override fun releasePages() = translated { model.releasePages() }

    override fun unload() {
        if (!closed.compareAndSet(false, true)) return
        translated { model.unload() }
        model.destroy()
    }

    override fun close() {
        if (closed.compareAndSet(false, true)) model.destroy()
    }
}

private class LibrarySession(private val session: dev.sprat.ffi.Session) : SessionHandle {
    private val closed = AtomicBoolean()

    override var transcript: List<Message>
        get() = translated { session.transcript() }.map { it.lifted() }
        set(messages) = translated { session.setTranscript(messages.map { it.lowered() }) }

    override val isResponding: Boolean
        get() = translated { session.isResponding() }

    override val isStopping: Boolean
        get() = translated { session.isStopping() }

    override val partial: Partial?
        get() = translated { session.partial() }?.run { Partial(text, thinking) }

    override val tokensUsed: Int
        get() = translated { session.tokensUsed() }.toInt()

    override val contextLimit: Int
        get() = translated { session.contextLimit() }.toInt()

    override val messagesLeftOut: Int
        get() = translated { session.messagesLeftOut() }.toInt()

    override val isApproximate: Boolean
        get() = translated { session.isApproximate() }

    override val memory: Memory
        get() = translated { session.memory() }.lifted()

    override fun stream(input: Input, options: GenerationOptions): ReplyHandle =
        translated { LibraryReply(session.stream(input.lowered(), options.lowered())) }

    override fun prewarm(): Int? = translated { session.prewarm() }?.toInt()

    override fun save(path: String, cache: KvFormat?) =
        translated { if (cache == null) session.save(path) else session.saveAs(path, cache.lowered()) }

    override fun trim(level: Trim) = translated { session.trim(level.lowered()) }

    override fun stop() = translated { session.stop() }

    override fun setInstructions(instructions: String?) = translated { session.setInstructions(instructions) }

    override fun setTools(tools: List<Tool>) = translated { session.setTools(tools.map { it.lowered() }) }

    override fun undo(): String? = translated { session.undo() }

    override fun fork(): SessionHandle = translated { LibrarySession(session.fork()) }

    override fun countTokens(input: Input): Int = translated { session.countTokens(input.lowered()) }.toInt()

    override fun close() {
        if (!closed.compareAndSet(false, true)) return
        translated { session.release() }
        session.destroy()
    }
}

private class LibraryReply(private val stream: dev.sprat.ffi.ReplyStream) : ReplyHandle {
    override suspend fun next(): List<Event> = translated { stream.nextBatch() }.map { it.lifted() }

    override fun close() {
        translated { stream.stop() }
        stream.destroy()
    }
}

/** Runs one call of the library; whatever it throws is a [SpratException], but for the cancellation of a coroutine. */
internal inline fun <T> translated(call: () -> T): T = try {
    call()
} catch (failure: FfiException) {
    throw failure.translated()
} catch (failure: InternalException) {
    throw SpratException.Internal(failure.message ?: "internal fault", failure)
} catch (failure: CharacterCodingException) {
    throw SpratException.InvalidArgument("a text has half of a surrogate pair", failure)
} catch (failure: LinkageError) {
    throw SpratException.Unsupported("there is no library for this device's processor", failure)
} catch (failure: kotlin.coroutines.cancellation.CancellationException) {
    throw failure
} catch (failure: IllegalStateException) {
    // How the generated code tells that a handle was given back.
    throw SpratException.Closed("closed", failure)
}

internal fun FfiException.translated(): SpratException = when (this) {
    is FfiException.CannotOpen -> SpratException.CannotOpen(reason, this)
    is FfiException.Damaged -> SpratException.Damaged(reason, this)
    is FfiException.Unsupported -> SpratException.Unsupported(reason, this)
    is FfiException.Template -> SpratException.Template(reason, this)
    is FfiException.InvalidArgument -> SpratException.InvalidArgument(reason, this)
    is FfiException.ContextFull -> SpratException.ContextFull(reason, used.toInt(), limit.toInt(), this)
    is FfiException.OutOfMemory -> SpratException.OutOfMemory(reason, bytes.toLong(), this)
    is FfiException.Busy -> SpratException.Busy("the session is still answering", this)
    is FfiException.Closed -> SpratException.Closed("closed", this)
    is FfiException.Internal -> SpratException.Internal(reason, this)
}
