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

    /** How fast turns may go now. */
    public val pace: Pace
        get() = translated { dev.sprat.ffi.pace() }.lifted()

    /** Takes in what the platform tells: heat counts at once, and is forgotten a step every 10 seconds. */
    public fun setConditions(conditions: Conditions): Unit = translated { dev.sprat.ffi.setConditions(conditions.lowered()) }
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
