package dev.sprat

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.runBlocking

class DeviceWatchTest {
    private class Script : Platform {
        lateinit var told: DeviceWatch.Told
        var stopped = false
        private val waiting = mutableListOf<Pair<Long, () -> Unit>>()

        override fun start(told: DeviceWatch.Told) {
            this.told = told
            told.batterySaver(false)
        }

        override fun stop() {
            stopped = true
        }

        override fun later(delayMs: Long, work: () -> Unit) {
            waiting += delayMs to work
        }

        /** Lets what waits [delayMs] happen, the oldest first. */
        fun pass(delayMs: Long) = waiting.removeFirst().let { (delay, work) ->
            assertEquals(delayMs, delay)
            work()
        }
    }

    private val script = Script()
    private val told = mutableListOf<Conditions>()

    // Everything is done by the thread that tells.
    private val watch = DeviceWatch(script, CoroutineScope(Dispatchers.Unconfined)) { told += it }

    private fun withSession(test: suspend (Model, Session) -> Unit) = runBlocking {
        Model.open(Scenario.model).use { model ->
            model.session { instructions = Scenario.INSTRUCTIONS; contextTokens = 200_000 }.use { test(model, it) }
        }
    }

    @Test
    fun `heat and battery saver go to the governor`() {
        val table = listOf(
            0 to Thermal.Nominal, 1 to Thermal.Nominal, 2 to Thermal.Fair, 3 to Thermal.Serious,
            4 to Thermal.Critical, 5 to Thermal.Critical, 6 to Thermal.Critical,
        )
        for ((status, thermal) in table) {
            script.told.thermal(status)
            assertEquals(thermal, told.last().thermal, "$status")
        }
        script.told.batterySaver(true)
        assertEquals(Thermal.Critical to true, told.last().run { thermal to batterySaver })
    }

    @Test
    fun `what is told reaches the library by itself`() {
        val real = Script()
        try {
            DeviceWatch(real, CoroutineScope(Dispatchers.Unconfined)).use {
                real.told.visible(false)
                assertEquals(Pace.Slow, SpratLibrary.pace)
                real.told.visible(true)
                assertEquals(Pace.Full, SpratLibrary.pace)
            }
            assertTrue(real.stopped)
        } finally {
            SpratLibrary.setConditions(Conditions())
        }
    }

    @Test
    fun `sessions give back what the system asks for`() = withSession { _, session ->
        watch.add(session)
        val table = listOf(
            // level, pressure, buffers left, cache left
            listOf(10, MemoryPressure.Low, false, true),
            listOf(20, MemoryPressure.Normal, false, true),
            listOf(15, MemoryPressure.Critical, false, false),
            listOf(40, MemoryPressure.Low, false, false),
            listOf(60, MemoryPressure.Low, false, false),
            listOf(80, MemoryPressure.Critical, false, false),
        )
        for ((level, pressure, buffers, cache) in table) {
            session.respond("Hello", Scenario.greedy)
            assertTrue(session.memory.scratch > 0 && session.memory.kv > 0)
            script.told.trimMemory(level as Int)
            assertEquals(pressure, told.last().memory, "$level")
            assertEquals(listOf(buffers, cache), session.memory.run { listOf(scratch > 0, kv > 0) }, "$level")
        }
        watch.remove(session)
        session.respond("Hello", Scenario.greedy)
        script.told.trimMemory(80)
        assertTrue(session.memory.kv > 0)
    }

    @Test
    fun `a warning is forgotten, unless another came meanwhile`() {
        script.told.trimMemory(15)
        script.told.trimMemory(10)
        script.pass(30_000)
        assertEquals(MemoryPressure.Low, told.last().memory)
        script.pass(30_000)
        assertEquals(MemoryPressure.Normal, told.last().memory)
        script.told.trimMemory(80)
        script.told.visible(false)
        assertEquals(MemoryPressure.Critical, told.last().memory)
        script.told.visible(true)
        assertEquals(MemoryPressure.Normal, told.last().memory)
    }

    @Test
    fun `out of sight, a turn goes on or stops`() = withSession { _, session ->
        watch.add(session, WhenHidden.GoOn)
        var hidden = false
        session.stream("Hello", Scenario.long(400)).collect { event ->
            if (!hidden) script.told.visible(false)
            hidden = true
            if (event is Event.Done) assertEquals(400, event.reply.generatedTokens)
        }
        assertTrue(told.last().background)
        session.undo()

        watch.add(session, WhenHidden.Stop)
        session.stream("Hello", Scenario.endless).collect { script.told.visible(false) }
        assertEquals(listOf(Role.System), session.transcript.map { it.role })
    }

    @Test
    fun `out of sight, a conversation is saved and goes on from there`() = withSession { model, session ->
        val file = Scenario.temporary()
        watch.add(session, WhenHidden.Save(file) { throw it })
        assertEquals(Scenario.replies[0], session.respond(Scenario.prompts[0], Scenario.greedy).text)
        session.stream("Something else", Scenario.endless).collect { script.told.visible(false) }
        while (session.memory.kv > 0) Thread.sleep(1)
        model.restore(file).use { assertEquals(Scenario.replies[1], it.respond(Scenario.prompts[1], Scenario.greedy).text) }
        // Who comes back goes on with the session that there is.
        assertEquals(Scenario.replies[1], session.respond(Scenario.prompts[1], Scenario.greedy).text)
    }

    @Test
    fun `a file that cannot be written is told`() = withSession { _, session ->
        var failure: SpratException? = null
        watch.add(session, WhenHidden.Save(java.io.File("/no/such/folder/file")) { failure = it })
        session.respond("Hello", Scenario.greedy)
        script.told.visible(false)
        while (failure == null) Thread.sleep(1)
        assertTrue(failure is SpratException.CannotOpen && session.memory.kv > 0)
    }

    @Test
    fun `a session that answers is left alone, one that is closed forgotten`() = withSession { _, session ->
        watch.add(session)
        var asked = false
        session.stream("Hello", Scenario.long(100)).collect {
            if (!asked) script.told.trimMemory(80)
            asked = true
        }
        assertEquals(3, session.transcript.size)
        session.close()
        script.told.trimMemory(80)
        assertFailsWith<SpratException.Closed> { session.trim(Trim.Buffers) }
        watch.close()
        assertTrue(script.stopped)
        assertFalse(told.isEmpty())
    }
}
