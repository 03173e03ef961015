//! The conversation: messages and tools, and how each kind of turn changes them. Knows nothing of tokens.

use crate::chat::{Message, Role, Tool};
use crate::error::Error;
use crate::error::memory::expect_room;

/// What a turn answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The user's next message.
    Text(String),
    /// What the tools gave that the last reply called for.
    ToolResults(Vec<ToolResult>),
    /// The last reply is taken back and made anew; where there is none, the last message is answered.
    Regenerate,
    /// A user's message is replaced, and what followed it dropped.
    Edit {
        /// Its place in the transcript.
        index: usize,
        /// The new text.
        text: String,
    },
}

/// What a tool gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// Name of the tool.
    pub name: String,
    /// The id of the call, where it has one.
    pub call_id: Option<String>,
    /// The result, as the model is to read it.
    pub content: String,
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Messages, first the instructions if there are any, and the tools that the model may call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    /// Messages after the instructions that the model sees no more, because the context is full: whole turns.
    pub left_out: usize,
    /// Where the random numbers of the next reply begin, unless its options say.
    pub random: u64,
}

impl Conversation {
    pub fn new(instructions: Option<&str>, tools: Vec<Tool>, random: u64) -> Self {
        let messages = instructions.iter().map(|text| Message::new(Role::System, *text)).collect();
        Self { messages, tools, left_out: 0, random }
    }

    /// Where the instructions end.
    fn start(&self) -> usize {
        usize::from(self.messages.first().is_some_and(|first| first.role == Role::System))
    }

    /// What the model sees: the instructions, and what is not left out.
    pub fn shown(&self) -> Vec<Message> {
        let (instructions, rest) = self.messages.split_at(self.start());
        [instructions, &rest[self.left_out.min(rest.len())..]].concat()
    }

    /// Bytes of all its texts.
    pub fn len_bytes(&self) -> usize {
        let message = |message: &Message| message.content.len() + message.reasoning.as_ref().map_or(0, String::len);
        self.messages.iter().map(message).sum()
    }

    /// What `left_out` may be: the beginnings of the turns that the model sees but the first, which are later ones.
    pub fn later_turns(&self) -> Vec<usize> {
        let rest = self.messages[self.start()..].iter().enumerate();
        let turns = rest.filter(|(_, message)| message.role == Role::User).map(|(i, _)| i);
        turns.filter(|&i| i > self.left_out).collect()
    }

    /// Shows the last turn at least: called after whatever may have removed messages.
    fn show_last(&mut self) {
        let rest = &self.messages[self.start()..];
        let last = rest.iter().rposition(|message| message.role == Role::User).unwrap_or(0);
        self.left_out = self.left_out.min(last);
    }

    /// Replaces all messages.
    pub fn set_messages(&mut self, messages: Vec<Message>) {
        self.messages = messages;
        self.left_out = 0;
    }

    /// Replaces the instructions.
    pub fn set_instructions(&mut self, instructions: Option<&str>) {
        let old = self.messages.first().is_some_and(|first| first.role == Role::System);
        let new = instructions.map(|text| Message::new(Role::System, text));
        self.messages.splice(..usize::from(old), new);
    }

    /// Takes back the last turn, the user's message and what followed it, and returns that message.
    pub fn undo(&mut self) -> Option<Message> {
        let last = self.messages.iter().rposition(|message| message.role == Role::User)?;
        let undone = self.messages.drain(last..).next();
        self.show_last();
        undone
    }

    /// The conversation as the model is to answer it.
    pub fn with(&self, input: Input) -> Result<Self, Error> {
        expect_room(self.len_bytes(), "a copy of the conversation")?;
        let mut next = self.clone();
        match input {
            Input::Text(text) => next.user(text)?,
            Input::Edit { index, text } => {
                if next.messages.get(index).is_none_or(|message| message.role != Role::User) {
                    return Err(Error::Transcript { reason: "only a user's message can be edited" });
                }
                next.messages.truncate(index);
                next.user(text)?;
            }
            Input::Regenerate => {
                next.messages.pop_if(|last| last.role == Role::Assistant);
                if !next.messages.last().is_some_and(|last| matches!(last.role, Role::User | Role::Tool)) {
                    return Err(Error::Transcript { reason: "there is no message to answer" });
                }
            }
            Input::ToolResults(results) => {
                if next.messages.last().is_none_or(|last| last.tool_calls.is_empty()) {
                    return Err(Error::Transcript { reason: "the last message calls no tool" });
                }
                if results.is_empty() {
                    return Err(Error::EmptyPrompt);
                }
                next.messages.extend(results.into_iter().map(|result| Message {
                    tool_call_id: result.call_id,
                    ..Message::tool_result(result.name, result.content)
                }));
            }
        }
        next.show_last();
        Ok(next)
    }

