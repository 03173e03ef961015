package dev.sprat

/**
 * What the platform tells of heat, battery and memory. Give it to [SpratLibrary.setConditions] at every change, and all turns
 * of the process take as much of the device as is good for it; the text does not depend on it.
 */
public class Conditions(
    /** Heat. */
    public val thermal: Thermal = Thermal.Nominal,
    /** Whether the user asked to save the battery. */
    public val batterySaver: Boolean = false,
    /** Whether the app is out of sight. */
    public val background: Boolean = false,
    /** Memory. */
    public val memory: MemoryPressure = MemoryPressure.Normal,
) {
    override fun toString(): String =
        "Conditions(thermal=$thermal, batterySaver=$batterySaver, background=$background, memory=$memory)"
}

/** How hot the device is. Android's `THERMAL_STATUS_*` are named beside. */
public enum class Thermal {
    /** `NONE`, `LIGHT`. */
    Nominal,

    /** `MODERATE`: the system would like less work. */
    Fair,

    /** `SEVERE`: the system has begun to slow itself down. */
    Serious,

    /** `CRITICAL` and above: parts are about to be switched off. */
    Critical,
}

/** How short of memory the device is. */
public enum class MemoryPressure {
    /** Nothing was heard. */
    Normal,

    /** `TRIM_MEMORY_RUNNING_LOW`. */
    Low,

    /** `TRIM_MEMORY_RUNNING_CRITICAL` and `COMPLETE`: the app may be ended next. */
    Critical,
}

/** How fast turns may go, fastest first. */
public enum class Pace {
    /** Everything the session was given. */
    Full,

    /** Three quarters of the workers. */
    Eased,

    /** One worker and short batches. */
    Slow,

    /** Nothing is computed until it changes; a stop still ends the turn at once. */
    Paused,
}
