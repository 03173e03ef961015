import Sprat
import XCTest

final class FakeModelTests: XCTestCase {
    func testItPlaysItsScriptWordByWord() async throws {
        let model = Model.fake(replies: ["Hello there", "Bye"])
        let session = try Session(model: model, instructions: "Be brief.")
        var words: [String] = []
        for try await event in session.streamResponse(to: "Hi") {
            if case .text(let word) = event { words.append(word) }
        }
        XCTAssertEqual(words, ["Hello", " there"])
        let bye = try await session.respond(to: "Bye").text
        XCTAssertEqual(bye, "Bye")
        let edited = try await session.respond(to: .edit(index: 1, text: "Hi again")).text
        XCTAssertEqual(edited, "Hello there")
        XCTAssertEqual(try session.transcript.map(\.content), ["Be brief.", "Hi again", "Hello there"])
        XCTAssertEqual(try session.undo(), "Hi again")
        XCTAssertNil(try session.undo())
    }

    func testItStopsIsBusyFailsAndClosesAsARealOneDoes() async throws {
        let session = try Session(model: .fake(replies: ["one two three"], pause: .milliseconds(1)))
        for try await _ in session.streamResponse(to: "Hi") {
            await assertThrows({ $0 == .busy }) { try session.undo() }
            break
        }
        XCTAssertEqual(session.partial?.text, "one")
        XCTAssertEqual(try session.transcript, [])
        var kept = GenerationOptions()
        kept.keepPartial = true
        for try await event in session.streamResponse(to: "Hi", options: kept) where event == .text(" two") { break }
        XCTAssertEqual(try session.transcript.map(\.content), ["Hi", "one two"])
        session.close()
        await assertThrows({ $0 == .closed }) { _ = try await session.respond(to: "Hi") }

        let full = SpratError.contextFull(usedTokens: 2, limitTokens: 1)
        let failing = try Session(model: .fake(replies: ["one"], failure: full))
        await assertThrows({ $0 == full }) { _ = try await failing.respond(to: "Hi") }
        XCTAssertEqual(failing.partial?.text, "one")
    }
}
