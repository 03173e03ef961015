package dev.sprat

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking

class FakeModelTest {
    @Test
    fun `it plays its script word by word`() = runBlocking {
        val session = FakeModel("Hello there", "Bye").session { instructions = "Be brief." }
        val words = session.stream("Hi").filterIsInstance<Event.Text>().map { it.text }.toList()
        assertEquals(listOf("Hello", " there"), words)
        assertEquals("Bye", session.respond("Bye").text)
        assertEquals("Hello there", session.respond(Input.Edit(1, "Hi again")).text)
        assertEquals(listOf("Be brief.", "Hi again", "Hello there"), session.transcript.map { it.content })
        assertEquals("Hi again", session.undo())
        assertNull(session.undo())
    }

    @Test
    fun `it stops, is busy, fails and closes as a real one does`() = runBlocking<Unit> {
        val session = FakeModel("one two three", pause = 1.milliseconds).session()
        session.stream("Hi").take(1).collect {
            assertFailsWith<SpratException.Busy> { session.undo() }
        }
        assertEquals("one", session.partial?.text)
        assertEquals(0, session.transcript.size)
        val kept = GenerationOptions { keepPartial = true }
        session.stream("Hi", kept).take(2).collect {}
        assertEquals(listOf("Hi", "one two"), session.transcript.map { it.content })
        session.close()
        assertFailsWith<SpratException.Closed> { session.respond("Hi") }

        val failing = FakeModel("one", failure = SpratException.ContextFull("full", 2, 1, null)).session()
        assertFailsWith<SpratException.ContextFull> { failing.respond("Hi") }
        assertEquals("one", failing.partial?.text)
    }
}
