package dev.sprat

import java.io.File
import java.util.concurrent.ConcurrentHashMap
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch

/**
 * Hands on what the device tells, so that an app need not: heat, battery saver, memory and visibility go to the governor
 * ([SpratLibrary.setConditions]); sessions that were [add]ed give memory back when the system asks for it, and do what was
 * chosen for them when the app goes out of sight.
 *
 * An app has one, made in `Application.onCreate` (on Android by `DeviceWatch(context)`). All functions may be called from any
 * thread.
 */
public class DeviceWatch internal constructor(
    private val platform: Platform,
    private val scope: CoroutineScope,
    private val tell: (Conditions) -> Unit = SpratLibrary::setConditions,
) : AutoCloseable {
    private val sessions = ConcurrentHashMap<Session, WhenHidden>()
    private var conditions = Conditions()
    private var warnings = 0

    init {
        platform.start(Told())
    }

    /** Takes care of a [session] until it is closed. */
    public fun add(session: Session, whenHidden: WhenHidden = WhenHidden.GoOn) {
        sessions[session] = whenHidden
    }

    /** Leaves a [session] alone from now on. */
    public fun remove(session: Session) {
        sessions.remove(session)
    }

    /** Hears nothing any more; sessions stay as they are. */
    override fun close() {
        platform.stop()
        scope.cancel()
    }

    /** What the platform calls. */
    internal inner class Told {
        /** Android's `THERMAL_STATUS_*`. */
        fun thermal(status: Int) {
            change { changed(thermal = thermalOf(status)) }
        }

        fun batterySaver(on: Boolean) {
            change { changed(batterySaver = on) }
        }

        fun visible(yes: Boolean) {
            // Who is looked at is not what the system will end next.
            change { changed(background = !yes, memory = if (yes) MemoryPressure.Normal else memory) }
            if (!yes) for ((session, then) in sessions) care(session) { hide(then) }
        }

        /** Android's `TRIM_MEMORY_*`. */
        fun trimMemory(level: Int) {
            val warning = change {
                warnings++
                changed(memory = pressureOf(level))
            }
            // Android tells when memory is short, and never when it is not any more.
            platform.later(PRESSURE_MS) { change { if (warning == warnings) changed(memory = MemoryPressure.Normal) else this } }
            for (session in sessions.keys) care(session) { trim(trimOf(level)) }
        }
    }

    /** Returns the number of the last warning. */
    @Synchronized
    private fun change(next: Conditions.() -> Conditions): Int {
        conditions = conditions.next()
        tell(conditions)
        return warnings
    }

    private fun care(session: Session, work: suspend Session.() -> Unit): Job = scope.launch {
        try {
            session.work()
        } catch (failure: SpratException) {
            // One that answers goes on: the governor slows it down, and the system asks again.
            if (failure is SpratException.Closed) sessions.remove(session)
        }
    }
}

/** What becomes of a session when the app goes out of sight. */
public sealed interface WhenHidden {
    /** A turn goes on as long as the system lets it, on one worker. */
    public data object GoOn : WhenHidden

    /** A turn is stopped, as [Session.stop] does. */
    public data object Stop : WhenHidden

    /**
     * A turn is stopped; then the conversation is saved to [file], and its cache given back: [Model.restore] goes on from there
     * should the app be ended meanwhile. What goes wrong with the file is told to [onFailure], on any thread.
     */
    public class Save(
        /** Where to. */
        public val file: File,
        /** Hears that it did not work. */
        public val onFailure: (SpratException) -> Unit = {},
    ) : WhenHidden
}

/** An Android system, or the script of a test. */
internal interface Platform {
    /** Tells what holds now, and from then on every change, on any thread. */
    fun start(told: DeviceWatch.Told)

    fun stop()

    /** Does something after a while, unless it is stopped before. */
    fun later(delayMs: Long, work: () -> Unit)
}

/** How long a warning counts that nobody takes back. */
private const val PRESSURE_MS = 30_000L

private suspend fun Session.hide(then: WhenHidden) {
    if (then == WhenHidden.GoOn) return
    stop()
    if (then !is WhenHidden.Save) return
    try {
        save(then.file)
        trim(Trim.Cache)
    } catch (failure: SpratException) {
        if (failure is SpratException.Closed) throw failure
        then.onFailure(failure)
    }
}

private fun Conditions.changed(
    thermal: Thermal = this.thermal,
    batterySaver: Boolean = this.batterySaver,
    background: Boolean = this.background,
    memory: MemoryPressure = this.memory,
) = Conditions(thermal, batterySaver, background, memory)

// As in android.os.PowerManager and android.content.ComponentCallbacks2, which the desktop has not.

private fun thermalOf(status: Int): Thermal = when {
    status < 2 -> Thermal.Nominal // NONE, LIGHT
    status == 2 -> Thermal.Fair // MODERATE
    status == 3 -> Thermal.Serious // SEVERE
    else -> Thermal.Critical // CRITICAL, EMERGENCY, SHUTDOWN
}

private const val RUNNING_LOW = 10
private const val RUNNING_CRITICAL = 15
private const val BACKGROUND = 40
private const val COMPLETE = 80

private fun pressureOf(level: Int): MemoryPressure = when {
    level == RUNNING_CRITICAL || level >= COMPLETE -> MemoryPressure.Critical
    level == RUNNING_LOW || level >= BACKGROUND -> MemoryPressure.Low
    else -> MemoryPressure.Normal
}

private fun trimOf(level: Int): Trim = when {
    level >= COMPLETE -> Trim.Pages
    level == RUNNING_CRITICAL || level >= BACKGROUND -> Trim.Cache
    // What is RUNNING_MODERATE, RUNNING_LOW or UI_HIDDEN costs the next turn next to nothing.
    else -> Trim.Buffers
}
