import Foundation
import Sprat
import XCTest

/// What a device gives a model: a file, memory, and a pace.
final class DeviceTests: XCTestCase {
    func testAHeaderTellsWhatTheEngineReadsInIt() async throws {
        func line(_ probe: Probe) -> String {
            let numbers = [
                probe.fileBytes, probe.headerBytes, Int64(probe.contextTokens), probe.kvBytesPerToken, probe.bytesPerToken,
            ]
            return ([probe.family] + numbers.map(String.init)).joined(separator: "\t")
        }
        let probe = try await Model.probe(.file(Scenario.model))
        XCTAssertEqual(line(probe), try Scenario.probe())
        let header = try Data(contentsOf: Scenario.model).prefix(Int(probe.headerBytes))
        let alone = try await Model.probe(header: header, fileBytes: UInt64(probe.fileBytes))
        XCTAssertEqual(alone, probe)
        await assertThrows({ if case .damaged = $0 { true } else { false } }) {
            _ = try await Model.probe(header: header.prefix(100), fileBytes: UInt64(probe.fileBytes))
        }
        let model = try await Model.open(Scenario.model)
        XCTAssertEqual(try model.kvBytesPerToken(.f16), probe.kvBytesPerToken)
        XCTAssertLessThan(try model.kvBytesPerToken(.q4_0), try model.kvBytesPerToken(.q8_0))
    }

    func testAPartOfAFileOrAListOfPartsIsAModel() async throws {
        let file = try FileHandle(forReadingFrom: Scenario.model)
        let length = try file.seekToEnd()
        let part = ModelSource.descriptor(file.fileDescriptor, offsetBytes: 0, lengthBytes: length)
        let whole = try await Model.open(.parts([part]))
        try file.close()
        XCTAssertEqual(whole.info.fileBytes, Int64(length))
        let again = ModelSource.file(Scenario.model)
        for parts in [[], [again, again]] {
            await assertThrows({ if case .damaged = $0 { true } else { false } }) {
                _ = try await Model.open(.parts(parts))
            }
        }
        await assertThrows({ if case .cannotOpen = $0 { true } else { false } }) {
            _ = try await Model.open(.descriptor(-1, offsetBytes: 0, lengthBytes: 10))
        }
    }

    func testATemplateCanBeChosenAndMemoryLimitedWhenAModelIsOpened() async throws {
        let named = try await Model.open(Scenario.model, options: OpenOptions(template: .builtin("gemma")))
        XCTAssertEqual(named.info.template, "gemma")
        let tight = OpenOptions(template: .text("hi"), maximumAnonymousBytes: 1000)
        let session = try Session(model: try await Model.open(Scenario.model, options: tight))
        await assertThrows({ if case .outOfMemory = $0 { true } else { false } }) {
            _ = try await session.respond(to: "Hello")
        }
        await assertThrows({ if case .invalidArgument = $0 { true } else { false } }) {
            _ = try await Model.open(Scenario.model, options: OpenOptions(maximumAnonymousBytes: -1))
        }
    }

    func testWithoutAGPUItIsTheCPUAndAskingForOneFails() async throws {
        let model = try await Model.open(Scenario.model, options: OpenOptions(backend: .auto))
        // Macs have one.
        guard let fault = model.info.gpuFault else { return }
        XCTAssert(fault.contains("GPU"), fault)
        let session = try Session(model: model, instructions: Scenario.instructions)
        let reply = try await session.respond(to: Scenario.prompts[0], options: Scenario.greedy)
        // The last token of a reply is computed with the next turn.
        XCTAssertGreaterThanOrEqual(reply.cpuTokens, reply.promptTokens + reply.generatedTokens - 1)
        XCTAssertEqual(reply.gpuTokens, 0)
        await assertThrows({ if case .unsupported = $0 { true } else { false } }) {
            _ = try await Model.open(Scenario.model, options: OpenOptions(backend: .gpu))
        }
    }

