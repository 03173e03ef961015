import Sprat
import XCTest

final class ConversationTests: XCTestCase {
    private func session(_ options: SessionOptions = SessionOptions()) async throws -> (Model, Session) {
        let model = try await Model.open(Scenario.model)
        return (model, try Session(model: model, instructions: Scenario.instructions, options: options))
    }

    func testThreeTurnsGiveTheEnginesOwnText() async throws {
        let (_, session) = try await session()
        for (prompt, reply) in zip(Scenario.prompts, try Scenario.replies()) {
            let text = try await session.respond(to: prompt, options: Scenario.greedy).text
            XCTAssertEqual(text, reply)
        }
        let transcript = try session.transcript
        XCTAssertEqual(transcript.map(\.role), [.system, .user, .assistant, .user, .assistant, .user, .assistant])
        XCTAssertEqual(transcript.filter { $0.role == .user }.map(\.content), Scenario.prompts)
    }

    func testAStreamBringsTheTextInPiecesAndThenTheReply() async throws {
        let (_, session) = try await session()
        var text = ""
        var reply: Reply?
        for try await event in session.streamResponse(to: Scenario.prompts[0], options: Scenario.greedy) {
            XCTAssertNil(reply)
            switch event {
            case .text(let piece): text += piece
            case .done(let whole): reply = whole
            default: XCTFail("\(event)")
            }
        }
        XCTAssertEqual(text, try Scenario.replies()[0])
        XCTAssertEqual(reply?.text, text)
        XCTAssertEqual(reply?.stopReason, .maxTokens)
        XCTAssertEqual(reply?.generatedTokens, 24)
        XCTAssertGreaterThan(reply?.firstTokenMs ?? 0, 0)
    }

    func testTwoSessionsOfOneModelDoNotDisturbEachOther() async throws {
        let (model, first) = try await session()
        let second = try Session(model: model, instructions: Scenario.instructions)
        for (prompt, reply) in zip(Scenario.prompts, try Scenario.replies()) {
            for session in [first, second] {
                let text = try await session.respond(to: prompt, options: Scenario.greedy).text
                XCTAssertEqual(text, reply)
            }
        }
    }

    func testOptionsReachTheEngine() async throws {
        let (_, session) = try await session()
        let (prompt, whole) = (Scenario.prompts[0], try Scenario.replies()[0])
        let short = try await session.respond(
            to: prompt, options: GenerationOptions(maximumResponseTokens: 3, temperature: 0))
        XCTAssertEqual(short.generatedTokens, 3)
        XCTAssertEqual(try session.undo(), prompt)

        let word = String(whole.unicodeScalars.dropFirst(2).prefix(2).map(Character.init))
        let options = GenerationOptions(maximumResponseTokens: 24, temperature: 0, stop: [word])
        let stopped = try await session.respond(to: prompt, options: options)
        XCTAssertEqual(stopped.stopReason, .stopString)
        XCTAssertEqual(stopped.text, whole.components(separatedBy: word)[0])
        try session.undo()

        let drawing = GenerationOptions(maximumResponseTokens: 16, temperature: 2, seed: 7)
        let drawn = try await session.respond(to: prompt, options: drawing).text
        let again = try await session.respond(to: .regenerate, options: drawing).text
        XCTAssertEqual(drawn, again)
        try session.undo()

        var forced = GenerationOptions(maximumResponseTokens: 2)
        forced.forced = Array("HI".utf8).map(Int.init)
        let hi = try await session.respond(to: prompt, options: forced).text
        XCTAssertEqual(hi, "HI")
    }

    func testASessionAndItsModelTellAboutThemselves() async throws {
        let (model, session) = try await session(SessionOptions(contextTokens: 256))
        XCTAssertEqual(model.info.family, "llama")
        XCTAssertEqual(model.info.contextTokens, 512)
        XCTAssertEqual(try model.countTokens(in: "hi"), 2)
        XCTAssertEqual(try session.tokensUsed, 0)
        let counted = try session.countTokens(in: .text("Hello"))
        let reply = try await session.respond(to: "Hello", options: Scenario.greedy)
        XCTAssertEqual(reply.promptTokens, counted)
        XCTAssertEqual(try session.contextLimit, 256)
        XCTAssertEqual(try session.memory.mapped, model.info.fileBytes)
        XCTAssertGreaterThan(try session.memory.kv, 0)
        XCTAssertEqual(SpratLibrary.version, "0.1.0")
    }

    func testATurnCanBeEditedMadeAnewForkedAndTakenUpElsewhere() async throws {
        let (model, session) = try await session()
        let replies = try Scenario.replies()
        _ = try await session.respond(to: "Something else", options: Scenario.greedy)
        _ = try await session.respond(to: .edit(index: 1, text: Scenario.prompts[0]), options: Scenario.greedy)
        let anew = try await session.respond(to: .regenerate, options: Scenario.greedy).text
        XCTAssertEqual(anew, replies[0])
        let other = try Session(model: model)
        try other.setTranscript(try session.transcript)
        for session in [try session.fork(), other] {
            let text = try await session.respond(to: Scenario.prompts[1], options: Scenario.greedy).text
            XCTAssertEqual(text, replies[1])
        }
        XCTAssertEqual(try session.transcript.count, 3)
    }
}
