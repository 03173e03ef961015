package dev.sprat.sample

import dev.sprat.FakeModel
import dev.sprat.Model
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking

class ChatTest {
    private val bundled = File(checkNotNull(System.getProperty("sprat.bundled")))

    private fun chat(test: suspend CoroutineScope.(Chat) -> Unit) = runBlocking {
        coroutineScope { Chat(this, INSTRUCTIONS).let { test(it); it.close() } }
    }

    private suspend fun Chat.answered(): ChatState = state.first { it.canSend }

    @Test
    fun `the bundled model sets an alarm, and changes it`() = chat { chat ->
        chat.use { Model.open(bundled) }.join()
        assertEquals("Sprat Tiny", chat.answered().model)
        chat.send("wake me up at quarter to seven tomorrow")
        assertEquals("""{"tool":"set_alarm","time":"06:45","day":"tomorrow"}""", chat.answered().lines.last().text)
        chat.send("actually make it 7:15")
        val state = chat.answered()
        assertEquals("""{"tool":"set_alarm","time":"07:15","day":"tomorrow"}""", state.lines.last().text)
        assertEquals(listOf(true, false, true, false), state.lines.map { it.fromUser })
        assertTrue(Regex("""\d+\.\d tokens/s · \d+\.\d MB of memory""").matches(state.figures), state.figures)
    }

    @Test
    fun `stop keeps what was written`() = chat { chat ->
        chat.use { FakeModel("one two three four", pause = 1.milliseconds) }.join()
        chat.send("Count")
        chat.state.first { it.answer == "one two" }
        chat.stop()
        val last = chat.answered().lines.last()
        assertTrue(!last.fromUser && last.text.startsWith("one two"), "$last")
    }

    @Test
    fun `a file that is no model leaves the conversation that there is`() = chat { chat ->
        chat.use { FakeModel("Hello") }.join()
        chat.send("Hi")
        val before = chat.answered()
        chat.use { Model.open("no such file") }.join()
        val state = chat.answered()
        assertNotNull(state.trouble)
        assertEquals(before.lines, state.lines)
        chat.send("Hi again")
        assertNull(chat.answered().trouble)
        assertEquals(4, chat.state.value.lines.size)
    }

    @Test
    fun `another model begins anew, and nothing is sent while there is none`() = chat { chat ->
        chat.send("Nobody is there")
        assertTrue(chat.state.value.lines.isEmpty())
        chat.use { FakeModel("Hello") }.join()
        chat.send("Hi")
        chat.answered()
        chat.use { FakeModel("Bye") }.join()
        assertTrue(chat.answered().lines.isEmpty())
    }
}