    func testMemoryIsTakenAheadAndGivenBack() async throws {
        let session = try Session(model: try await Model.open(Scenario.model), instructions: Scenario.instructions)
        let read = try await session.prewarm()
        XCTAssertEqual(read, try session.tokensUsed)
        let reply = try await session.respond(to: Scenario.prompts[0], options: Scenario.greedy)
        XCTAssertEqual(reply.text, try Scenario.replies()[0])
        XCTAssertEqual(reply.cachedTokens, read)
        XCTAssertGreaterThanOrEqual(reply.memory.allocated, reply.memory.kv)
        XCTAssertGreaterThan(reply.memory.anonymous, 0)
        try session.trim(.buffers)
        XCTAssertEqual(try session.memory.kv, reply.memory.kv)
        XCTAssertEqual(try session.memory.scratch, 0)
        try session.trim(.pages)
        XCTAssertEqual(try session.memory.kv, 0)
        let next = try await session.respond(to: Scenario.prompts[1], options: Scenario.greedy).text
        XCTAssertEqual(next, try Scenario.replies()[1])
    }

    func testCancellingStopsWhatIsTakenAhead() async throws {
        let options = SessionOptions(contextTokens: 200_000, threads: 1)
        // On one worker it would read for seconds.
        let instructions = String(repeating: "word ", count: 4_000)
        let session = try Session(
            model: try await Model.open(Scenario.slow), instructions: instructions, options: options)
        let task = Task { try await session.prewarm() }
        while !session.isResponding { try await Task.sleep(for: .milliseconds(1)) }
        task.cancel()
        do {
            _ = try await task.value
            XCTFail("nothing was thrown")
        } catch {
            XCTAssert(error is CancellationError, "\(error)")
        }
        XCTAssertEqual(try session.tokensUsed, 0)
    }

    func testOptionsThatChangeNothingInTheTextReachTheEngine() async throws {
        let model = try await Model.open(Scenario.model)
        var plain = SessionOptions()
        plain.batch = 8
        plain.instructionSet = "scalar"
        let session = try Session(model: model, instructions: Scenario.instructions, options: plain)
        var options = Scenario.greedy
        options.guess = false
        let reply = try await session.respond(to: Scenario.prompts[0], options: options)
        XCTAssertEqual(reply.text, try Scenario.replies()[0])
        XCTAssertEqual(reply.guessedTokens, 0)
        plain.instructionSet = "abacus"
        let wrong = plain
        await assertThrows({ if case .unsupported = $0 { true } else { false } }) {
            _ = try Session(model: model, options: wrong)
        }
        var seeded = SessionOptions()
        seeded.seed = 7
        seeded.kvFormat = .q8_0
        let drawing = GenerationOptions(maximumResponseTokens: 16, temperature: 2)
        var texts: [String] = []
        for _ in 0..<2 {
            let session = try Session(model: model, options: seeded)
            texts.append(try await session.respond(to: "Hello", options: drawing).text)
        }
        XCTAssertEqual(texts[0], texts[1])
    }

    func testWhatThePlatformTellsSetsThePaceAndChangesNoText() async throws {
        let session = try Session(model: try await Model.open(Scenario.model), instructions: Scenario.instructions)
        defer { SpratLibrary.setConditions(Conditions()) }
        SpratLibrary.setConditions(Conditions(lowPowerMode: true))
        XCTAssertEqual(SpratLibrary.pace, .eased)
        SpratLibrary.setConditions(Conditions(background: true, memory: .critical))
        let reply = try await session.respond(to: Scenario.prompts[0], options: Scenario.greedy)
        XCTAssertEqual(reply.text, try Scenario.replies()[0])
        XCTAssertEqual(reply.slowestPace, .slow)
        SpratLibrary.setConditions(Conditions())
        XCTAssertEqual(SpratLibrary.pace, .full)
        let next = try await session.respond(to: Scenario.prompts[1], options: Scenario.greedy)
        XCTAssertEqual(next.slowestPace, .full)
    }
}
