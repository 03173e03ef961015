package dev.sprat

/** How the app's process ended the last time, as Android recorded it. */
public class LastExit internal constructor(
    /** Why, as far as it concerns a model. */
    public val cause: ExitCause,
    /** When, in milliseconds since 1970. */
    public val atMs: Long,
    /** Memory of the process shortly before, in bytes: shared pages, such as those of a model's file, counted by their part. */
    public val proportionalBytes: Long,
    /** The same with shared pages counted in full. */
    public val residentBytes: Long,
)

/** Why a process ended. */
public enum class ExitCause {
    /** It held more anonymous memory than Android allows an app: a shorter context or a smaller model helps. */
    MemoryLimit,

    /** The device had no memory left, by whomever it was used. */
    LowMemory,

    /** An exception that nobody caught. */
    Crash,

    /** A fault in native code. */
    NativeCrash,

    /** The main thread did not answer: a model was opened or closed on it, perhaps. */
    NotResponding,

    /** The user or the system ended it on purpose, or it ended itself. */
    Other,
}

/**
 * Android's reason, one of `ApplicationExitInfo.REASON_*`, in our words. [signal] is what ended the process, if a signal did;
 * [description] is for people, but it alone tells Android 17's limit of memory.
 */
internal fun exitCause(reason: Int, signal: Int, description: String?): ExitCause = when {
    description?.contains("MemoryLimiter") == true -> ExitCause.MemoryLimit
    reason == REASON_LOW_MEMORY -> ExitCause.LowMemory
    // Where the system cannot report a lack of memory, it looks like this.
    reason == REASON_SIGNALED && signal == SIGKILL -> ExitCause.LowMemory
    reason == REASON_CRASH -> ExitCause.Crash
    reason == REASON_CRASH_NATIVE -> ExitCause.NativeCrash
    reason == REASON_ANR -> ExitCause.NotResponding
    else -> ExitCause.Other
}

// As in android.app.ApplicationExitInfo, which the desktop has not.
private const val REASON_SIGNALED = 2
private const val REASON_LOW_MEMORY = 3
private const val REASON_CRASH = 4
private const val REASON_CRASH_NATIVE = 5
private const val REASON_ANR = 6
private const val SIGKILL = 9
