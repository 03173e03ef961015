package dev.sprat

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

class StopTest {
    /** Threads of the engine, and of nothing else, are called so. */
    private val engine = "sprat-"

    /** What the engine computes after a stop takes less than 100 ms of CPU time, all its threads together. */
    private suspend fun assertIdle() {
        val before = Process.cpuMs(engine)
        delay(500)
        val used = Process.cpuMs(engine) - before
        assertTrue(used <= 100, "the engine goes on: $used ms")
    }

    /** The work is over, and the session goes on as if the turn had never been. */
    private suspend fun assertStopped(session: Session) {
        assertIdle()
        assertEquals(listOf(Role.System), session.transcript.map { it.role })
        session.undo()
        assertEquals(Scenario.replies[0], session.respond(Scenario.prompts[0], Scenario.greedy).text)
    }

    private fun withSession(file: java.io.File = Scenario.model, work: suspend (Session) -> Unit) = runBlocking(Dispatchers.Default) {
        Model.open(file).use { model ->
            model.session { instructions = Scenario.INSTRUCTIONS; contextTokens = 200_000 }.use { work(it) }
        }
    }

    @Test
    fun `cancelling the coroutine stops the work`() = withSession { session ->
        runBlocking {
            val running = CompletableDeferred<Unit>()
            val job = launch(Dispatchers.Default) {
                session.stream("Hello", Scenario.endless).collect { running.complete(Unit) }
            }
            running.await()
            val before = Process.cpuMs(engine)
            while (Process.cpuMs(engine) - before < 50) delay(10)
            job.cancelAndJoin()
        }
        assertStopped(session)
    }

    @Test
    fun `taking a few events stops the work`() = withSession { session ->
        assertEquals(3, session.stream("Hello", Scenario.endless).take(3).toList().size)
        assertStopped(session)
    }

    @Test
    fun `an exception in the collector comes out and stops the work`() = withSession { session ->
        val failure = assertFailsWith<IllegalStateException> {
            session.stream("Hello", Scenario.endless).collect { error("the app's own") }
        }
        assertEquals("the app's own", failure.message)
        assertStopped(session)
    }

    @Test
    fun `a slow collector loses no text`() = withSession { session ->
        var text = ""
        val events = session.stream("Hello", Scenario.long(600))
        events.onEach { delay(1) }.collect { event ->
            when (event) {
                is Event.Text -> text += event.text
                is Event.Done -> assertEquals(event.reply.text, text)
                else -> error("$event")
            }
        }
        assertTrue(text.length > 300, "${text.length} characters")
    }

    @Test
    fun `a collector that stands still stops the generation, and then gets all of it`() = withSession { session ->
        var text = ""
        var seen = 0
        session.stream("Hello", Scenario.long(TOKENS)).collect { event ->
            if (++seen == 3) {
                // The queue fills up, and then the engine waits for room in it.
                val tokens = Process.cpuMs(engine)
                var before: Long
                do {
                    before = Process.cpuMs(engine)
                    delay(200)
                } while (Process.cpuMs(engine) > before)
                val waiting = Process.residentKb()
                delay(300)
                assertEquals(before, Process.cpuMs(engine), "it waits, after ${before - tokens} ms")
                assertTrue(Process.residentKb() - waiting < 4096, "what waits is bounded")
                assertTrue(session.isResponding)
            }
            when (event) {
                is Event.Text -> text += event.text
                is Event.Done -> assertEquals(TOKENS to event.reply.text, event.reply.generatedTokens to text)
                else -> error("$event")
            }
        }
        assertEquals(text, session.transcript.last().content)
    }

    @Test
    fun `closing a session ends its reply`() = withSession { session ->
        val events = session.stream("Hello", Scenario.endless)
        var seen = 0
        runCatching { events.collect { if (++seen == 3) session.close() } }
        assertIdle()
        assertFailsWith<SpratException.Closed> { session.respond("Hello") }
    }

    @Test
    fun `stop keeps the partial text where it goes`() = withSession { session ->
        session.stream("Hello", Scenario.endless).collect { session.stop() }
        val partial = checkNotNull(session.partial).text
        assertTrue(partial.isNotEmpty())
        assertEquals(1, session.transcript.size)

        val options = Scenario.long(100_000) { keepPartial = true }
        var reply: Reply? = null
        session.stream("Hello", options).collect {
            session.stop()
            if (it is Event.Done) reply = it.reply
        }
        assertEquals(StopReason.Stopped, reply?.stopReason)
        assertEquals(reply?.text, session.transcript.last().content)
    }

    private companion object {
        /** Many more than the queue holds. */
        const val TOKENS = 3000
    }
}
