package dev.sprat

import kotlin.test.Test
import kotlin.test.assertEquals

class LastExitTest {
    /** The numbers are those that Android documents for `ApplicationExitInfo`. */
    @Test
    fun `reasons of Android are told apart by what an app can do`() {
        val table = listOf(
            Triple(3, 0, null) to ExitCause.LowMemory,
            Triple(2, 9, null) to ExitCause.LowMemory,
            Triple(2, 15, null) to ExitCause.Other,
            Triple(4, 0, "crash") to ExitCause.Crash,
            Triple(5, 11, null) to ExitCause.NativeCrash,
            Triple(6, 0, null) to ExitCause.NotResponding,
            Triple(13, 0, "MemoryLimiter:AnonSwap") to ExitCause.MemoryLimit,
            Triple(13, 0, "other") to ExitCause.Other,
            Triple(10, 0, null) to ExitCause.Other,
        )
        for ((told, cause) in table) assertEquals(cause, exitCause(told.first, told.second, told.third), "$told")
    }
}
