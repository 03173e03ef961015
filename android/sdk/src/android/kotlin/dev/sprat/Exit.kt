package dev.sprat

import android.app.ActivityManager
import android.content.Context
import android.os.Build

/** How the app's process ended the last time, or null if Android does not tell: before Android 11, or on a first start. */
public fun lastExit(context: Context): LastExit? =
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) Android11.lastExit(context) else null

/** What is newer than the oldest Android stands in classes of its own, which older ones never load. */
@Newer
private object Android11 {
    fun lastExit(context: Context): LastExit? {
        val manager = context.getSystemService(ActivityManager::class.java)
        val info = manager.getHistoricalProcessExitReasons(context.packageName, 0, 1).firstOrNull() ?: return null
        val cause = exitCause(info.reason, info.status, info.description)
        return LastExit(cause, info.timestamp, info.pss * 1024, info.rss * 1024)
    }
}

/** Lets a class use what Android 8.0 has not. Whoever calls it looks at the version first. */
@Target(AnnotationTarget.CLASS)
@Retention(AnnotationRetention.BINARY)
internal annotation class Newer
