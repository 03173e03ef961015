import Sprat
import XCTest

final class StopTests: XCTestCase {
    /// Threads of the engine, and of nothing else, are called so.
    private let engine = "sprat-"

    private func session(_ file: URL = Scenario.model) async throws -> Session {
        let options = SessionOptions(contextTokens: 200_000)
        return try Session(model: try await Model.open(file), instructions: Scenario.instructions, options: options)
    }

    /// What the engine computes after a stop takes less than 100 ms of CPU time, all its threads together.
    private func assertIdle() async throws {
        let before = Process.cpuMs(engine)
        try await Task.sleep(for: .milliseconds(500))
        XCTAssertLessThanOrEqual(Process.cpuMs(engine) - before, 100, "the engine goes on")
    }

    /// The work is over, and the session goes on as if the turn had never been.
    private func assertStopped(_ session: Session) async throws {
        try await assertIdle()
        XCTAssertEqual(try session.transcript.map(\.role), [.system])
        let text = try await session.respond(to: Scenario.prompts[0], options: Scenario.greedy).text
        XCTAssertEqual(text, try Scenario.replies()[0])
    }

    func testCancellingTheTaskStopsTheWork() async throws {
        let session = try await session()
        let before = Process.cpuMs(engine)
        let task = Task { try await session.respond(to: "Hello", options: Scenario.endless) }
        while Process.cpuMs(engine) - before < 50 { try await Task.sleep(for: .milliseconds(10)) }
        task.cancel()
        do {
            _ = try await task.value
            XCTFail("nothing was thrown")
        } catch {
            XCTAssert(error is CancellationError, "\(error)")
        }
        try await assertStopped(session)
    }

    func testLeavingTheLoopStopsTheWork() async throws {
        let session = try await session()
        var seen = 0
        for try await _ in session.streamResponse(to: "Hello", options: Scenario.endless) {
            seen += 1
            if seen == 3 { break }
        }
        try await assertStopped(session)
    }

    func testAnErrorInTheLoopStopsTheWork() async throws {
        struct Own: Error {}
        let session = try await session()
        do {
            for try await _ in session.streamResponse(to: "Hello", options: Scenario.endless) { throw Own() }
            XCTFail("nothing was thrown")
        } catch {
            XCTAssert(error is Own, "\(error)")
        }
        try await assertStopped(session)
    }

    func testASlowLoopLosesNoText() async throws {
        let session = try await session()
        var text = ""
        for try await event in session.streamResponse(to: "Hello", options: Scenario.long(600)) {
            try await Task.sleep(for: .milliseconds(1))
            switch event {
            case .text(let piece): text += piece
            case .done(let reply): XCTAssertEqual(reply.text, text)
            default: XCTFail("\(event)")
            }
        }
        XCTAssertGreaterThan(text.unicodeScalars.count, 300)
    }

    func testALoopThatStandsStillStopsTheGenerationAndThenGetsAllOfIt() async throws {
        let tokens = 3000 // many more than the queue holds
        let session = try await session()
        var text = ""
        var seen = 0
        for try await event in session.streamResponse(to: "Hello", options: Scenario.long(tokens)) {
            seen += 1
            if seen == 3 {
                // The queue fills up, and then the engine waits for room in it.
                var before: Int
                repeat {
                    before = Process.cpuMs(engine)
                    try await Task.sleep(for: .milliseconds(200))
                } while Process.cpuMs(engine) > before
                let waiting = Process.residentKB()
                try await Task.sleep(for: .milliseconds(300))
                XCTAssertLessThanOrEqual(Process.cpuMs(engine) - before, 20)
                XCTAssertLessThan(Process.residentKB() - waiting, 4096, "what waits is bounded")
                XCTAssert(session.isResponding)
            }
            switch event {
            case .text(let piece): text += piece
            case .done(let reply):
                XCTAssertEqual(reply.text, text)
                XCTAssertEqual(reply.generatedTokens, tokens)
            default: XCTFail("\(event)")
            }
        }
        XCTAssertEqual(try session.transcript.last?.content, text)
    }

    func testClosingASessionEndsItsReply() async throws {
        let session = try await session()
        for try await _ in session.streamResponse(to: "Hello", options: Scenario.endless) { session.close() }
        try await assertIdle()
        await assertThrows({ $0 == .closed }) { _ = try await session.respond(to: "Hello") }
    }

    func testStopKeepsThePartialTextWhereItGoes() async throws {
        let session = try await session()
        for try await _ in session.streamResponse(to: "Hello", options: Scenario.endless) { session.stop() }
        XCTAssertFalse(try XCTUnwrap(session.partial).text.isEmpty)
        XCTAssertEqual(try session.transcript.count, 1)

        var options = Scenario.endless
        options.keepPartial = true
        var reply: Reply?
        for try await event in session.streamResponse(to: "Hello", options: options) {
            session.stop()
            if case .done(let whole) = event { reply = whole }
        }
        XCTAssertEqual(reply?.stopReason, .stopped)
        XCTAssertEqual(reply?.text, try session.transcript.last?.content)
    }
}
