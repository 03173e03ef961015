import SampleLogic
import SwiftUI

/// The whole app: what was said, what is being said, and a line to say something.
struct ChatView: View {
    let chat: Chat
    /// Takes a file that the user chose.
    let onChoose: (URL) -> Void

    @State private var text = ""
    @State private var isChoosing = false

    var body: some View {
        NavigationStack {
            VStack(spacing: 8) {
                LinesView(lines: chat.lines + (chat.answer.map { [Line(fromUser: false, text: $0)] } ?? []))
                if let trouble = chat.trouble {
                    Text(trouble).foregroundStyle(.red)
                }
                Text(chat.figures).font(.caption).foregroundStyle(.secondary)
                entry
            }
            .padding(12)
            .navigationTitle(chat.model ?? "Opening …")
            .navigationBarTitleDisplayMode(.inline)
            .toolbar { Button("Model …") { isChoosing = true } }
            // GGUF files have no type of their own.
            .fileImporter(isPresented: $isChoosing, allowedContentTypes: [.data]) { result in
                if case .success(let url) = result { onChoose(url) }
            }
        }
    }

    private var entry: some View {
        HStack {
            TextField("Message", text: $text).textFieldStyle(.roundedBorder).onSubmit(send)
            if chat.answer != nil {
                Button("Stop", action: chat.stop)
            } else {
                Button("Send", action: send).disabled(!chat.canSend || text.isEmpty)
            }
        }
        .buttonStyle(.borderedProminent)
    }

    private func send() {
        guard chat.canSend else { return }
        chat.send(text)
        text = ""
    }
}

private struct LinesView: View {
    let lines: [Line]

    var body: some View {
        ScrollView {
            LazyVStack(spacing: 8) {
                ForEach(Array(lines.enumerated()), id: \.offset) { _, line in
                    Text(line.text)
                        .padding(10)
                        .background(line.fromUser ? Color.accentColor.opacity(0.2) : Color.gray.opacity(0.15))
                        .clipShape(RoundedRectangle(cornerRadius: 12))
                        .frame(maxWidth: .infinity, alignment: line.fromUser ? .trailing : .leading)
                }
            }
        }
        // The newest stays in sight while it grows.
        .defaultScrollAnchor(.bottom)
    }
}
