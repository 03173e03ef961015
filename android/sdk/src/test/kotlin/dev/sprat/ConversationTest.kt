package dev.sprat

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking

class ConversationTest {
    @Test
    fun `three turns give the engine's own text`() = runBlocking {
        Model.open(Scenario.model).use { model ->
            model.session { instructions = Scenario.INSTRUCTIONS }.use { session ->
                for ((prompt, reply) in Scenario.prompts.zip(Scenario.replies)) {
                    assertEquals(reply, session.respond(prompt, Scenario.greedy).text)
                }
                val roles = session.transcript.map { it.role }
                assertEquals(listOf(Role.System) + List(3) { listOf(Role.User, Role.Assistant) }.flatten(), roles)
                assertEquals(Scenario.prompts, session.transcript.filter { it.role == Role.User }.map { it.content })
            }
        }
    }

    @Test
    fun `a stream brings the text in pieces and then the reply`() = runBlocking {
        Model.open(Scenario.model).use { model ->
            model.session { instructions = Scenario.INSTRUCTIONS }.use { session ->
                val events = session.stream(Scenario.prompts[0], Scenario.greedy).toList()
                val text = events.filterIsInstance<Event.Text>().joinToString("") { it.text }
                val done = events.last() as Event.Done
                assertEquals(Scenario.replies[0], text)
                assertEquals(text, done.reply.text)
                assertEquals(StopReason.MaxTokens, done.reply.stopReason)
                assertEquals(24, done.reply.generatedTokens)
                assertTrue(done.reply.firstTokenMs > 0 && done.reply.tokensPerSecond > 0, "$done")
            }
        }
    }

    @Test
    fun `two sessions of one model do not disturb each other`() = runBlocking {
        Model.open(Scenario.model).use { model ->
            val sessions = List(2) { model.session { instructions = Scenario.INSTRUCTIONS } }
            for ((prompt, reply) in Scenario.prompts.zip(Scenario.replies)) {
                for (session in sessions) assertEquals(reply, session.respond(prompt, Scenario.greedy).text)
            }
            sessions.forEach { it.close() }
        }
    }

    @Test
    fun `options reach the engine`() = runBlocking {
        Model.open(Scenario.model).use { model ->
            model.session { instructions = Scenario.INSTRUCTIONS }.use { session ->
                val prompt = Scenario.prompts[0]
                val short = session.respond(prompt) {
                    temperature = 0f
                    maxTokens = 3
                }
                assertEquals(3, short.generatedTokens)
                assertTrue(Scenario.replies[0].startsWith(short.text.trimEnd('\uFFFD')))
                assertEquals(prompt, session.undo())

                val word = Scenario.replies[0].drop(2).take(2)
                val stopped = session.respond(prompt) {
                    temperature = 0f
                    maxTokens = 24
                    stop = listOf(word)
                }
                assertEquals(StopReason.StopString, stopped.stopReason)
                assertEquals(Scenario.replies[0].substringBefore(word), stopped.text)
                session.undo()

                val drawn = List(2) {
                    session.respond(prompt) { seed = 7; temperature = 2f; maxTokens = 16 }.text.also { session.undo() }
                }
                assertEquals(drawn[0], drawn[1])

                val forced = session.respond(prompt) { maxTokens = 2; forced = listOf('H'.code, 'I'.code) }
                assertEquals("HI", forced.text)
                session.undo()
                assertNull(session.undo())
            }
        }
    }

    @Test
    fun `a session and its model tell about themselves`() = runBlocking {
        Model.open(Scenario.model.path).use { model ->
            assertEquals("llama", model.info.family)
            assertEquals(512, model.info.contextTokens)
            assertEquals(Scenario.model.length(), model.info.fileBytes)
            assertEquals(2, model.countTokens("hi"))
            model.session { contextTokens = 256 }.use { session ->
                assertEquals(0, session.tokensUsed)
                assertEquals(session.countTokens("Hello"), session.respond("Hello", Scenario.greedy).promptTokens)
                assertTrue(session.tokensUsed > 24)
                assertEquals(256, session.contextLimit)
                assertEquals(Scenario.model.length(), session.memory.mapped)
                assertTrue(session.memory.kv > 0 && session.memory.scratch > 0)
            }
            assertEquals("0.1.0", SpratLibrary.version)
        }
    }

    @Test
    fun `a turn can be edited, made anew, forked and taken up elsewhere`() = runBlocking<Unit> {
        Model.open(Scenario.model).use { model ->
            model.session { instructions = Scenario.INSTRUCTIONS }.use { session ->
                session.respond("Something else", Scenario.greedy)
                session.respond(Input.Edit(1, Scenario.prompts[0]), Scenario.greedy)
                assertEquals(Scenario.replies[0], session.respond(Input.Regenerate, Scenario.greedy).text)
                session.fork().use { assertEquals(Scenario.replies[1], it.respond(Scenario.prompts[1], Scenario.greedy).text) }
                model.session().use { other ->
                    other.transcript = session.transcript
                    assertEquals(Scenario.replies[1], other.respond(Scenario.prompts[1], Scenario.greedy).text)
                }
                assertEquals(3, session.transcript.size)
            }
        }
    }
}
