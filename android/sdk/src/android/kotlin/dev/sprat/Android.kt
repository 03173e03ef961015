package dev.sprat

import android.content.Context
import android.content.res.AssetManager
import android.os.ParcelFileDescriptor
import java.io.File
import java.io.FileNotFoundException
import java.io.InputStream
import kotlinx.coroutines.Dispatchers

/**
 * Maps [lengthBytes] bytes from [offsetBytes], a multiple of 4, of the file behind [descriptor]: what the Storage Access
 * Framework hands out. The descriptor stays the caller's, who may close it afterwards.
 */
public suspend fun Model.Companion.open(
    descriptor: ParcelFileDescriptor,
    offsetBytes: Long = 0,
    lengthBytes: Long = descriptor.statSize - offsetBytes,
    options: OpenOptions = OpenOptions(),
): Model = open(ModelSource.Descriptor(descriptor.fd, offsetBytes, lengthBytes), options)

/**
 * Opens the model that lies in the app's assets as [name]. Keep it uncompressed (`androidResources { noCompress += "gguf" }`
 * in the app's build), and it is mapped where it is; otherwise the first call copies it to the app's files.
 */
public suspend fun Model.Companion.fromAsset(
    context: Context,
    name: String,
    options: OpenOptions = OpenOptions(),
): Model {
    val app = context.applicationContext
    val installed = app.packageManager.getPackageInfo(app.packageName, 0).lastUpdateTime
    val folder = File(app.noBackupFilesDir, "sprat")
    return owned(Dispatchers.IO, { Model(openAsset(AndroidAssets(app.assets), name, folder, installed, options)) }) { it }
}

private class AndroidAssets(private val manager: AssetManager) : Assets {
    override fun place(name: String): AssetPlace? = try {
        val asset = manager.openFd(name)
        AssetPlace(asset.parcelFileDescriptor.fd, asset.startOffset, asset.length, asset::close)
    } catch (_: FileNotFoundException) {
        // Compressed, or not there at all: that is found out by opening it.
        null
    }

    override fun open(name: String): InputStream = manager.open(name)
}
