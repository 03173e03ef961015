package dev.sprat

import java.io.File

/** What Rust, Kotlin and Swift share: the folder that the `scenario` program of tests/ wrote, and its conversation. */
internal object Scenario {
    private val folder = File(checkNotNull(System.getProperty("sprat.scenario")) { "run by Maven" })

    val model = File(folder, "model.gguf")

    /** Takes a millisecond or more for a token. */
    val slow = File(folder, "slow.gguf")

    /** The model of the repository, which was really trained. */
    val bundled = File(folder, "bundled.gguf")

    /** The conversation after two of the three turns, as the engine saved it. */
    val saved = File(folder, "saved.sprat")

    /** What the engine read from the model's header. */
    val probe = File(folder, "probe.txt").readText()

    const val INSTRUCTIONS = "Be brief."
    val prompts = listOf("Hello", "Grüße, 你好 🐟", "Thank you")
    val replies = prompts.indices.map { File(folder, "reply-$it.txt").readText() }

    val greedy = GenerationOptions {
        maxTokens = 24
        temperature = 0f
    }

    /** A turn of the bundled model in a context that old turns slide out of. */
    class Turn(val prompt: String, val reply: String, val messagesLeftOut: Int)

    const val BUNDLED_INSTRUCTIONS = "Tools: set_alarm, set_timer, weather"
    const val BUNDLED_CONTEXT = 160
    val bundledTurns = File(folder, "bundled.txt").readLines().map { line ->
        line.split('\t').let { (prompt, reply, leftOut) -> Turn(prompt, reply, leftOut.toInt()) }
    }

    /** Exactly [tokens] long: the token that ends a turn is forbidden. */
    fun long(tokens: Int, build: GenerationOptions.Builder.() -> Unit = {}) = GenerationOptions {
        maxTokens = tokens
        temperature = 0f
        logitBias = mapOf(END_OF_TEXT to Float.NEGATIVE_INFINITY)
        build()
    }

    /** So long that nobody waits for its end. */
    val endless = long(100_000)

    private const val END_OF_TEXT = 258

    /** A copy of the model with each [from] replaced by [to], which is as long. */
    fun patched(from: String, to: String): File {
        val text = model.readText(Charsets.ISO_8859_1)
        check(from in text && from.length == to.length)
        return temporary().apply { writeText(text.replace(from, to), Charsets.ISO_8859_1) }
    }

    /** The model cut off in the middle. */
    fun cut(): File = temporary().apply { writeBytes(model.readBytes().let { it.copyOf(it.size / 2) }) }

    fun temporary(): File = File.createTempFile("sprat", null).apply { deleteOnExit() }
}

/** What the system counts of this process (Linux). */
internal object Process {
    /** CPU time that the threads whose names begin with [prefix] have used, in nanoseconds. */
    fun cpuNs(prefix: String): Long = File("/proc/self/task").listFiles().orEmpty().sumOf { task ->
        // A thread may end while we look: it counts for nothing then.
        runCatching {
            val used = File(task, "schedstat").readText().substringBefore(' ').toLong()
            if (File(task, "comm").readText().startsWith(prefix)) used else 0L
        }.getOrDefault(0L)
    }

    fun cpuMs(prefix: String): Long = cpuNs(prefix) / 1_000_000

    fun threads(): Int = File("/proc/self/task").list().orEmpty().size

    fun files(): Int = File("/proc/self/fd").list().orEmpty().size

    fun residentKb(): Long =
        File("/proc/self/status").readLines().first { it.startsWith("VmRSS:") }.filter { it.isDigit() }.toLong()
}
