import Sprat
import XCTest

/// The model of the repository, which really answers.
final class BundledTests: XCTestCase {
    private let greedy = GenerationOptions(maximumResponseTokens: 64, temperature: 0)

    private func session(_ whenFull: WhenFull?, context: Int? = Scenario.bundledContext) async throws -> Session {
        let options = SessionOptions(contextTokens: context, whenFull: whenFull)
        let model = try await Model.open(Scenario.bundled)
        return try Session(model: model, instructions: Scenario.bundledInstructions, options: options)
    }

    func testOldTurnsSlideOutOfAFullContextAndTheTextIsTheEngines() async throws {
        let session = try await session(.slide)
        let turns = try Scenario.bundledTurns()
        for turn in turns {
            let reply = try await session.respond(to: turn.prompt, options: greedy)
            XCTAssertEqual(reply.text, turn.reply)
            XCTAssertEqual(reply.messagesLeftOut, turn.messagesLeftOut)
        }
        let alarm = "{\"tool\":\"set_alarm\",\"time\":\"06:45\",\"day\":\"tomorrow\"}"
        XCTAssertEqual(try session.transcript[2].content, alarm)
        XCTAssertGreaterThan(try session.messagesLeftOut, 0)
        XCTAssertEqual(try session.transcript.count, 1 + 2 * turns.count)
    }

    func testAFullContextFailsTheTurnAndChangesNothing() async throws {
        let session = try await session(nil)
        var done = 0
        do {
            for turn in try Scenario.bundledTurns() {
                let text = try await session.respond(to: turn.prompt, options: greedy).text
                XCTAssertEqual(text, turn.reply)
                done += 1
            }
            XCTFail("nothing was thrown")
        } catch SpratError.contextFull(_, let limit) {
            XCTAssertEqual(limit, Scenario.bundledContext)
        }
        XCTAssertEqual(try session.transcript.count, 1 + 2 * done)
    }

    func testAReplyThatIsCancelledInTheMiddleIsAskedForAgain() async throws {
        let session = try await session(nil, context: nil)
        let turns = try Scenario.bundledTurns()
        let first = try await session.respond(to: turns[0].prompt, options: greedy).text
        XCTAssertEqual(first, turns[0].reply)
        // The token that ends a turn is forbidden, so it is the middle wherever it stops.
        var endless = GenerationOptions(maximumResponseTokens: 200, temperature: 0)
        endless.logitBias = [0: -.infinity]
        var seen = 0
        for try await _ in session.streamResponse(to: turns[1].prompt, options: endless) {
            seen += 1
            if seen == 3 { break }
        }
        XCTAssertEqual(try session.transcript.count, 3)
        let second = try await session.respond(to: turns[1].prompt, options: greedy).text
        XCTAssertEqual(second, turns[1].reply)
    }
}
