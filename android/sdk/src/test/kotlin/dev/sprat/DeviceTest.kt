package dev.sprat

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** What a device gives a model: a file, memory, and a pace. */
class DeviceTest {
    @Test
    fun `a header tells what the engine reads in it`() = runBlocking<Unit> {
        fun Probe.line() = "$family\t$fileBytes\t$headerBytes\t$contextTokens\t$kvBytesPerToken\t$bytesPerToken"
        val probe = Model.probe(Scenario.model.path)
        assertEquals(Scenario.probe, probe.line())
        val header = Scenario.model.readBytes().copyOf(probe.headerBytes.toInt())
        assertEquals(Scenario.probe, Model.probe(header, probe.fileBytes).line())
        assertFailsWith<SpratException.Damaged> { Model.probe(header.copyOf(100), probe.fileBytes) }
        assertFailsWith<SpratException.CannotOpen> { Model.probe("/no/such/model.gguf") }
        Model.open(Scenario.model).use { model ->
            assertEquals(probe.kvBytesPerToken, model.kvBytesPerToken(KvFormat.F16))
            assertTrue(model.kvBytesPerToken(KvFormat.Q4_0) < model.kvBytesPerToken(KvFormat.Q8_0))
        }
    }

    @Test
    fun `a list of parts is a model, and a wrong one says so`() = runBlocking<Unit> {
        val part = ModelSource.Path(Scenario.model.path)
        Model.open(ModelSource.Parts(listOf(part))).use { assertEquals("llama", it.info.family) }
        for (parts in listOf(emptyList(), listOf(part, part))) {
            assertFailsWith<SpratException.Damaged> { Model.open(ModelSource.Parts(parts)) }
        }
    }

    @Test
    fun `a template can be chosen and memory limited when a model is opened`() = runBlocking<Unit> {
        Model.open(Scenario.model, OpenOptions { template = TemplateChoice.Builtin("gemma") }).use {
            assertEquals("gemma", it.info.template)
        }
        val tight = OpenOptions { template = TemplateChoice.Text("hi"); maxAnonymousBytes = 1000 }
        Model.open(Scenario.model, tight).use { model ->
            model.session().use { assertFailsWith<SpratException.OutOfMemory> { it.respond("Hello") } }
        }
        assertFailsWith<SpratException.InvalidArgument> { Model.open(Scenario.model, OpenOptions { maxAnonymousBytes = -1 }) }
    }

    @Test
    fun `without a GPU it is the CPU, and asking for one fails`() = runBlocking<Unit> {
        Model.open(Scenario.model, OpenOptions { backend = Backend.Auto }).use { model ->
            assertTrue("no GPU backend" in checkNotNull(model.info.gpuFault))
            model.session { instructions = Scenario.INSTRUCTIONS }.use { session ->
                val reply = session.respond(Scenario.prompts[0], Scenario.greedy)
                // The last token of a reply is computed with the next turn.
                assertTrue(reply.cpuTokens >= reply.promptTokens + reply.generatedTokens - 1 && reply.gpuTokens == 0)
            }
        }
        assertFailsWith<SpratException.Unsupported> { Model.open(Scenario.model, OpenOptions { backend = Backend.Gpu }) }
    }

    @Test
    fun `memory is taken ahead and given back`() = runBlocking {
        Model.open(Scenario.model).use { model ->
            model.session { instructions = Scenario.INSTRUCTIONS }.use { session ->
                val read = session.prewarm()
                assertEquals(read, session.tokensUsed)
                val reply = session.respond(Scenario.prompts[0], Scenario.greedy)
                assertEquals(Scenario.replies[0] to read, reply.text to reply.cachedTokens)
                assertTrue(reply.memory.allocated >= reply.memory.kv && reply.memory.anonymous > 0, "${reply.memory}")
                session.trim(Trim.Buffers)
                assertEquals(reply.memory.kv to 0L, session.memory.kv to session.memory.scratch)
                session.trim(Trim.Pages)
                assertEquals(0, session.memory.kv)
                assertEquals(Scenario.replies[1], session.respond(Scenario.prompts[1], Scenario.greedy).text)
            }
        }
    }

    @Test
    fun `cancelling stops what is taken ahead`() = runBlocking<Unit>(Dispatchers.Default) {
        Model.open(Scenario.slow).use { model ->
            // On one worker it would read for seconds.
            model.session { contextTokens = 200_000; threads = 1; instructions = "word ".repeat(4_000) }.use { session ->
                val work = launch { session.prewarm() }
                while (!session.isResponding) delay(1)
                work.cancelAndJoin()
                assertEquals(0, session.tokensUsed)
            }
        }
    }

    @Test
    fun `options that change nothing in the text reach the engine`() = runBlocking {
        Model.open(Scenario.model).use { model ->
            val plain = SessionOptions { instructions = Scenario.INSTRUCTIONS; batch = 8; instructionSet = "scalar" }
            model.session(plain).use { session ->
                val options = GenerationOptions { maxTokens = 24; temperature = 0f; guess = false }
                val reply = session.respond(Scenario.prompts[0], options)
                assertEquals(Scenario.replies[0] to 0, reply.text to reply.guessedTokens)
            }
            assertFailsWith<SpratException.Unsupported> { model.session { instructionSet = "abacus" } }
            val texts = List(2) {
                model.session { seed = 7; kvFormat = KvFormat.Q8_0 }.use { session ->
                    session.respond("Hello") { temperature = 2f; maxTokens = 16 }.text
                }
            }
            assertEquals(texts[0], texts[1])
        }
    }

    @Test
    fun `what the platform tells sets the pace and changes no text`() = runBlocking {
        Model.open(Scenario.model).use { model ->
            model.session { instructions = Scenario.INSTRUCTIONS }.use { session ->
                try {
                    SpratLibrary.setConditions(Conditions(batterySaver = true))
                    assertEquals(Pace.Eased, SpratLibrary.pace)
                    SpratLibrary.setConditions(Conditions(background = true, memory = MemoryPressure.Critical))
                    val reply = session.respond(Scenario.prompts[0], Scenario.greedy)
                    assertEquals(Scenario.replies[0] to Pace.Slow, reply.text to reply.slowestPace)
                } finally {
                    SpratLibrary.setConditions(Conditions())
                }
                assertEquals(Pace.Full, SpratLibrary.pace)
                assertEquals(Pace.Full, session.respond(Scenario.prompts[1], Scenario.greedy).slowestPace)
            }
        }
    }
}
