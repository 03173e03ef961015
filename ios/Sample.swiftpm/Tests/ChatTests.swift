import Foundation
import SampleLogic
import Sprat
import XCTest

/// XCTest on Linux calls no test on the main actor; so they only call what is on it.
final class ChatTests: XCTestCase {
    func testTheBundledModelSetsAnAlarmAndChangesIt() async throws {
        try await On.theBundledModelSetsAnAlarmAndChangesIt()
    }

    func testStopKeepsWhatWasWritten() async throws {
        try await On.stopKeepsWhatWasWritten()
    }

    func testAFileThatIsNoModelLeavesTheConversationThatThereIs() async throws {
        try await On.aFileThatIsNoModelLeavesTheConversationThatThereIs()
    }

    func testAnotherModelBeginsAnewAndNothingIsSentWhileThereIsNone() async throws {
        try await On.anotherModelBeginsAnewAndNothingIsSentWhileThereIsNone()
    }
}

@MainActor
private enum On {
    private static func answered(_ chat: Chat) async throws {
        while !chat.canSend { try await Task.sleep(for: .milliseconds(1)) }
    }

    static func theBundledModelSetsAnAlarmAndChangesIt() async throws {
        let folder = ProcessInfo.processInfo.environment["SPRAT_SCENARIO"] ?? "scenario"
        var sessions = 0
        let chat = Chat(instructions: Bundled.instructions) { _ in sessions += 1 }
        await chat.use { try await Model.open(path: "\(folder)/bundled.gguf") }.value
        XCTAssertEqual(chat.model, "Sprat Tiny")
        XCTAssertEqual(sessions, 1)
        chat.send("wake me up at quarter to seven tomorrow")
        try await answered(chat)
        XCTAssertEqual(chat.lines.last?.text, "{\"tool\":\"set_alarm\",\"time\":\"06:45\",\"day\":\"tomorrow\"}")
        chat.send("actually make it 7:15")
        try await answered(chat)
        XCTAssertEqual(chat.lines.last?.text, "{\"tool\":\"set_alarm\",\"time\":\"07:15\",\"day\":\"tomorrow\"}")
        XCTAssertEqual(chat.lines.map(\.fromUser), [true, false, true, false])
        XCTAssertNotNil(chat.figures.wholeMatch(of: /\d+\.\d tokens\/s · \d+\.\d MB of memory/), chat.figures)
    }

    static func stopKeepsWhatWasWritten() async throws {
        let chat = Chat(instructions: "")
        // Longer than anybody waits.
        let words = "one two" + String(repeating: " more", count: 100_000)
        await chat.use { .fake(replies: [words], pause: .milliseconds(1)) }.value
        chat.send("Count")
        while !(chat.answer ?? "").hasPrefix("one two") { try await Task.sleep(for: .milliseconds(1)) }
        chat.stop()
        try await answered(chat)
        XCTAssertEqual(chat.lines.last?.fromUser, false)
        XCTAssert(chat.lines.last?.text.hasPrefix("one two") ?? false, "\(chat.lines)")
    }

    static func aFileThatIsNoModelLeavesTheConversationThatThereIs() async throws {
        let chat = Chat(instructions: "")
        await chat.use { .fake(replies: ["Hello"]) }.value
        chat.send("Hi")
        try await answered(chat)
        let before = chat.lines
        await chat.use { try await Model.open(path: "no such file") }.value
        XCTAssertNotNil(chat.trouble)
        XCTAssertEqual(chat.lines, before)
        chat.send("Hi again")
        try await answered(chat)
        XCTAssertNil(chat.trouble)
        XCTAssertEqual(chat.lines.count, 4)
    }

    static func anotherModelBeginsAnewAndNothingIsSentWhileThereIsNone() async throws {
        let chat = Chat(instructions: "")
        chat.send("Nobody is there")
        XCTAssert(chat.lines.isEmpty)
        await chat.use { .fake(replies: ["Hello"]) }.value
        chat.send("Hi")
        try await answered(chat)
        await chat.use { .fake(replies: ["Bye"]) }.value
        XCTAssert(chat.lines.isEmpty && chat.canSend)
    }
}
