package dev.sprat

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking

/** When native memory goes: by a call, or at last by the garbage collector. */
class LifetimeTest {
    /** Collects garbage until [happened]; the collector and the cleaner's thread take their time. */
    private suspend fun awaitCleaner(what: String, happened: () -> Boolean) {
        repeat(600) {
            if (happened()) return
            System.gc()
            delay(50)
        }
        assertTrue(happened(), what)
    }

    /** Mappings of a file in this process (Linux). */
    private fun mappings(file: File): Int = File("/proc/self/maps").readLines().count { it.endsWith(file.path) }

    private suspend fun forgetSession(model: Model) {
        model.session().respond("Hello", Scenario.greedy)
        assertTrue(model.allocatedBytes > 0)
    }

    private suspend fun forgetModel(file: File) {
        Model.open(file).session().respond("Hello", Scenario.greedy)
        assertTrue(mappings(file) > 0)
    }

    @Test
    fun `what was never closed is freed when the garbage collector finds it`() = runBlocking {
        Model.open(Scenario.model).use { model ->
            forgetSession(model)
            awaitCleaner("the cache is freed") { model.allocatedBytes == 0L }
        }
        val copy = Scenario.model.copyTo(Scenario.temporary(), overwrite = true).canonicalFile
        forgetModel(copy)
        awaitCleaner("the file is let go") { mappings(copy) == 0 }
    }

    @Test
    fun `unloading a model ends all that runs on it`() = runBlocking {
        val model = Model.open(Scenario.model)
        val session = model.session { contextTokens = 200_000 }
        runCatching { session.stream("Hello", Scenario.endless).collect { model.unload() } }
        model.unload()
        assertFalse(session.isResponding || session.isStopping)
        assertFailsWith<SpratException.Closed> { session.respond("Hello") }
        assertFailsWith<SpratException.Closed> { model.session() }
        session.close()
    }

    @Test
    fun `a model tells what it holds of memory and gives its pages back`() = runBlocking {
        Model.open(Scenario.model).use { model ->
            assertEquals(1 to emptyList(), model.info.parts to model.info.unusedTensors)
            model.session { instructions = Scenario.INSTRUCTIONS }.use { session ->
                assertEquals(0, model.allocatedBytes)
                assertEquals(Scenario.replies[0], session.respond(Scenario.prompts[0], Scenario.greedy).text)
                assertEquals(session.memory.allocated, model.allocatedBytes)
                assertTrue(model.residentBytes > 0)
                model.releasePages()
                assertEquals(Scenario.replies[1], session.respond(Scenario.prompts[1], Scenario.greedy).text)
            }
            assertEquals(0, model.allocatedBytes)
        }
        assertTrue(SpratLibrary.device.threads > 0 && SpratLibrary.device.instructionSets.first() == "scalar")
    }
}
