package dev.sprat

/** The library as a whole. */
public object SpratLibrary {
    /** Its version. */
    public val version: String
        get() = translated { dev.sprat.ffi.version() }

    /** How much it logs, to logcat on Android and to standard error elsewhere; never text of a prompt or a reply. */
    public fun setLogLevel(level: LogLevel): Unit = translated {
        dev.sprat.ffi.setLogLevel(dev.sprat.ffi.LogLevel.valueOf(level.name.uppercase()))
    }

    /** What the engine found out about the device. */
    public val device: Device
        get() = translated { dev.sprat.ffi.device() }.lifted()

    /**
     * From now on a model file that is shortened, or whose storage is pulled out, in the middle of a pass throws
     * [SpratException.Damaged] instead of ending the app. It installs a handler of SIGBUS, for good; what is not about a
     * model's file goes to the handler before it, so install a crash reporter first.
     */
    public fun guardMappedFiles(): Unit = translated { dev.sprat.ffi.guardMappedFiles() }

    /** How fast turns may go now. */
    public val pace: Pace
        get() = translated { dev.sprat.ffi.pace() }.lifted()

    /** Takes in what the platform tells: heat counts at once, and is forgotten a step every 10 seconds. */
    public fun setConditions(conditions: Conditions): Unit = translated { dev.sprat.ffi.setConditions(conditions.lowered()) }
}

/** What the engine found out about the device: for a support screen. */
public class Device internal constructor(
    /** Names of the instruction sets that there are kernels for, slowest first; the last is what is used. */
    public val instructionSets: List<String>,
    /** Worker threads, where a session names none. */
    public val threads: Int,
) {
    override fun toString(): String = "Device(instructionSets=$instructionSets, threads=$threads)"
}

/** How much is logged. */
public enum class LogLevel {
    /** Nothing. */
    Off,

    /** What failed. */
    Error,

    /** What will matter soon; the default. */
    Warn,

    /** What happened. */
    Info,

    /** How it happened. */
    Debug,
}
