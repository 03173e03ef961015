package dev.sprat.sample

import dev.sprat.Event
import dev.sprat.GenerationOptions
import dev.sprat.Input
import dev.sprat.Model
import dev.sprat.Reply
import dev.sprat.Role
import dev.sprat.Session
import dev.sprat.SpratException
import java.io.IOException
import java.util.Locale
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch

/** One line of the conversation. */
data class Line(val fromUser: Boolean, val text: String)

/** Everything that the screen shows. */
data class ChatState(
    /** The open model's name, or null while one is opened. */
    val model: String? = null,
    val lines: List<Line> = emptyList(),
    /** What the model has written of its answer, or null when it does not answer. */
    val answer: String? = null,
    /** Speed and memory of the last answer. */
    val figures: String = "",
    /** What went wrong last, for the user. */
    val trouble: String? = null,
) {
    val canSend: Boolean get() = model != null && answer == null
}

/**
 * A conversation with a model that can be exchanged. It knows nothing of Android: the activity's view model holds one and
 * hands it a scope, a test does the same. All functions are for the thread of [scope].
 */
class Chat(
    private val scope: CoroutineScope,
    private val instructions: String,
    /** Told each new conversation: what watches the device takes care of it. */
    private val onSession: (Session) -> Unit = {},
) {
    private val shown = MutableStateFlow(ChatState())
    private var model: Model? = null
    private var session: Session? = null
    private var work: Job? = null

    /** What to show, always the newest. */
    val state: StateFlow<ChatState> = shown.asStateFlow()

    /** Takes the model that [open] gives, and begins a new conversation; the one before is let go only if that works. */
    fun use(open: suspend () -> Model): Job = replace {
        val before = shown.value
        shown.value = before.copy(model = null, answer = null, trouble = null)
        try {
            val opened = open()
            val begun = try {
                opened.session { instructions = this@Chat.instructions }
            } catch (failure: Throwable) {
                opened.close()
                throw failure
            }
            close()
            model = opened
            session = begun
            onSession(begun)
            shown.value = ChatState(model = opened.info.name.ifEmpty { opened.info.family })
        } catch (failure: CancellationException) {
            throw failure
        } catch (failure: Exception) {
            // Ours, or of whatever `open` asks: a file that is gone, a permission that was taken back.
            shown.value = before.copy(answer = null, trouble = explanation(failure))
        }
    }

    /** Sends a message; the answer grows in [state]. */
    fun send(text: String) {
        val session = session ?: return
        if (text.isBlank() || !shown.value.canSend) return
        shown.update { it.copy(lines = it.lines + Line(true, text), answer = "", trouble = null) }
        work = scope.launch {
            try {
                // What is there when the user presses stop stays part of the conversation.
                val options = GenerationOptions { keepPartial = true; temperature = 0f }
                session.stream(Input.Text(text), options).collect { event ->
                    when (event) {
                        is Event.Text -> shown.update { it.copy(answer = it.answer + event.text) }
                        is Event.Done -> shown.update { it.copy(figures = figures(event.reply)) }
                        else -> {}
                    }
                }
                shown.update { it.copy(lines = lines(session)) }
            } catch (failure: SpratException) {
                shown.update { it.copy(lines = lines(session), trouble = explanation(failure)) }
            } finally {
                shown.update { it.copy(answer = null) }
            }
        }
    }

    /** Ends the answer that is being written; what is there stays. */
    fun stop() {
        session?.stop()
    }

    /** Lets go of the model. Call it when the screen is gone for good; it may be called twice. */
    fun close() {
        session?.close()
        model?.close()
        session = null
        model = null
    }

    /** Runs [next] when what runs now has ended. */
    private fun replace(next: suspend () -> Unit): Job {
        val before = work
        return scope.launch {
            before?.cancelAndJoin()
            next()
        }.also { work = it }
    }

    private fun lines(session: Session): List<Line> = session.transcript
        .filter { it.role == Role.User || it.role == Role.Assistant }
        .map { Line(it.role == Role.User, it.content) }

    private fun figures(reply: Reply): String {
        val allocated = reply.memory.kv + reply.memory.scratch
        return String.format(Locale.ROOT, "%.1f tokens/s · %.1f MB of memory", reply.tokensPerSecond, allocated / 1e6)
    }

    private fun explanation(failure: Exception): String = when (failure) {
        is SpratException.CannotOpen, is IOException, is SecurityException -> "The model file cannot be read."
        is SpratException.Damaged -> "The model file is damaged. Fetch it again."
        is SpratException.Unsupported -> "This model, or this device's processor, is not supported."
        is SpratException.OutOfMemory -> "There is not enough memory for this model."
        is SpratException.ContextFull -> "The conversation has become too long. Begin a new one."
        else -> "Something went wrong: ${failure.message}"
    }
}