    fn user(&mut self, text: String) -> Result<(), Error> {
        if text.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        self.messages.push(Message::new(Role::User, text));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::ToolCall;

    fn roles(conversation: &Conversation) -> String {
        conversation.messages.iter().map(|message| &message.role.as_str()[..1]).collect()
    }

    fn conversation(roles: &str) -> Conversation {
        let role = |c| match c {
            's' => Role::System,
            'u' => Role::User,
            'a' => Role::Assistant,
            _ => Role::Tool,
        };
        let messages = roles.chars().enumerate().map(|(i, c)| Message::new(role(c), i.to_string()));
        Conversation { messages: messages.collect(), ..Conversation::default() }
    }

    #[test]
    fn each_input_changes_the_transcript_as_it_says() {
        let edit = |index| Input::Edit { index, text: "new".into() };
        for (before, input, after) in [
            ("", "x".into(), Some("u")),
            ("sua", "x".into(), Some("suau")),
            ("sua", "".into(), None),
            ("sua", Input::Regenerate, Some("su")),
            ("su", Input::Regenerate, Some("su")),
            ("suaat", Input::Regenerate, Some("suaat")),
            ("s", Input::Regenerate, None),
            ("suaua", edit(1), Some("su")),
            ("suaua", edit(3), Some("suau")),
            ("suaua", edit(2), None),
            ("suaua", edit(9), None),
        ] {
            let result = conversation(before).with(input.clone());
            assert_eq!(result.ok().as_ref().map(roles).as_deref(), after, "{before} {input:?}");
        }
        let edited = conversation("suaua").with(edit(3)).expect("a user's message");
        assert_eq!(edited.messages[3].content, "new");
    }

    #[test]
    fn tool_results_follow_a_call_and_nothing_else() {
        let result = ToolResult { name: "clock".into(), call_id: Some("1".into()), content: "noon".into() };
        let input = Input::ToolResults(vec![result]);
        let mut called = conversation("ua");
        assert!(matches!(called.with(input.clone()), Err(Error::Transcript { .. })));
        called.messages[1].tool_calls =
            vec![ToolCall { id: Some("1".into()), name: "clock".into(), arguments: json!({}) }];
        assert!(matches!(called.with(Input::ToolResults(vec![])), Err(Error::EmptyPrompt)));
        let answered = called.with(input).expect("a call was made");
        let last = &answered.messages[2];
        assert_eq!((last.role, last.content.as_str(), last.tool_call_id.as_deref()), (Role::Tool, "noon", Some("1")));
    }

    #[test]
    fn whole_turns_are_left_out_and_shown_again_when_they_are_the_last() {
        let mut all = conversation("suauatauaua");
        assert_eq!(all.later_turns(), [2, 6, 8]);
        all.left_out = 6;
        assert_eq!(all.later_turns(), [8]);
        let shown = all.shown();
        assert_eq!(shown.iter().map(|m| m.content.as_str()).collect::<Vec<_>>(), ["0", "7", "8", "9", "10"]);
        assert!(all.undo().is_some() && all.undo().is_some());
        assert_eq!((roles(&all).as_str(), all.left_out), ("suauata", 2));
        let edited = all.with(Input::Edit { index: 1, text: "new".into() }).expect("a user's message");
        assert_eq!((roles(&edited).as_str(), edited.left_out), ("su", 0));
    }

    #[test]
    fn undo_and_new_instructions() {
        let mut all = conversation("suaatua");
        assert_eq!(all.undo().map(|message| message.content).as_deref(), Some("5"));
        assert_eq!(roles(&all), "suaat");
        all.set_instructions(None);
        assert_eq!(roles(&all), "uaat");
        all.set_instructions(Some("be brief"));
        assert_eq!((roles(&all).as_str(), all.messages[0].content.as_str()), ("suaat", "be brief"));
        assert!(all.undo().is_some() && all.undo().is_none());
    }
}
