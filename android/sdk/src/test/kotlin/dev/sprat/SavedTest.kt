package dev.sprat

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.runBlocking

class SavedTest {
    private suspend fun Session.thirdReply() = respond(Scenario.prompts[2], Scenario.greedy)

    @Test
    fun `a session goes on where the engine or this language saved it`() = runBlocking {
        Model.open(Scenario.model).use { model ->
            val copy = Scenario.temporary()
            model.restore(Scenario.saved).use { session ->
                session.save(copy)
                assertEquals(Scenario.prompts.take(2), session.transcript.filter { it.role == Role.User }.map { it.content })
                val reply = session.thirdReply()
                assertEquals(Scenario.replies[2], reply.text)
                assertTrue(reply.cachedTokens > 24, "${reply.cachedTokens}")
            }
            model.restore(copy).use { assertEquals(Scenario.replies[2], it.thirdReply().text) }
            val coarse = Scenario.temporary()
            model.restore(copy).use { it.save(coarse, KvFormat.Q8_0) }
            assertTrue(coarse.length() < copy.length(), "${coarse.length()} of ${copy.length()} bytes")
            model.restore(coarse).use { session ->
                assertTrue(session.isApproximate)
                assertTrue(session.thirdReply().approximate)
                session.trim(Trim.Cache)
                assertFalse(session.isApproximate)
            }
            // Other ways to store the cache, or other models, read the transcript anew.
            model.session { instructions = "Something else" }.use { session ->
                session.transcript = Session.savedTranscript(copy.path)
                assertEquals(Scenario.replies[2], session.thirdReply().text)
            }
        }
    }

    @Test
    fun `a file that is no session of this model says so`() = runBlocking<Unit> {
        Model.open(Scenario.slow).use { other ->
            assertFalse(other.canRestore(Scenario.saved.path))
            assertFailsWith<SpratException.Unsupported> { other.restore(Scenario.saved) }
        }
        Model.open(Scenario.model).use { model ->
            assertTrue(model.canRestore(Scenario.saved.path))
            assertFailsWith<SpratException.CannotOpen> { model.canRestore("/no/such/file") }
            assertFailsWith<SpratException.CannotOpen> { model.restore("/no/such/file") }
            val cut = Scenario.temporary().apply { writeBytes(Scenario.saved.readBytes().dropLast(1).toByteArray()) }
            assertFailsWith<SpratException.Damaged> { model.restore(cut) }
            assertFailsWith<SpratException.Damaged> { Session.savedTranscript(Scenario.model.path) }
            model.session().use { session ->
                assertFailsWith<SpratException.CannotOpen> { session.save("/no/such/folder/file") }
                session.stream("Hello", Scenario.long(400)).take(1).collect {
                    assertFailsWith<SpratException.Busy> { session.save(File("unused")) }
                    assertFailsWith<SpratException.Busy> { session.trim(Trim.Buffers) }
                    assertFailsWith<SpratException.Busy> { session.prewarm() }
                }
            }
        }
    }
}
