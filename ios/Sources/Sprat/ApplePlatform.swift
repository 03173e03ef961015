#if canImport(Darwin)
import Dispatch
import Foundation
#if os(iOS)
import UIKit
#endif

// Not compiled on Linux, and not yet run on a device.

extension DeviceWatch {
    /// Watches this device: thermal state, low power mode, memory warnings and, on iOS, whether the app is in sight.
    public convenience init() {
        self.init(platform: ApplePlatform())
    }
}

private final class ApplePlatform: Platform, @unchecked Sendable {
    private let lock = NSLock()
    // Under the lock.
    private var observers: [any NSObjectProtocol] = []
    private var pressure: (any DispatchSourceMemoryPressure)?
    private var isStopped = false

    func start(_ told: any Told) {
        observe(ProcessInfo.thermalStateDidChangeNotification) {
            told.thermal(Thermal(ProcessInfo.processInfo.thermalState))
        }
        observe(.NSProcessInfoPowerStateDidChange) {
            told.lowPowerMode(ProcessInfo.processInfo.isLowPowerModeEnabled)
        }
        told.thermal(Thermal(ProcessInfo.processInfo.thermalState))
        told.lowPowerMode(ProcessInfo.processInfo.isLowPowerModeEnabled)
        #if os(iOS)
        observe(UIApplication.didReceiveMemoryWarningNotification) { told.memoryWarning() }
        observe(UIApplication.didEnterBackgroundNotification) { told.visible(false) }
        observe(UIApplication.willEnterForegroundNotification) { told.visible(true) }
        #else
        let source = DispatchSource.makeMemoryPressureSource(eventMask: [.warning, .critical], queue: .global())
        source.setEventHandler { told.memoryWarning() }
        source.activate()
        lock.withLock { pressure = source }
        #endif
    }

    func stop() {
        lock.withLock {
            isStopped = true
            observers.forEach(NotificationCenter.default.removeObserver)
            observers = []
            pressure?.cancel()
        }
    }

    func later(_ delay: Duration, _ work: @escaping @Sendable () -> Void) {
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(Int(delay.components.seconds))) { [weak self] in
            guard let self, !self.lock.withLock({ self.isStopped }) else { return }
            work()
        }
    }

    func finish(_ work: @escaping @Sendable () -> Void) {
        #if os(iOS)
        // Also in app extensions, and on a thread of the system's own.
        ProcessInfo.processInfo.performExpiringActivity(withReason: "Saving a conversation") { expired in
            if !expired { work() }
        }
        #else
        DispatchQueue.global().async(execute: work)
        #endif
    }

    private func observe(_ name: Notification.Name, _ work: @escaping @Sendable () -> Void) {
        let observer = NotificationCenter.default.addObserver(forName: name, object: nil, queue: nil) { _ in work() }
        lock.withLock { observers.append(observer) }
    }
}

extension Thermal {
    fileprivate init(_ state: ProcessInfo.ThermalState) {
        switch state {
        case .nominal: self = .nominal
        case .fair: self = .fair
        case .serious: self = .serious
        case .critical: self = .critical
        @unknown default: self = .critical
        }
    }
}
#endif
