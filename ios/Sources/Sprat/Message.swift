/// Who speaks in a turn.
public enum Role: String, Sendable, Codable {
    /// Instructions for the whole conversation.
    case system
    /// The person, or the app on their behalf.
    case user
    /// The model.
    case assistant
    /// The result of a tool.
    case tool
}

/// One message of a conversation.
public struct Message: Sendable, Codable, Equatable {
    /// Who speaks.
    public var role: Role
    /// What is said.
    public var content: String
    /// The model's thoughts before it, where they were kept apart.
    public var thinking: String?
    /// Calls that the model made in it.
    public var toolCalls: [ToolCall] = []
    /// Of a tool's result: the tool's name.
    public var name: String?
    /// Of a tool's result: the id of the call that it answers.
    public var toolCallID: String?

    /// A message that is only text.
    public init(role: Role, content: String) {
        self.role = role
        self.content = content
    }
}

/// A tool that the model may call.
public struct Tool: Sendable, Equatable {
    /// Name to call it by.
    public var name: String
    /// What it does, for the model to read.
    public var description: String
    /// JSON schema of its arguments, shown to the model in this order of keys.
    public var parametersJSON: String

    /// A tool.
    public init(name: String, description: String, parametersJSON: String) {
        self.name = name
        self.description = description
        self.parametersJSON = parametersJSON
    }
}

/// A call that the model makes; answer it with ``Input/toolResults(_:)``.
public struct ToolCall: Sendable, Codable, Equatable {
    /// The call's id, where the model's convention has ids.
    public var id: String?
    /// Name of the tool.
    public var name: String
    /// The arguments: a JSON object, not yet compared with the tool's schema.
    public var argumentsJSON: String

    /// A call.
    public init(id: String? = nil, name: String, argumentsJSON: String) {
        self.id = id
        self.name = name
        self.argumentsJSON = argumentsJSON
    }
}

/// What a tool gave.
public struct ToolResult: Sendable, Equatable {
    /// Name of the tool.
    public var name: String
    /// The id of the call, where it has one.
    public var callID: String?
    /// The result, as the model is to read it.
    public var content: String

    /// A result.
    public init(name: String, callID: String? = nil, content: String) {
        self.name = name
        self.callID = callID
        self.content = content
    }
}
