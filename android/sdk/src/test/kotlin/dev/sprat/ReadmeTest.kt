package dev.sprat

import java.io.ByteArrayOutputStream
import java.io.PrintStream
import kotlin.test.Test
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import main

class ReadmeTest {
    @Test
    fun `the program of the README runs`() {
        val printed = ByteArrayOutputStream()
        val before = System.out
        System.setOut(PrintStream(printed, true))
        try {
            runBlocking { main() }
        } finally {
            System.setOut(before)
        }
        assertTrue(printed.toString().trimEnd().endsWith(" tokens/s"), "$printed")
    }
}
