package dev.sprat

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking

/** The model of the repository, which really answers. */
class BundledTest {
    private val greedy = GenerationOptions { maxTokens = 64; temperature = 0f }

    private fun withSession(full: WhenFull?, context: Int? = Scenario.BUNDLED_CONTEXT, work: suspend (Session) -> Unit) = runBlocking {
        val options = SessionOptions {
            instructions = Scenario.BUNDLED_INSTRUCTIONS
            contextTokens = context
            whenFull = full
        }
        Model.open(Scenario.bundled).use { model -> model.session(options).use { work(it) } }
    }

    @Test
    fun `old turns slide out of a full context and the text is the engine's`() = withSession(WhenFull.Slide) { session ->
        for (turn in Scenario.bundledTurns) {
            val reply = session.respond(turn.prompt, greedy)
            assertEquals(turn.reply to turn.messagesLeftOut, reply.text to reply.messagesLeftOut)
        }
        assertEquals("""{"tool":"set_alarm","time":"06:45","day":"tomorrow"}""", session.transcript[2].content)
        assertTrue(session.messagesLeftOut > 0)
        assertEquals(1 + 2 * Scenario.bundledTurns.size, session.transcript.size)
    }

    @Test
    fun `a full context fails the turn and changes nothing`() = withSession(null) { session ->
        var turns = 0
        val failure = assertFailsWith<SpratException.ContextFull> {
            for (turn in Scenario.bundledTurns) {
                assertEquals(turn.reply, session.respond(turn.prompt, greedy).text)
                turns++
            }
        }
        assertEquals(Scenario.BUNDLED_CONTEXT, failure.limitTokens)
        assertEquals(1 + 2 * turns, session.transcript.size)
    }

    @Test
    fun `a reply that is cancelled in the middle is asked for again`() = withSession(null, context = null) { session ->
        val (first, second) = Scenario.bundledTurns
        assertEquals(first.reply, session.respond(first.prompt, greedy).text)
        // The token that ends a turn is forbidden, so it is the middle wherever it stops.
        val endless = GenerationOptions { temperature = 0f; maxTokens = 200; logitBias = mapOf(0 to Float.NEGATIVE_INFINITY) }
        assertEquals(3, session.stream(second.prompt, endless).take(3).toList().size)
        assertEquals(3, session.transcript.size)
        assertEquals(second.reply, session.respond(second.prompt, greedy).text)
    }
}
