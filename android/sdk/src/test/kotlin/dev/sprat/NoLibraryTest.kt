package dev.sprat

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlinx.coroutines.runBlocking

/** A processor that there is no library for: an error of ours, again and again, and never a `LinkageError`. */
class NoLibraryTest {
    /** What [tryEverything] prints in a process of its own that is started with [properties]. */
    private fun run(vararg properties: String): String {
        val java = File(System.getProperty("java.home"), "bin/java").path
        val command = listOf(java) + properties + listOf("-cp", System.getProperty("java.class.path"), "dev.sprat.NoLibraryTestKt")
        val process = ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start()
        return process.inputStream.bufferedReader().readText().trim().also { process.waitFor() }
    }

    @Test
    fun `without our library everything is unsupported`() {
        assertEquals(expected, run("-Duniffi.component.sprat.libraryOverride=no_such_library"))
    }

    @Test
    fun `without the library of JNA everything is unsupported`() {
        assertEquals(expected, run("-Djna.nosys=true", "-Djna.nounpack=true", "-Djna.boot.library.path=/no/such/folder"))
    }

    private val expected = List(calls.size) { "Unsupported" }.joinToString("\n")
}

private val calls: List<suspend () -> Unit> = listOf(
    { Model.open("model.gguf") },
    { Model.open("model.gguf") },
    { Model.probe("model.gguf") },
    { SpratLibrary.version },
    { SpratLibrary.setConditions(Conditions()) },
)

/** Prints how each call fails. */
fun main(): Unit = runBlocking {
    for (call in calls) println(runCatching { call() }.exceptionOrNull()?.javaClass?.simpleName)
}
