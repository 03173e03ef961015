package dev.sprat

import Hopeless
import Wanted
import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import fetch
import java.io.File
import java.io.IOException
import java.net.InetSocketAddress
import java.net.URI
import java.security.MessageDigest
import kotlin.io.path.createTempDirectory
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse

/** docs/shipping.md's recipe, beside a server that does what servers do. */
class DownloadTest {
    private val content = Scenario.model.readBytes()
    private val into = File(createTempDirectory("sprat").toFile(), "model.gguf")
    private val part = File(into.path + ".part")

    /** What the server answers to the next requests, one after the other. */
    private val answers = ArrayDeque<(HttpExchange) -> Unit>()
    private val asked = mutableListOf<Pair<String?, String?>>()
    private val server = HttpServer.create(InetSocketAddress("127.0.0.1", 0), 0).apply {
        createContext("/") { exchange ->
            asked += exchange.requestHeaders.run { getFirst("Range") to getFirst("If-Range") }
            exchange.use { answers.removeFirst()(it) }
        }
        start()
    }

    private inline fun HttpExchange.use(answer: (HttpExchange) -> Unit) = try {
        answer(this)
    } finally {
        close()
    }

    @AfterTest
    fun stop() = server.stop(0)

    private fun wanted(bytes: Long = content.size.toLong()) = Wanted(
        URI("http://127.0.0.1:${server.address.port}/model.gguf").toURL(),
        bytes,
        MessageDigest.getInstance("SHA-256").digest(content).joinToString("") { "%02x".format(it) },
    )

    private fun whole(body: ByteArray = content, tag: String = "\"1\"", send: Int = body.size): (HttpExchange) -> Unit = {
        it.responseHeaders["ETag"] = listOf(tag)
        it.sendResponseHeaders(200, body.size.toLong())
        it.responseBody.write(body, 0, send)
        it.responseBody.flush()
    }

    private fun rest(from: Int, says: Int = from): (HttpExchange) -> Unit = {
        it.responseHeaders["Content-Range"] = listOf("bytes $says-${content.size - 1}/${content.size}")
        it.responseHeaders["ETag"] = listOf("\"1\"")
        it.sendResponseHeaders(206, (content.size - from).toLong())
        it.responseBody.write(content, from, content.size - from)
    }

    private fun status(code: Int): (HttpExchange) -> Unit = { it.sendResponseHeaders(code, -1) }

    private fun assertFetched() {
        fetch(wanted(), into)
        assertContentEquals(content, into.readBytes())
        assertEquals(listOf("model.gguf"), into.parentFile.list()?.toList())
    }

    /** The part that a broken connection leaves. */
    private fun breakOff() {
        answers += whole(send = content.size / 2)
        assertFailsWith<IOException> { fetch(wanted(), into) }
        assertFalse(into.exists())
    }

    @Test
    fun `what broke off goes on where it was`() {
        breakOff()
        val have = part.length().toInt()
        answers += rest(have)
        assertFetched()
        assertEquals(listOf(null to null, "bytes=$have-" to "\"1\""), asked)
        // It is there: nobody is asked.
        assertFetched()
    }

    @Test
    fun `a server that forgets the range, or has another file, sends all of it`() {
        breakOff()
        answers += whole()
        assertFetched()
    }

    @Test
    fun `another part than was asked for is not taken`() {
        breakOff()
        val have = part.length()
        answers += rest(0, says = 0)
        assertFailsWith<IOException> { fetch(wanted(), into) }
        assertEquals(have, part.length())
    }

    @Test
    fun `a file of the right length with other content is thrown away`() {
        answers += whole(ByteArray(content.size))
        assertFailsWith<IOException> { fetch(wanted(), into) }
        answers += whole()
        assertFetched()
        assertEquals(listOf<Pair<String?, String?>>(null to null, null to null), asked)
    }

    @Test
    fun `what passes is tried again, what does not is hopeless`() {
        breakOff()
        answers += status(503)
        assertFailsWith<IOException> { fetch(wanted(), into) }
        answers += status(416)
        assertFailsWith<IOException> { fetch(wanted(), into) }
        assertFalse(part.exists())
        answers += status(404)
        assertFailsWith<Hopeless> { fetch(wanted(), into) }
        assertFailsWith<Hopeless> { fetch(wanted(Long.MAX_VALUE), into) }
    }

    @Test
    fun `an interruption ends it`() {
        answers += whole()
        Thread.currentThread().interrupt()
        assertFailsWith<IOException> { fetch(wanted(), into) }
        Thread.interrupted()
        answers += whole()
        assertFetched()
    }
}
