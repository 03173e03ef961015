import Foundation

/// Hands on what the device tells, so that an app need not: heat, low power mode, memory and visibility go to the governor
/// (``SpratLibrary/setConditions(_:)``); sessions that were added give memory back at a memory warning, and do what was chosen
/// for them when the app goes out of sight.
///
/// An app has one, made when it starts: `DeviceWatch()` on Apple platforms. All functions may be called from any thread.
public final class DeviceWatch: Sendable {
    private let platform: any Platform
    private let watched: Watched

    init(platform: any Platform, tell: @escaping @Sendable (Conditions) -> Void = SpratLibrary.setConditions) {
        self.platform = platform
        watched = Watched(platform: platform, tell: tell)
        platform.start(watched)
    }

    deinit {
        platform.stop()
    }

    /// Takes care of a session for as long as there is somebody else who holds it.
    public func add(_ session: Session, whenHidden: WhenHidden = .goOn) {
        watched.add(session, whenHidden)
    }

    /// Leaves a session alone from now on.
    public func remove(_ session: Session) {
        watched.remove(session)
    }
}

/// What becomes of a session when the app goes out of sight.
public enum WhenHidden: Sendable {
    /// A turn goes on as long as the system lets it, on one worker.
    case goOn
    /// A turn is stopped, as ``Session/stop()`` does.
    case stop
    /// A turn is stopped; then the conversation is saved to the file, and its cache given back:
    /// ``Session/restore(from:model:options:)`` goes on from there should the app be ended meanwhile. What goes wrong with the
    /// file is told to `onFailure`.
    case save(URL, onFailure: @Sendable (SpratError) -> Void = { _ in })
}

/// Apple's system, or the script of a test.
protocol Platform: AnyObject, Sendable {
    /// Tells what holds now, and from then on every change, on any thread.
    func start(_ told: any Told)
    func stop()
    /// Does something after a while, unless it is stopped before.
    func later(_ delay: Duration, _ work: @escaping @Sendable () -> Void)
    /// Asks the system for the time that `work` takes, also out of sight.
    func finish(_ work: @escaping @Sendable () -> Void)
}

/// Who hears it.
protocol Told: AnyObject, Sendable {
    func thermal(_ state: Thermal)
    func lowPowerMode(_ on: Bool)
    func visible(_ yes: Bool)
    func memoryWarning()
}

/// The sessions and what was told last.
private final class Watched: Told, @unchecked Sendable {
    private struct Entry {
        weak var session: Session?
        let whenHidden: WhenHidden
    }

    /// How long a warning counts: Apple tells when memory is short, and never when it is not any more.
    private static let pressure = Duration.seconds(30)

    private let tell: @Sendable (Conditions) -> Void
    private let lock = NSLock()
    // Under the lock.
    private weak var platform: (any Platform)?
    private var entries: [Entry] = []
    private var conditions = Conditions()
    private var warnings = 0

    init(platform: any Platform, tell: @escaping @Sendable (Conditions) -> Void) {
        self.platform = platform
        self.tell = tell
    }

    func add(_ session: Session, _ whenHidden: WhenHidden) {
        remove(session)
        lock.withLock { entries.append(Entry(session: session, whenHidden: whenHidden)) }
    }

    func remove(_ session: Session) {
        lock.withLock { entries.removeAll { $0.session == nil || $0.session === session } }
    }

    func thermal(_ state: Thermal) {
        change { $0.thermal = state }
    }

    func lowPowerMode(_ on: Bool) {
        change { $0.lowPowerMode = on }
    }

    func visible(_ yes: Bool) {
        change {
            $0.background = !yes
            // Who is looked at is not what the system will end next.
            if yes { $0.memory = .normal }
        }
        if yes { return }
        let (entries, platform) = seen()
        for case (let session?, let then) in entries.map({ ($0.session, $0.whenHidden) }) {
            if case .goOn = then { continue }
            session.stop()
            if case .save(let url, let onFailure) = then {
                platform?.finish { save(session, to: url, onFailure) }
            }
        }
    }

    func memoryWarning() {
        let warning = lock.withLock {
            warnings += 1
            return warnings
        }
        change { $0.memory = .critical }
        let (entries, platform) = seen()
        platform?.later(Self.pressure) { [weak self] in self?.forget(warning) }
        // A session that answers goes on: the governor slows it down, and the system asks again.
        for entry in entries { try? entry.session?.trim(.cache) }
    }

    private func seen() -> ([Entry], (any Platform)?) {
        lock.withLock { (entries, platform) }
    }

    private func forget(_ warning: Int) {
        if lock.withLock({ warnings == warning }) { change { $0.memory = .normal } }
    }

    private func change(_ next: (inout Conditions) -> Void) {
        lock.withLock {
            next(&conditions)
            tell(conditions)
        }
    }
}

private func save(_ session: Session, to url: URL, _ onFailure: (SpratError) -> Void) {
    do {
        try session.saveNow(to: url)
        try session.trim(.cache)
    } catch {
        if error != .closed { onFailure(error) }
    }
}
