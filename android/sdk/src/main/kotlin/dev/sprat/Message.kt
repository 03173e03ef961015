package dev.sprat

/** Who speaks in a turn. */
public enum class Role {
    /** Instructions for the whole conversation. */
    System,

    /** The person, or the app on their behalf. */
    User,

    /** The model. */
    Assistant,

    /** The result of a tool. */
    Tool,
}

/** One message of a conversation. */
public class Message(
    /** Who speaks. */
    public val role: Role,
    /** What is said. */
    public val content: String,
    /** The model's thoughts before it, where they were kept apart. */
    public val thinking: String? = null,
    /** Calls that the model made in it. */
    public val toolCalls: List<ToolCall> = emptyList(),
    /** Of a tool's result: the tool's name. */
    public val name: String? = null,
    /** Of a tool's result: the id of the call that it answers. */
    public val toolCallId: String? = null,
) {
    /** Without the content, which has no place in a log. */
    override fun toString(): String = "Message(role=$role)"
}

/** A tool that the model may call. */
public class Tool(
    /** Name to call it by. */
    public val name: String,
    /** What it does, for the model to read. */
    public val description: String,
    /** JSON schema of its arguments, shown to the model in this order of keys. */
    public val parametersJson: String,
)

/** A call that the model makes; answer it with [Input.ToolResults]. */
public class ToolCall(
    /** The call's id, where the model's convention has ids. */
    public val id: String?,
    /** Name of the tool. */
    public val name: String,
    /** The arguments: a JSON object, not yet compared with the tool's schema. */
    public val argumentsJson: String,
)

/** What a tool gave. */
public class ToolResult(
    /** Name of the tool. */
    public val name: String,
    /** The result, as the model is to read it. */
    public val content: String,
    /** The id of the call, where it has one. */
    public val callId: String? = null,
)
