import Foundation
import Sprat
import XCTest

/// When native memory goes: with the last reference, or by a call.
final class LifetimeTests: XCTestCase {
    /// Mappings of a file in this process, where the system tells (Linux).
    private func mappings(_ file: URL) throws -> Int? {
        #if !os(Linux)
        return nil
        #endif
        let maps = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8)
        return maps.split(separator: "\n").filter { $0.hasSuffix(file.path) }.count
    }

    func testWhatWasNeverClosedIsFreedWithTheLastReference() async throws {
        let model = try await Model.open(Scenario.model)
        func forgetSession() async throws {
            _ = try await Session(model: model).respond(to: "Hello", options: Scenario.greedy)
            // Its turn may be about to end on a thread of its own.
            while try model.allocatedBytes > 0 { try await Task.sleep(for: .milliseconds(1)) }
        }
        try await forgetSession()

        let copy = try Scenario.temporary(try Data(contentsOf: Scenario.model)).resolvingSymlinksInPath()
        func forgetModel() async throws {
            let session = try Session(model: try await Model.open(copy))
            _ = try await session.respond(to: "Hello", options: Scenario.greedy)
            XCTAssertNotEqual(try mappings(copy), 0)
        }
        try await forgetModel()
        while try mappings(copy) ?? 0 > 0 { try await Task.sleep(for: .milliseconds(1)) }
    }

    func testUnloadingAModelEndsAllThatRunsOnIt() async throws {
        let model = try await Model.open(Scenario.model)
        let session = try Session(model: model, options: SessionOptions(contextTokens: 200_000))
        for try await _ in session.streamResponse(to: "Hello", options: Scenario.endless) { try await model.unload() }
        XCTAssertFalse(session.isResponding || session.isStopping)
        await assertThrows({ $0 == .closed }) { _ = try await session.respond(to: "Hello") }
        await assertThrows({ $0 == .closed }) { _ = try Session(model: model) }
    }

    func testAModelTellsWhatItHoldsOfMemoryAndGivesItsPagesBack() async throws {
        let model = try await Model.open(Scenario.model)
        XCTAssertEqual(model.info.parts, 1)
        XCTAssertEqual(model.info.unusedTensors, [])
        XCTAssertEqual(try model.allocatedBytes, 0)
        let session = try Session(model: model, instructions: Scenario.instructions)
        for (prompt, reply) in zip(Scenario.prompts, try Scenario.replies()) {
            let text = try await session.respond(to: prompt, options: Scenario.greedy).text
            XCTAssertEqual(text, reply)
            XCTAssertEqual(try model.allocatedBytes, try session.memory.allocated)
            XCTAssertGreaterThan(try model.residentBytes, 0)
            try model.releasePages()
        }
        XCTAssertGreaterThan(SpratLibrary.device.threads, 0)
        XCTAssertEqual(SpratLibrary.device.instructionSets.first, "scalar")
    }
}
