package dev.sprat

import java.io.File
import java.io.IOException
import java.io.InputStream

/** Files inside an app package; on Android an `AssetManager`. */
internal interface Assets {
    /** Where an uncompressed file lies, or null for one that is compressed. */
    fun place(name: String): AssetPlace?

    /** The content of a file, compressed or not. */
    fun open(name: String): InputStream
}

/** A part of an open file. */
internal class AssetPlace(val descriptor: Int, val offsetBytes: Long, val lengthBytes: Long, private val onClose: () -> Unit) :
    AutoCloseable {
    override fun close(): Unit = onClose()
}

/**
 * The model in a file of the app package. An uncompressed one is mapped where it is; a compressed one is copied into
 * [folder] once for each [version] of the app. A copy is renamed when it is complete, so that one that was broken off is
 * never taken for a model.
 */
internal fun openAsset(
    assets: Assets,
    name: String,
    folder: File,
    version: Long,
    options: OpenOptions = OpenOptions(),
): ModelHandle = try {
    val place = assets.place(name)
    if (place != null) {
        place.use { openSource(ModelSource.Descriptor(it.descriptor, it.offsetBytes, it.lengthBytes), options) }
    } else {
        openSource(ModelSource.Path(copied(assets, name, folder, version).path), options)
    }
} catch (failure: IOException) {
    throw SpratException.CannotOpen("asset $name: ${failure.message}", failure)
}

private fun copied(assets: Assets, name: String, folder: File, version: Long): File {
    val base = name.replace('/', '_')
    val copy = File(folder, "$base.$version")
    if (copy.exists()) return copy
    folder.mkdirs()
    val part = File.createTempFile(base, ".part", folder)
    try {
        assets.open(name).use { from -> part.outputStream().use { to -> from.copyTo(to) } }
        if (!part.renameTo(copy)) throw IOException("cannot rename the copy to $copy")
    } finally {
        part.delete()
    }
    // Copies of older versions have no more use.
    folder.listFiles { file -> file.name.startsWith("$base.") && file != copy }?.forEach { it.delete() }
    return copy
}
