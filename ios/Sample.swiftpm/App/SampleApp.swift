import SampleLogic
import Sprat
import SwiftUI

@main
struct SampleApp: App {
    private let watch: DeviceWatch
    private let chat: Chat

    init() {
        let watch = DeviceWatch()
        // An answer that nobody sees is stopped: the conversation is then as it was before.
        let chat = Chat(instructions: Bundled.instructions) { watch.add($0, whenHidden: .stop) }
        chat.use {
            guard let url = Bundle.module.url(forResource: Bundled.name, withExtension: "gguf") else {
                throw CocoaError(.fileNoSuchFile)
            }
            return try await Model.open(url)
        }
        self.watch = watch
        self.chat = chat
    }

    var body: some Scene {
        WindowGroup {
            ChatView(chat: chat) { url in
                chat.use {
                    // A file of another app may be read between these two; once it is mapped, it stays.
                    let isScoped = url.startAccessingSecurityScopedResource()
                    defer { if isScoped { url.stopAccessingSecurityScopedResource() } }
                    return try await Model.open(url)
                }
            }
        }
    }
}
