package dev.sprat

import java.io.File
import java.io.IOException
import java.io.InputStream
import java.io.RandomAccessFile
import kotlin.io.path.createTempDirectory
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class AssetsTest {
    private val folder = createTempDirectory("sprat").toFile().apply { deleteOnExit() }

    /** A compressed asset; reading it may break off. */
    private class Compressed(private val breaksOff: Boolean = false) : Assets {
        var opened = 0

        override fun place(name: String): AssetPlace? = null

        override fun open(name: String): InputStream {
            opened++
            val whole = Scenario.model.inputStream()
            return if (breaksOff) object : InputStream() {
                override fun read(): Int = throw IOException("no more")
            } else whole
        }
    }

    @Test
    fun `a compressed asset is copied once for each version`() {
        val assets = Compressed()
        for ((version, opened) in listOf(1L to 1, 1L to 1, 2L to 2)) {
            openAsset(assets, "models/m.gguf", folder, version).use { assertEquals("llama", it.info.family) }
            assertEquals(opened, assets.opened)
            assertEquals(listOf("models_m.gguf.$version"), folder.list()?.toList())
        }
    }

    @Test
    fun `a copy that breaks off leaves nothing and can be made again`() {
        assertFailsWith<SpratException.CannotOpen> { openAsset(Compressed(breaksOff = true), "m.gguf", folder, 1) }
        assertTrue(folder.list().orEmpty().isEmpty())
        openAsset(Compressed(), "m.gguf", folder, 1).close()
    }

    @Test
    fun `an uncompressed asset is mapped where it is`() {
        val container = File(folder, "app.apk")
        container.writeBytes(ByteArray(4096) + Scenario.model.readBytes())
        RandomAccessFile(container, "r").use { file ->
            val descriptor = descriptorOf(file)
            var closed = false
            val assets = object : Assets {
                override fun place(name: String) = AssetPlace(descriptor, 4096, Scenario.model.length()) { closed = true }

                override fun open(name: String): InputStream = error("not needed")
            }
            openAsset(assets, "m.gguf", folder, 1).use { assertEquals(Scenario.model.length(), it.info.fileBytes) }
            assertTrue(closed)
        }
        container.delete()
    }

    /** The number behind a file (Linux): the newest that leads to it. */
    private fun descriptorOf(file: RandomAccessFile): Int {
        file.seek(0)
        return File("/proc/self/fd").listFiles().orEmpty()
            .filter { runCatching { it.canonicalFile == File(folder, "app.apk").canonicalFile }.getOrDefault(false) }
            .maxOf { it.name.toInt() }
    }
}
