import Foundation
import Sprat
import XCTest

final class SavedTests: XCTestCase {
    private func assertThirdReply(_ session: Session) async throws {
        let reply = try await session.respond(to: Scenario.prompts[2], options: Scenario.greedy)
        XCTAssertEqual(reply.text, try Scenario.replies()[2])
    }

    func testASessionGoesOnWhereTheEngineOrThisLanguageSavedIt() async throws {
        let model = try await Model.open(Scenario.model)
        let copy = try Scenario.temporary(Data())
        let session = try await Session.restore(from: Scenario.saved, model: model)
        try await session.save(to: copy)
        let said = try session.transcript.filter { $0.role == .user }.map(\.content)
        XCTAssertEqual(said, Array(Scenario.prompts.prefix(2)))
        let counted = try session.countTokens(in: .text(Scenario.prompts[2]))
        let reply = try await session.respond(to: Scenario.prompts[2], options: Scenario.greedy)
        XCTAssertEqual(reply.text, try Scenario.replies()[2])
        XCTAssertEqual(reply.promptTokens, counted)
        XCTAssertGreaterThan(reply.cachedTokens, 24)

        let again = try await Session.restore(from: copy, model: model)
        let coarse = try Scenario.temporary(Data())
        try await again.save(to: coarse, cache: .q8_0)
        XCTAssertLessThan(try Data(contentsOf: coarse).count, try Data(contentsOf: copy).count)
        let near = try await Session.restore(from: coarse, model: model)
        XCTAssert(try near.isApproximate)
        let nearReply = try await near.respond(to: Scenario.prompts[2], options: Scenario.greedy)
        XCTAssert(nearReply.approximate)
        try near.trim(.cache)
        XCTAssertFalse(try near.isApproximate)
        try await assertThirdReply(again)
        // Other ways to store the cache, or other models, read the transcript anew.
        let other = try Session(model: model, instructions: "Something else")
        try other.setTranscript(try await Session.savedTranscript(at: copy))
        try await assertThirdReply(other)
    }

    func testAFileThatIsNoSessionOfThisModelSaysSo() async throws {
        let (slow, model) = (try await Model.open(Scenario.slow), try await Model.open(Scenario.model))
        let (foreign, own) = (try await slow.canRestore(from: Scenario.saved), try await model.canRestore(from: Scenario.saved))
        XCTAssert(own && !foreign)
        await assertThrows({ if case .unsupported = $0 { true } else { false } }) {
            _ = try await Session.restore(from: Scenario.saved, model: slow)
        }
        await assertThrows({ if case .cannotOpen = $0 { true } else { false } }) {
            _ = try await Session.restore(from: URL(fileURLWithPath: "/no/such/file"), model: model)
        }
        let cut = try Scenario.temporary(try Data(contentsOf: Scenario.saved).dropLast())
        await assertThrows({ if case .damaged = $0 { true } else { false } }) {
            _ = try await Session.restore(from: cut, model: model)
        }
        await assertThrows({ if case .damaged = $0 { true } else { false } }) {
            _ = try await Session.savedTranscript(at: Scenario.model)
        }
        let session = try Session(model: model)
        await assertThrows({ if case .cannotOpen = $0 { true } else { false } }) {
            try await session.save(to: URL(fileURLWithPath: "/no/such/folder/file"))
        }
        for try await _ in session.streamResponse(to: "Hello", options: Scenario.long(400)) {
            await assertThrows({ $0 == .busy }) { try await session.save(to: cut) }
            await assertThrows({ $0 == .busy }) { try session.trim(.buffers) }
            await assertThrows({ $0 == .busy }) { try await session.prewarm() }
            break
        }
    }
}
