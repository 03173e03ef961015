package dev.sprat

/** What can go wrong, by what an app can do about it. No message holds text of a prompt or of a reply. */
public sealed class SpratException(message: String, cause: Throwable?) : Exception(message, cause) {
    /** The file is not there, or the app may not read or write it: look at the path. */
    public class CannotOpen internal constructor(message: String, cause: Throwable?) : SpratException(message, cause)

    /** The file is damaged or incomplete: fetch it again, or begin the session anew. */
    public class Damaged internal constructor(message: String, cause: Throwable?) : SpratException(message, cause)

    /**
     * The file, or this device's processor, is of a kind this version does not run, or the saved session is not of this
     * model: choose another.
     */
    public class Unsupported internal constructor(message: String, cause: Throwable?) : SpratException(message, cause)

    /** The file's chat template cannot be used: name a built-in one in the session's options. */
    public class Template internal constructor(message: String, cause: Throwable?) : SpratException(message, cause)

    /** An argument is out of range or empty: a mistake of the caller. */
    public class InvalidArgument internal constructor(message: String, cause: Throwable?) : SpratException(message, cause)

    /** Conversation and reply do not fit the context: shorten, or start a new session. */
    public class ContextFull internal constructor(
        message: String,
        /** Tokens needed. */
        public val usedTokens: Int,
        /** Tokens the session may take. */
        public val limitTokens: Int,
        cause: Throwable?,
    ) : SpratException(message, cause)

    /** The system has no memory for this: close something, or choose a smaller model. */
    public class OutOfMemory internal constructor(
        message: String,
        /** How much was asked for. */
        public val bytes: Long,
        cause: Throwable?,
    ) : SpratException(message, cause)

    /** The session is still answering: wait for it, or cancel it. */
    public class Busy internal constructor(message: String, cause: Throwable?) : SpratException(message, cause)

    /** The model or session was closed. */
    public class Closed internal constructor(message: String, cause: Throwable?) : SpratException(message, cause)

    /** A fault of the library. The turn is lost, the app is not. Please report it. */
    public class Internal internal constructor(message: String, cause: Throwable?) : SpratException(message, cause)
}
