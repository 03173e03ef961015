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
