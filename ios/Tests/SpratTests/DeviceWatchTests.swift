import Foundation
@testable import Sprat
import XCTest

final class DeviceWatchTests: XCTestCase {
    private final class Play: Platform, @unchecked Sendable {
        weak var told: (any Told)?
        var stopped = false
        var waiting: [(Duration, @Sendable () -> Void)] = []
        var unfinished: [@Sendable () -> Void] = []

        func start(_ told: any Told) {
            self.told = told
            told.thermal(.nominal)
        }

        func stop() { stopped = true }

        func later(_ delay: Duration, _ work: @escaping @Sendable () -> Void) { waiting.append((delay, work)) }

        func finish(_ work: @escaping @Sendable () -> Void) { unfinished.append(work) }

        /// What waits happens, the oldest first.
        func pass(_ delay: Duration) {
            let (after, work) = waiting.removeFirst()
            XCTAssertEqual(after, delay)
            work()
        }
    }

    private final class Heard: @unchecked Sendable {
        var conditions: [Conditions] = []
        var failure: SpratError?
    }

    private let play = Play()
    private let heard = Heard()
    private var last: Conditions? { heard.conditions.last }

    private func watch() -> DeviceWatch {
        DeviceWatch(platform: play) { [heard] in heard.conditions.append($0) }
    }

    private func session() async throws -> (Model, Session) {
        let model = try await Model.open(Scenario.model)
        let options = SessionOptions(contextTokens: 200_000)
        return (model, try Session(model: model, instructions: Scenario.instructions, options: options))
    }

    func testHeatAndLowPowerModeGoToTheGovernor() throws {
        let watch = watch()
        for state in [Thermal.fair, .serious, .critical] {
            play.told?.thermal(state)
            XCTAssertEqual(last, Conditions(thermal: state))
        }
        play.told?.lowPowerMode(true)
        XCTAssertEqual(last, Conditions(thermal: .critical, lowPowerMode: true))
        withExtendedLifetime(watch) {}
    }

    func testWhatIsToldReachesTheLibraryByItself() throws {
        defer { SpratLibrary.setConditions(Conditions()) }
        var watch: DeviceWatch? = DeviceWatch(platform: play)
        play.told?.visible(false)
        XCTAssertEqual(SpratLibrary.pace, .slow)
        play.told?.visible(true)
        XCTAssertEqual(SpratLibrary.pace, .full)
        XCTAssertFalse(play.stopped)
        watch = nil
        XCTAssert(play.stopped && watch == nil)
    }

    func testAMemoryWarningTakesTheCacheAndIsForgotten() async throws {
        let (watch, (_, session)) = (watch(), try await session())
        watch.add(session)
        _ = try await session.respond(to: "Hello", options: Scenario.greedy)
        XCTAssertGreaterThan(try session.memory.kv, 0)
        play.told?.memoryWarning()
        XCTAssertEqual(try session.memory.kv, 0)
        XCTAssertEqual(last?.memory, .critical)
        play.told?.memoryWarning()
        play.pass(.seconds(30))
        XCTAssertEqual(last?.memory, .critical, "another came meanwhile")
        play.pass(.seconds(30))
        XCTAssertEqual(last?.memory, .normal)
        play.told?.memoryWarning()
        play.told?.visible(true)
        XCTAssertEqual(last?.memory, .normal)

        watch.remove(session)
        _ = try await session.respond(to: "Hello", options: Scenario.greedy)
        play.told?.memoryWarning()
        XCTAssertGreaterThan(try session.memory.kv, 0)
    }

    func testOutOfSightATurnGoesOnOrStops() async throws {
        let (watch, (_, session)) = (watch(), try await session())
        watch.add(session)
        var generated: Int?
        for try await event in session.streamResponse(to: "Hello", options: Scenario.long(400)) {
            play.told?.visible(false)
            play.told?.memoryWarning()
            if case .done(let reply) = event { generated = reply.generatedTokens }
        }
        XCTAssertEqual(generated, 400)
        XCTAssertEqual(last?.background, true)
        try session.undo()

        watch.add(session, whenHidden: .stop)
        for try await _ in session.streamResponse(to: "Hello", options: Scenario.endless) { play.told?.visible(false) }
        XCTAssertEqual(try session.transcript.map(\.role), [.system])
        XCTAssert(play.unfinished.isEmpty)
    }

    func testOutOfSightAConversationIsSavedAndGoesOnFromThere() async throws {
        let (watch, (model, session)) = (watch(), try await session())
        let (file, replies) = (try Scenario.temporary(Data()), try Scenario.replies())
        watch.add(session, whenHidden: .save(file))
        let first = try await session.respond(to: Scenario.prompts[0], options: Scenario.greedy).text
        XCTAssertEqual(first, replies[0])
        for try await _ in session.streamResponse(to: "Something else", options: Scenario.endless) {
            play.told?.visible(false)
        }
        play.unfinished.forEach { $0() }
        XCTAssertEqual(try session.memory.kv, 0)
        // Who was ended restores, who comes back goes on.
        for session in [try await Session.restore(from: file, model: model), session] {
            let text = try await session.respond(to: Scenario.prompts[1], options: Scenario.greedy).text
            XCTAssertEqual(text, replies[1])
        }
    }

    func testAFileThatCannotBeWrittenIsTold() async throws {
        let (watch, (_, session)) = (watch(), try await session())
        let nowhere = URL(fileURLWithPath: "/no/such/folder/file")
        watch.add(session, whenHidden: .save(nowhere) { [heard] in heard.failure = $0 })
        play.told?.visible(false)
        play.unfinished.forEach { $0() }
        guard case .cannotOpen = heard.failure else { return XCTFail("\(String(describing: heard.failure))") }
    }
}
