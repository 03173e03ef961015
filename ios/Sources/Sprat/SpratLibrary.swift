internal import SpratBindings
#if canImport(os)
import os
#endif

/// The library as a whole.
public enum SpratLibrary {
    /// Its version.
    public static var version: String {
        // It cannot fail: it is a constant.
        (try? SpratBindings.version()) ?? ""
    }

    /// What the engine found out about the device.
    public static var device: Device {
        // It cannot fail: they are plain values.
        (try? SpratBindings.device()).map { Device(instructionSets: $0.instructionSets, threads: Int($0.threads)) }
            ?? Device(instructionSets: [], threads: 0)
    }

    /// From now on a model file that is shortened, or whose storage goes away, in the middle of a pass throws
    /// ``SpratError/damaged(_:)`` instead of ending the app. It installs a handler of SIGBUS, for good; what is not about a
    /// model's file goes to the handler before it, so install a crash reporter first.
    public static func guardMappedFiles() throws(SpratError) {
        try translated { try SpratBindings.guardMappedFiles() }
    }

    /// How much it logs, to the unified log on Apple platforms and to standard error elsewhere; never text of a prompt or a
    /// reply.
    public static func setLogLevel(_ level: LogLevel) {
        #if canImport(os)
        try? setLogSink(sink: UnifiedLog())
        #endif
        // It cannot fail: it stores a number.
        try? SpratBindings.setLogLevel(level: level.lowered)
    }
}

/// What the engine found out about the device: for a support screen.
public struct Device: Sendable, Equatable {
    /// Names of the instruction sets that there are kernels for, slowest first; the last is what is used.
    public let instructionSets: [String]
    /// Worker threads, where a session names none.
    public let threads: Int
}

/// How much is logged.
public enum LogLevel: Sendable {
    /// Nothing.
    case off
    /// What failed.
    case error
    /// What will matter soon; the default.
    case warn
    /// What happened.
    case info
    /// How it happened.
    case debug

    fileprivate var lowered: SpratBindings.LogLevel {
        switch self {
        case .off: .off
        case .error: .error
        case .warn: .warn
        case .info: .info
        case .debug: .debug
        }
    }
}

#if canImport(os)
private final class UnifiedLog: LogSink {
    private let logger = Logger(subsystem: "dev.sprat", category: "engine")

    func line(level: SpratBindings.LogLevel, text: String) {
        switch level {
        case .off: break
        case .error: logger.error("\(text, privacy: .public)")
        case .warn: logger.warning("\(text, privacy: .public)")
        case .info: logger.info("\(text, privacy: .public)")
        case .debug: logger.debug("\(text, privacy: .public)")
        }
    }
}
#endif
