import Foundation
import Sprat
import XCTest

/// What Rust, Kotlin and Swift share: the folder that the `scenario` program of tests/ wrote, and its conversation.
enum Scenario {
    private static let folder = URL(fileURLWithPath: ProcessInfo.processInfo.environment["SPRAT_SCENARIO"] ?? "scenario")

    static let model = folder.appendingPathComponent("model.gguf")
    /// Takes a millisecond or more for a token.
    static let slow = folder.appendingPathComponent("slow.gguf")

    /// The model of the repository, which was really trained.
    static let bundled = folder.appendingPathComponent("bundled.gguf")
    /// The conversation after two of the three turns, as the engine saved it.
    static let saved = folder.appendingPathComponent("saved.sprat")

    static let instructions = "Be brief."
    static let prompts = ["Hello", "Grüße, 你好 🐟", "Thank you"]

    static func replies() throws -> [String] {
        try prompts.indices.map {
            try String(contentsOf: folder.appendingPathComponent("reply-\($0).txt"), encoding: .utf8)
        }
    }

    /// What the engine read from the model's header.
    static func probe() throws -> String {
        try String(contentsOf: folder.appendingPathComponent("probe.txt"), encoding: .utf8)
    }

    static let bundledInstructions = "Tools: set_alarm, set_timer, weather"
    static let bundledContext = 160

    /// The turns of the bundled model in a context that old turns slide out of.
    static func bundledTurns() throws -> [(prompt: String, reply: String, messagesLeftOut: Int)] {
        let text = try String(contentsOf: folder.appendingPathComponent("bundled.txt"), encoding: .utf8)
        return text.components(separatedBy: "\n").map { line in
            let parts = line.components(separatedBy: "\t")
            return (parts[0], parts[1], Int(parts[2]) ?? -1)
        }
    }

    static let greedy = GenerationOptions(maximumResponseTokens: 24, temperature: 0)
    /// Exactly `tokens` long: the token that ends a turn is forbidden.
    static func long(_ tokens: Int) -> GenerationOptions {
        var options = GenerationOptions(maximumResponseTokens: tokens, temperature: 0)
        options.logitBias = [258: -.infinity]
        return options
    }

    /// So long that nobody waits for its end.
    static let endless = long(100_000)

    /// A copy of the model with each `from` replaced by `to`, which is as long.
    static func patched(_ from: String, _ to: String) throws -> URL {
        precondition(from.utf8.count == to.utf8.count)
        var data = try Data(contentsOf: model)
        while let range = data.range(of: Data(from.utf8)) {
            data.replaceSubrange(range, with: Data(to.utf8))
        }
        return try temporary(data)
    }

    /// The model cut off in the middle.
    static func cut() throws -> URL {
        let data = try Data(contentsOf: model)
        return try temporary(data.prefix(data.count / 2))
    }

    static func temporary(_ data: Data) throws -> URL {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID())")
        try data.write(to: url)
        return url
    }
}

/// What the system counts of this process.
enum Process {
    #if os(Linux)
    private static let tasks = "/proc/self/task"

    /// CPU time in ms that the threads whose names begin with `prefix` have used; of all where it is empty.
    static func cpuMs(_ prefix: String = "") -> Int {
        list(tasks).reduce(0) { sum, task in
            // A thread may end while we look: it counts for nothing then.
            guard let stat = try? String(contentsOfFile: "\(tasks)/\(task)/stat", encoding: .utf8),
                let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")"),
                stat[open...].dropFirst().hasPrefix(prefix)
            else { return sum }
            let fields = stat[close...].dropFirst(2).split(separator: " ")
            return sum + 10 * ((Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0))
        }
    }

    static func threads() -> Int { list(tasks).count }

    static func files() -> Int { list("/proc/self/fd").count }

    static func residentKB() -> Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
        return Int(line.filter(\.isNumber)) ?? 0
    }

    private static func list(_ folder: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    }
    #else
    /// CPU time in ms of the whole process, whatever the `prefix`: there is nothing else that works.
    static func cpuMs(_ prefix: String = "") -> Int {
        var usage = rusage()
        getrusage(RUSAGE_SELF, &usage)
        let times = [usage.ru_utime, usage.ru_stime]
        return times.reduce(0) { $0 + 1000 * Int($1.tv_sec) + Int($1.tv_usec) / 1000 }
    }

    // Linux tells them, and the tests run there, too.
    static func threads() -> Int { 0 }
    static func files() -> Int { 0 }
    static func residentKB() -> Int { 0 }
    #endif
}

/// Fails unless `work` throws an error that `matches`.
func assertThrows(
    _ matches: (SpratError) -> Bool, file: StaticString = #filePath, line: UInt = #line,
    _ work: () async throws -> Void
) async {
    do {
        try await work()
        XCTFail("nothing was thrown", file: file, line: line)
    } catch {
        XCTAssert((error as? SpratError).map(matches) ?? false, "\(error)", file: file, line: line)
    }
}
