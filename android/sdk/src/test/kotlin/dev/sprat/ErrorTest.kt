package dev.sprat

import dev.sprat.ffi.FfiException
import java.io.RandomAccessFile
import kotlin.reflect.KClass
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.runBlocking

class ErrorTest {
    private fun <T : SpratException> assertOpenFails(kind: KClass<T>, path: String, word: String) {
        val failure = assertFailsWith(kind) { runBlocking { Model.open(path) } }
        assertTrue(word in failure.message.orEmpty(), failure.message)
    }

    @Test
    fun `a file that cannot be used says why`() {
        assertOpenFails(SpratException.CannotOpen::class, "/no/such/model.gguf", "/no/such/model.gguf")
        assertOpenFails(SpratException.Damaged::class, Scenario.cut().path, "")
        assertOpenFails(SpratException.Unsupported::class, Scenario.patched("llama", "lxama").path, "lxama")
    }

    @Test
    fun `a descriptor that cannot be used says why`() {
        for ((descriptor, offset) in listOf(-1 to 0L, 9_999 to 0L)) {
            assertFailsWith<SpratException.CannotOpen> { runBlocking { Model.open(ModelSource.Descriptor(descriptor, offset, 10)) } }
        }
        assertFailsWith<SpratException.InvalidArgument> { runBlocking { Model.open(ModelSource.Descriptor(0, -1, 10)) } }
    }

    @Test
    fun `a model without a template needs one by name`() = runBlocking<Unit> {
        Model.open(Scenario.patched("tokenizer.chat_template", "tokenizer.chat_templatX")).use { model ->
            assertFailsWith<SpratException.Template> { model.session() }
            model.session { template = "chatml" }.use { it.respond("Hello", Scenario.greedy) }
            assertFailsWith<SpratException.InvalidArgument> { model.session { template = "no such" } }
        }
    }

    @Test
    fun `arguments out of range are named`() = runBlocking<Unit> {
        Model.open(Scenario.model).use { model ->
            model.session().use { session ->
                val hot = assertFailsWith<SpratException.InvalidArgument> { session.respond("Hello") { temperature = -1f } }
                assertTrue("temperature" in hot.message.orEmpty(), hot.message)
                val few = assertFailsWith<SpratException.InvalidArgument> { session.respond("Hello") { maxTokens = -1 } }
                assertTrue("maxTokens" in few.message.orEmpty(), few.message)
                assertFailsWith<SpratException.InvalidArgument> { session.respond("") }
                assertFailsWith<SpratException.InvalidArgument> { session.respond(Input.Regenerate) }
                val tool = Tool("clock", "Tells the time.", "{")
                assertFailsWith<SpratException.InvalidArgument> { session.setTools(listOf(tool)) }
                assertTrue(session.transcript.isEmpty())
            }
        }
    }

    @Test
    fun `a full context tells how full`() = runBlocking<Unit> {
        Model.open(Scenario.model).use { model ->
            model.session { contextTokens = 64 }.use { session ->
                val failure = assertFailsWith<SpratException.ContextFull> { session.respond("a".repeat(100)) }
                assertEquals(64, failure.limitTokens)
                assertTrue(failure.usedTokens > 100)
                session.respond("Hi") { maxTokens = 2 }
            }
        }
    }

    @Test
    fun `a second reply at a time is refused`() = runBlocking<Unit> {
        Model.open(Scenario.model).use { model ->
            model.session { contextTokens = 200_000 }.use { session ->
                session.stream("Hello", Scenario.endless).take(1).collect {
                    assertFailsWith<SpratException.Busy> { session.respond("Hello") }
                    assertFailsWith<SpratException.Busy> { session.undo() }
                    assertTrue(session.isResponding && session.transcript.isEmpty())
                }
            }
        }
    }

    @Test
    fun `what is closed says so`() = runBlocking<Unit> {
        val model = Model.open(Scenario.model)
        val open = model.session()
        val closed = model.session()
        closed.close()
        closed.close()
        model.close()
        model.close()
        assertFailsWith<SpratException.Closed> { closed.respond("Hello") }
        assertFailsWith<SpratException.Closed> { closed.transcript }
        assertFailsWith<SpratException.Closed> { model.session() }
        assertFailsWith<SpratException.Closed> { model.countTokens("hi") }
        // It keeps what it needs of the model.
        assertEquals(24, open.respond("Hello", Scenario.greedy).generatedTokens)
        open.close()
    }

    @Test
    fun `half of a surrogate pair is an argument that is out of range`() = runBlocking<Unit> {
        Model.open(Scenario.model).use { model ->
            assertFailsWith<SpratException.InvalidArgument> { model.countTokens("a fish: \uD83D") }
            model.session().use { session ->
                assertFailsWith<SpratException.InvalidArgument> { session.respond("\uDC1F") }
                assertFailsWith<SpratException.InvalidArgument> { session.setInstructions("\uD83D") }
                assertTrue(session.transcript.isEmpty() && !session.isResponding)
                session.respond("Hello \uD83D\uDC1F", Scenario.greedy)
            }
        }
    }

    @Test
    fun `a panic in the library is an error, and everything goes on`() = runBlocking<Unit> {
        Model.open(Scenario.model).use { model ->
            // Libraries for tests panic at this path; shipped ones have it not.
            repeat(3) { assertFailsWith<SpratException.Internal> { Model.open("sprat-ffi:panic") } }
            model.session { instructions = Scenario.INSTRUCTIONS }.use {
                assertEquals(Scenario.replies[0], it.respond(Scenario.prompts[0], Scenario.greedy).text)
            }
        }
    }

    @Test
    fun `a file that is cut off while it is open says so`() = runBlocking<Unit> {
        SpratLibrary.guardMappedFiles()
        val copy = Scenario.model.copyTo(Scenario.temporary(), overwrite = true)
        Model.open(copy).use { model ->
            model.session { contextTokens = 200_000 }.use { session ->
                assertFailsWith<SpratException.Damaged> {
                    session.stream("Hello", Scenario.endless).collect { RandomAccessFile(copy, "rw").use { it.setLength(4096) } }
                }
                assertFailsWith<SpratException.Damaged> { session.respond("Hello") }
            }
        }
    }

    @Test
    fun `every error of the library has its exception and its facts`() {
        val kinds = listOf(
            FfiException.CannotOpen("x") to SpratException.CannotOpen::class,
            FfiException.Damaged("x") to SpratException.Damaged::class,
            FfiException.Unsupported("x") to SpratException.Unsupported::class,
            FfiException.Template("x") to SpratException.Template::class,
            FfiException.InvalidArgument("x") to SpratException.InvalidArgument::class,
            FfiException.ContextFull("x", 2uL, 1uL) to SpratException.ContextFull::class,
            FfiException.OutOfMemory("x", 5uL) to SpratException.OutOfMemory::class,
            FfiException.Busy() to SpratException.Busy::class,
            FfiException.Closed() to SpratException.Closed::class,
            FfiException.Internal("x") to SpratException.Internal::class,
        )
        assertEquals(FfiException::class.java.permittedOrNested(), kinds.map { it.first::class.java }.toSet())
        for ((inside, outside) in kinds) {
            val translated = inside.translated()
            assertEquals(outside, translated::class)
            assertEquals(inside, translated.cause)
        }
        assertEquals(5, (FfiException.OutOfMemory("x", 5uL).translated() as SpratException.OutOfMemory).bytes)
    }

    private fun Class<*>.permittedOrNested(): Set<Class<*>> = declaredClasses.filter { isAssignableFrom(it) }.toSet()
}
