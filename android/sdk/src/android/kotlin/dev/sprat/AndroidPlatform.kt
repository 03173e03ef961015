package dev.sprat

import android.app.Activity
import android.app.Application
import android.content.BroadcastReceiver
import android.content.ComponentCallbacks2
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.content.res.Configuration
import android.os.Build
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.os.PowerManager
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob

/**
 * Watches this device: thermal status (from Android 10 on), battery saver, `onTrimMemory`, and whether an activity is started.
 * Make it in `Application.onCreate`, before the first activity starts.
 */
public fun DeviceWatch(context: Context): DeviceWatch =
    DeviceWatch(AndroidPlatform(context.applicationContext as Application), CoroutineScope(SupervisorJob() + Dispatchers.Default))

private class AndroidPlatform(private val app: Application) : Platform {
    private val main = Handler(Looper.getMainLooper())
    private val power = app.getSystemService(PowerManager::class.java)
    private val stops = mutableListOf<() -> Unit>()

    override fun start(told: DeviceWatch.Told) {
        watchSaver(told)
        watchMemory(told)
        watchActivities(told)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) stops += Android10.watchThermal(power, told)
    }

    override fun stop() {
        stops.forEach { it() }
        stops.clear()
        main.removeCallbacksAndMessages(null)
    }

    override fun later(delayMs: Long, work: () -> Unit) {
        main.postDelayed(work, delayMs)
    }

    private fun watchSaver(told: DeviceWatch.Told) {
        val receiver = object : BroadcastReceiver() {
            override fun onReceive(context: Context, intent: Intent) = told.batterySaver(power.isPowerSaveMode)
        }
        app.registerReceiver(receiver, IntentFilter(PowerManager.ACTION_POWER_SAVE_MODE_CHANGED))
        stops += { app.unregisterReceiver(receiver) }
        told.batterySaver(power.isPowerSaveMode)
    }

    // Both calls are deprecated, and nothing stands in their place.
    @Suppress("OVERRIDE_DEPRECATION")
    private fun watchMemory(told: DeviceWatch.Told) {
        val callbacks = object : ComponentCallbacks2 {
            override fun onTrimMemory(level: Int) = told.trimMemory(level)

            override fun onConfigurationChanged(configuration: Configuration) = Unit

            override fun onLowMemory() = Unit
        }
        app.registerComponentCallbacks(callbacks)
        stops += { app.unregisterComponentCallbacks(callbacks) }
    }

    private fun watchActivities(told: DeviceWatch.Told) {
        val callbacks = object : Application.ActivityLifecycleCallbacks {
            private var started = 0

            override fun onActivityStarted(activity: Activity) {
                if (started++ == 0) told.visible(true)
            }

            override fun onActivityStopped(activity: Activity) {
                started = maxOf(started - 1, 0)
                // One that is turned starts again at once.
                if (started == 0 && !activity.isChangingConfigurations) told.visible(false)
            }

            override fun onActivityCreated(activity: Activity, state: Bundle?) = Unit

            override fun onActivityResumed(activity: Activity) = Unit

            override fun onActivityPaused(activity: Activity) = Unit

            override fun onActivitySaveInstanceState(activity: Activity, state: Bundle) = Unit

            override fun onActivityDestroyed(activity: Activity) = Unit
        }
        app.registerActivityLifecycleCallbacks(callbacks)
        stops += { app.unregisterActivityLifecycleCallbacks(callbacks) }
    }
}

@Newer
private object Android10 {
    /** Begins, and returns how to end it. */
    fun watchThermal(power: PowerManager, told: DeviceWatch.Told): () -> Unit {
        val listener = PowerManager.OnThermalStatusChangedListener { told.thermal(it) }
        power.addThermalStatusListener(listener)
        return { power.removeThermalStatusListener(listener) }
    }
}
