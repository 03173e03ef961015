internal import SpratBindings

/// What the platform tells of heat, battery and memory. Give it to ``SpratLibrary/setConditions(_:)`` at every change, and all
/// turns of the process take as much of the device as is good for it; the text does not depend on it.
public struct Conditions: Sendable, Equatable {
    /// Heat.
    public var thermal: Thermal
    /// Whether the user asked to save the battery.
    public var lowPowerMode: Bool
    /// Whether the app is out of sight.
    public var background: Bool
    /// Memory.
    public var memory: MemoryPressure

    /// The conditions named, and nothing wrong with the others.
    public init(
        thermal: Thermal = .nominal, lowPowerMode: Bool = false, background: Bool = false, memory: MemoryPressure = .normal
    ) {
        self.thermal = thermal
        self.lowPowerMode = lowPowerMode
        self.background = background
        self.memory = memory
    }
}

/// How hot the device is, by the names of `ProcessInfo.ThermalState`.
public enum Thermal: Sendable {
    /// All is well.
    case nominal
    /// The system would like less work.
    case fair
    /// The system has begun to slow itself down.
    case serious
    /// Parts are about to be switched off.
    case critical
}

/// How short of memory the device is.
public enum MemoryPressure: Sendable {
    /// Nothing was heard.
    case normal
    /// The system warned.
    case low
    /// The app may be ended next.
    case critical
}

/// How fast turns may go, fastest first.
public enum Pace: Sendable {
    /// Everything the session was given.
    case full
    /// Three quarters of the workers.
    case eased
    /// One worker and short batches.
    case slow
    /// Nothing is computed until it changes; a stop still ends the turn at once.
    case paused
}

extension SpratLibrary {
    /// How fast turns may go now.
    public static var pace: Pace {
        // It cannot fail: it looks at a few plain values.
        (try? SpratBindings.pace().lifted) ?? .full
    }

    /// Takes in what the platform tells: heat counts at once, and is forgotten a step every 10 seconds.
    public static func setConditions(_ conditions: Conditions) {
        // It cannot fail: it stores a few plain values.
        try? SpratBindings.setConditions(conditions: conditions.lowered)
    }
}

extension Conditions {
    fileprivate var lowered: SpratBindings.Conditions {
        SpratBindings.Conditions(
            thermal: thermal.lowered, batterySaver: lowPowerMode, background: background, memory: memory.lowered)
    }
}

extension Thermal {
    fileprivate var lowered: SpratBindings.Thermal {
        switch self {
        case .nominal: .nominal
        case .fair: .fair
        case .serious: .serious
        case .critical: .critical
        }
    }
}

extension MemoryPressure {
    fileprivate var lowered: SpratBindings.MemoryPressure {
        switch self {
        case .normal: .normal
        case .low: .low
        case .critical: .critical
        }
    }
}

extension SpratBindings.Pace {
    var lifted: Pace {
        switch self {
        case .full: .full
        case .eased: .eased
        case .slow: .slow
        case .paused: .paused
        }
    }
}
