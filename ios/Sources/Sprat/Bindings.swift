import Foundation
internal import SpratBindings

/// Maps what is at `source`.
func openSource(_ source: ModelSource, _ options: OpenOptions) throws(SpratError) -> any ModelHandle {
    let options = try options.lowered()
    return try translated {
        LibraryModel(model: try SpratBindings.Model.open(source: source.lowered, options: options))
    }
}

/// Looks at the header of what is at `source`.
func probeSource(_ source: ModelSource) throws(SpratError) -> Probe {
    try translated { try SpratBindings.probe(source: source.lowered) }.lifted
}

/// Looks at a header by itself.
func probeHeader(_ header: Data, _ fileBytes: UInt64) throws(SpratError) -> Probe {
    try translated { try SpratBindings.probeHeader(header: header, fileBytes: fileBytes) }.lifted
}

/// The messages of a saved session.
func readTranscript(_ path: String) throws(SpratError) -> [Message] {
    try translated { try SpratBindings.savedTranscript(path: path) }.map(\.lifted)
}

private struct LibraryModel: ModelHandle {
    let model: SpratBindings.Model

    func info() throws(SpratError) -> ModelInfo {
        let info = try translated { try model.info() }
        return ModelInfo(
            name: info.name, family: info.family, template: info.template, contextTokens: Int(info.contextTokens),
            fileBytes: Int64(info.fileBytes), bytesPerToken: Int64(info.bytesPerToken),
            kvBytesPerToken: Int64(info.kvBytesPerToken), parts: Int(info.parts), unusedTensors: info.unusedTensors,
            gpuFault: info.gpuFault)
    }

    func session(instructions: String?, options: SessionOptions) throws(SpratError) -> any SessionHandle {
        let lowered = try options.lowered(instructions)
        return try translated { LibrarySession(session: try model.session(options: lowered)) }
    }

    func restore(path: String, options: SessionOptions) throws(SpratError) -> any SessionHandle {
        let lowered = try options.lowered(nil)
        return try translated { LibrarySession(session: try model.restore(path: path, options: lowered)) }
    }

    func canRestore(path: String) throws(SpratError) -> Bool {
        try translated { try model.canRestore(path: path) }
    }

    func kvBytesPerToken(_ format: KVFormat) throws(SpratError) -> Int64 {
        try translated { Int64(try model.kvBytesPerToken(format: format.lowered)) }
    }

    func countTokens(in text: String) throws(SpratError) -> Int {
        try translated { Int(try model.countTokens(text: text)) }
    }

    func residentBytes() throws(SpratError) -> Int64 {
        try translated { Int64(try model.residentBytes()) }
    }

    func allocatedBytes() throws(SpratError) -> Int64 {
        try translated { Int64(try model.allocatedBytes()) }
    }

    func releasePages() throws(SpratError) {
        try translated { try model.releasePages() }
    }

    func unload() throws(SpratError) {
        try translated { try model.unload() }
    }

    func close() {
        // It cannot fail: the library only forgets.
        try? model.close()
    }
}

private struct LibrarySession: SessionHandle {
    let session: SpratBindings.Session

    func transcript() throws(SpratError) -> [Message] {
        try translated { try session.transcript() }.map(\.lifted)
    }

    func setTranscript(_ messages: [Message]) throws(SpratError) {
        try translated { try session.setTranscript(messages: messages.map(\.lowered)) }
    }

    // The next three only look, and never fail.

    func isResponding() -> Bool {
        (try? session.isResponding()) ?? false
    }

    func isStopping() -> Bool {
        (try? session.isStopping()) ?? false
    }

    func partial() -> Partial? {
        guard let partial = try? session.partial() else { return nil }
        return Partial(text: partial.text, thinking: partial.thinking)
    }

    func tokensUsed() throws(SpratError) -> Int {
        try translated { Int(try session.tokensUsed()) }
    }

    func contextLimit() throws(SpratError) -> Int {
        try translated { Int(try session.contextLimit()) }
    }

    func messagesLeftOut() throws(SpratError) -> Int {
        try translated { Int(try session.messagesLeftOut()) }
    }

    func isApproximate() throws(SpratError) -> Bool {
        try translated { try session.isApproximate() }
    }

    func memory() throws(SpratError) -> Memory {
        try translated { try session.memory() }.lifted
    }

    func stream(_ input: Input, options: GenerationOptions) throws(SpratError) -> any ReplyHandle {
        let (input, options) = (try input.lowered(), try options.lowered())
        return try translated { LibraryReply(stream: try session.stream(input: input, options: options)) }
    }

    func prewarm() throws(SpratError) -> Int? {
        try translated { try session.prewarm() }.map { Int($0) }
    }

    func save(path: String, cache: KVFormat?) throws(SpratError) {
        try translated {
            if let cache { try session.saveAs(path: path, format: cache.lowered) } else { try session.save(path: path) }
        }
    }

    func trim(_ level: Trim) throws(SpratError) {
        try translated { try session.trim(level: level.lowered) }
    }

    func stop() {
        try? session.stop()
    }

    func setInstructions(_ instructions: String?) throws(SpratError) {
        try translated { try session.setInstructions(instructions: instructions) }
    }

    func setTools(_ tools: [Tool]) throws(SpratError) {
        try translated { try session.setTools(tools: tools.map(\.lowered)) }
    }

    func undo() throws(SpratError) -> String? {
        try translated { try session.undo() }
    }

    func fork() throws(SpratError) -> any SessionHandle {
        try translated { LibrarySession(session: try session.fork()) }
    }

    func countTokens(in input: Input) throws(SpratError) -> Int {
        let input = try input.lowered()
        return try translated { Int(try session.countTokens(input: input)) }
    }

    func close() {
        try? session.close()
    }
}

private struct LibraryReply: ReplyHandle {
    let stream: SpratBindings.ReplyStream

    func next() async throws -> [Event] {
        do {
            return try await stream.nextBatch().map(\.lifted)
        } catch {
            throw translation(of: error)
        }
    }

    func stop() {
        try? stream.stop()
    }
}

/// Runs one call of the library; whatever it throws is a ``SpratError``.
func translated<T>(_ call: () throws -> T) throws(SpratError) -> T {
    do {
        return try call()
    } catch {
        throw translation(of: error)
    }
}

private func translation(of error: any Error) -> SpratError {
    guard let error = error as? FfiError else { return .internal("\(error)") }
    return switch error {
    case .CannotOpen(let reason): .cannotOpen(reason)
    case .Damaged(let reason): .damaged(reason)
    case .Unsupported(let reason): .unsupported(reason)
    case .Template(let reason): .template(reason)
    case .InvalidArgument(let reason): .invalidArgument(reason)
    case .ContextFull(_, let used, let limit): .contextFull(usedTokens: Int(used), limitTokens: Int(limit))
    case .OutOfMemory(_, let bytes): .outOfMemory(bytes: Int64(bytes))
    case .Busy: .busy
    case .Closed: .closed
    case .Internal(let reason): .internal(reason)
    }
}
