import Foundation
import Sprat
import XCTest

final class ErrorTests: XCTestCase {
    func testAFileThatCannotBeUsedSaysWhy() async throws {
        await assertThrows({ if case .cannotOpen(let reason) = $0 { reason.contains("/no/such") } else { false } }) {
            _ = try await Model.open(path: "/no/such/model.gguf")
        }
        let cut = try Scenario.cut()
        await assertThrows({ if case .damaged = $0 { true } else { false } }) { _ = try await Model.open(cut) }
        let other = try Scenario.patched("llama", "lxama")
        await assertThrows({ if case .unsupported(let reason) = $0 { reason.contains("lxama") } else { false } }) {
            _ = try await Model.open(other)
        }
    }

    func testAModelWithoutATemplateNeedsOneByName() async throws {
        let model = try await Model.open(try Scenario.patched("tokenizer.chat_template", "tokenizer.chat_templatX"))
        await assertThrows({ if case .template = $0 { true } else { false } }) { _ = try Session(model: model) }
        let session = try Session(model: model, options: SessionOptions(template: "chatml"))
        _ = try await session.respond(to: "Hello", options: Scenario.greedy)
        await assertThrows({ if case .invalidArgument = $0 { true } else { false } }) {
            _ = try Session(model: model, options: SessionOptions(template: "no such"))
        }
    }

    func testArgumentsOutOfRangeAreNamed() async throws {
        let session = try Session(model: try await Model.open(Scenario.model))
        func assertNamed(_ name: String, _ work: () async throws -> Void) async {
            let named = { (error: SpratError) in
                if case .invalidArgument(let reason) = error { reason.contains(name) } else { false }
            }
            await assertThrows(named, work)
        }
        await assertNamed("temperature") {
            _ = try await session.respond(to: "Hello", options: GenerationOptions(temperature: -1))
        }
        await assertNamed("maximumResponseTokens") {
            _ = try await session.respond(to: "Hello", options: GenerationOptions(maximumResponseTokens: -1))
        }
        await assertNamed("prompt") { _ = try await session.respond(to: "") }
        await assertNamed("transcript") { _ = try await session.respond(to: .regenerate) }
        await assertNamed("clock") {
            try session.setTools([Tool(name: "clock", description: "Tells the time.", parametersJSON: "{")])
        }
        XCTAssertEqual(try session.transcript, [])
    }

    func testAFullContextTellsHowFull() async throws {
        let model = try await Model.open(Scenario.model)
        let session = try Session(model: model, options: SessionOptions(contextTokens: 64))
        let full = { (error: SpratError) in
            if case .contextFull(let used, let limit) = error { used > 100 && limit == 64 } else { false }
        }
        await assertThrows(full) { _ = try await session.respond(to: String(repeating: "a", count: 100)) }
        _ = try await session.respond(to: "Hi", options: GenerationOptions(maximumResponseTokens: 2))
    }

    func testASecondReplyAtATimeIsRefused() async throws {
        let model = try await Model.open(Scenario.model)
        let session = try Session(model: model, options: SessionOptions(contextTokens: 200_000))
        for try await _ in session.streamResponse(to: "Hello", options: Scenario.endless) {
            await assertThrows({ $0 == .busy }) { _ = try await session.respond(to: "Hello") }
            await assertThrows({ $0 == .busy }) { try session.undo() }
            XCTAssert(session.isResponding)
            break
        }
    }

    func testWhatIsClosedSaysSo() async throws {
        let model = try await Model.open(Scenario.model)
        let (open, closed) = (try Session(model: model), try Session(model: model))
        closed.close()
        closed.close()
        model.close()
        model.close()
        await assertThrows({ $0 == .closed }) { _ = try await closed.respond(to: "Hello") }
        await assertThrows({ $0 == .closed }) { try closed.undo() }
        await assertThrows({ $0 == .closed }) { _ = try Session(model: model) }
        await assertThrows({ $0 == .closed }) { _ = try model.countTokens(in: "hi") }
        // It keeps what it needs of the model.
        let reply = try await open.respond(to: "Hello", options: Scenario.greedy)
        XCTAssertEqual(reply.generatedTokens, 24)
    }

    func testAPanicInTheLibraryIsAnErrorAndEverythingGoesOn() async throws {
        for _ in 0..<3 {
            await assertThrows({ if case .internal = $0 { true } else { false } }) {
                // Libraries for tests panic at this path; shipped ones have it not.
                _ = try await Model.open(path: "sprat-ffi:panic")
            }
        }
        let session = try Session(model: try await Model.open(Scenario.model), instructions: Scenario.instructions)
        let text = try await session.respond(to: Scenario.prompts[0], options: Scenario.greedy).text
        XCTAssertEqual(text, try Scenario.replies()[0])
    }

    func testAFileThatIsCutOffWhileItIsOpenSaysSo() async throws {
        try SpratLibrary.guardMappedFiles()
        let copy = try Scenario.temporary(try Data(contentsOf: Scenario.model))
        let options = SessionOptions(contextTokens: 200_000)
        let session = try Session(model: try await Model.open(copy), options: options)
        let damaged = { (error: SpratError) in if case .damaged = error { true } else { false } }
        await assertThrows(damaged) {
            for try await _ in session.streamResponse(to: "Hello", options: Scenario.endless) {
                let file = try FileHandle(forWritingTo: copy)
                try file.truncate(atOffset: 4096)
                try file.close()
            }
        }
        await assertThrows(damaged) { _ = try await session.respond(to: "Hello") }
    }

    func testErrorsDescribeThemselves() {
        let error: any Error = SpratError.contextFull(usedTokens: 2, limitTokens: 1)
        XCTAssertEqual(error.localizedDescription, "the context is full: 2 tokens needed, 1 available")
        XCTAssertEqual((SpratError.damaged("why") as any Error).localizedDescription, "why")
    }
}
