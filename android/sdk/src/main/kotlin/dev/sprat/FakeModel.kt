package dev.sprat

import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration
import kotlinx.coroutines.delay

/**
 * A model that plays a script, for tests of user interfaces: no file, no library, no waiting.
 *
 * Each turn of any of its sessions is answered with the next of [replies], piece by piece as words, [pause] apart; after the
 * last one it begins anew. [failure], if there is one, is thrown when a reply has been played instead of ending it.
 */
public fun FakeModel(
    vararg replies: String,
    pause: Duration = Duration.ZERO,
    failure: SpratException? = null,
): Model {
    require(replies.isNotEmpty()) { "a script has at least one reply" }
    return Model(Script(replies.toList(), pause, failure))
}

private class Script(val replies: List<String>, val pause: Duration, val failure: SpratException?) : ModelHandle {
    private val turn = AtomicInteger()

    override val info: ModelInfo = ModelInfo("fake", "fake", "none", CONTEXT_TOKENS, 0, 0, 0)

    override fun session(options: SessionOptions): SessionHandle = ScriptedSession(this, systemMessage(options.instructions))

    override fun restore(path: String, options: SessionOptions): SessionHandle =
        ScriptedSession(this, saved[path] ?: throw SpratException.CannotOpen("nothing was saved to $path", null))

    override fun canRestore(path: String): Boolean = saved.containsKey(path)

    override val residentBytes: Long = 0
    override val allocatedBytes: Long = 0

    override fun releasePages() = Unit

    override fun kvBytesPerToken(format: KvFormat): Long = 0

    override fun countTokens(text: String): Int = words(text).size

    override fun unload() = sessions.forEach { it.close() }

    override fun close() = Unit

    /** All that there are, for [unload]. */
    val sessions = CopyOnWriteArrayList<ScriptedSession>()

    /** Sessions are saved in memory alone. */
    val saved = ConcurrentHashMap<String, List<Message>>()

    fun next(): String = replies[turn.getAndIncrement() % replies.size]
}

private class ScriptedSession(private val script: Script, private var messages: List<Message>) : SessionHandle {
    private var closed = false
    private var running: ScriptedReply? = null

    init {
        script.sessions += this
    }

    override var transcript: List<Message>
        @Synchronized get() = open { messages }

        @Synchronized set(messages) = idle { this.messages = messages.toList() }

    override val isResponding: Boolean
        @Synchronized get() = running != null

    override val isStopping: Boolean = false

    override var partial: Partial? = null
        private set

    override val tokensUsed: Int
        @Synchronized get() = messages.sumOf { words(it.content).size }

    override val contextLimit: Int = CONTEXT_TOKENS
    override val messagesLeftOut: Int = 0
    override val isApproximate: Boolean = false
    override val memory: Memory = Memory(0, 0, 0, 0, 0, 0)

    @Synchronized
    override fun stream(input: Input, options: GenerationOptions): ReplyHandle = idle {
        ScriptedReply(this, messages.with(input), script, options).also { running = it }
    }

    override fun prewarm(): Int? = idle { tokensUsed }

    @Synchronized
    override fun save(path: String, cache: KvFormat?) = idle { script.saved[path] = messages }

    override fun trim(level: Trim) = idle { }

    override fun stop() {
        running?.close()
    }

    @Synchronized
    override fun setInstructions(instructions: String?) = idle {
        messages = systemMessage(instructions) + messages.filter { it.role != Role.System }
    }

    override fun setTools(tools: List<Tool>) = Unit

    @Synchronized
    override fun undo(): String? = idle {
        val last = messages.indexOfLast { it.role == Role.User }
        if (last < 0) return null
        messages[last].content.also { messages = messages.take(last) }
    }

    @Synchronized
    override fun fork(): SessionHandle = idle { ScriptedSession(script, messages) }

    @Synchronized
    override fun countTokens(input: Input): Int = open { messages.with(input).sumOf { words(it.content).size } }

    @Synchronized
    override fun close() {
        running?.close()
        closed = true
    }

    /** A turn is over: [turn] is all there is now, or null to leave everything as it was before. */
    @Synchronized
    fun ended(turn: List<Message>?, partial: Partial?) {
        this.partial = partial
        messages = turn ?: messages
        running = null
    }

    private inline fun <T> open(call: () -> T): T = if (closed) throw SpratException.Closed("closed", null) else call()

    private inline fun <T> idle(call: () -> T): T =
        open { if (running != null) throw SpratException.Busy("the session is still answering", null) else call() }
}

private class ScriptedReply(
    private val session: ScriptedSession,
    private val asked: List<Message>,
    private val script: Script,
    private val options: GenerationOptions,
) : ReplyHandle {
    private val all = words(script.next())
    private val pieces = all.take(options.maxTokens ?: all.size)
    private var played = 0
    private var over = false

    override suspend fun next(): List<Event> {
        delay(script.pause)
        return synchronized(this) { play() }
    }

    private fun play(): List<Event> {
        if (over) return emptyList()
        if (played < pieces.size) return listOf(Event.Text(pieces[played++]))
        over = true
        script.failure?.let {
            session.ended(null, Partial(pieces.joinToString("")))
            throw it
        }
        val reply = Reply(
            text = pieces.joinToString(""),
            stopReason = if (pieces.size < all.size) StopReason.MaxTokens else StopReason.EndOfTurn,
            generatedTokens = pieces.size,
        )
        session.ended(asked + Message(Role.Assistant, reply.text), null)
        return listOf(Event.Done(reply))
    }

    @Synchronized
    override fun close() {
        if (over) return
        over = true
        val text = pieces.take(played).joinToString("")
        val kept = options.keepPartial && played > 0
        session.ended(if (kept) asked + Message(Role.Assistant, text) else null, if (kept) null else Partial(text))
    }
}

private const val CONTEXT_TOKENS = 4096

private fun systemMessage(instructions: String?) = listOfNotNull(instructions?.let { Message(Role.System, it) })

private fun List<Message>.with(input: Input): List<Message> = when (input) {
    is Input.Text -> this + userMessage(input.text)
    is Input.Edit -> take(input.index) + userMessage(input.text)
    is Input.ToolResults -> this + input.results.map { Message(Role.Tool, it.content, name = it.name, toolCallId = it.callId) }
    Input.Regenerate -> dropLastWhile { it.role == Role.Assistant }
}

private fun userMessage(text: String): Message =
    if (text.isEmpty()) throw SpratException.InvalidArgument("the prompt is empty", null) else Message(Role.User, text)

/** Words with the space before each: joined, they are the text again. */
private fun words(text: String): List<String> = text.split(Regex("(?= )")).filter { it.isNotEmpty() }
