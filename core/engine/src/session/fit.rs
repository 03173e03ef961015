//! Makes a conversation fit the context, or says that it does not.

use super::conversation::Conversation;
use super::options::WhenFull;
use super::state::{Inner, Prompt};
use crate::error::Error;

/// The prompt of `conversation`, and how many tokens were left out of it now, such that it, a reply of `generated` tokens so far and `room` more fit into `limit`.
/// Where the session slides, whole turns are left out for it: as few as leave half of the context free. A last turn that
/// leaves less room than asked for is taken all the same.
pub(super) fn fit(
    inner: &Inner,
    conversation: &mut Conversation,
    generated: usize,
    room: usize,
    limit: usize,
) -> Result<(Prompt, usize), Error> {
    let needs = |prompt: &Prompt| prompt.ids.len() + generated;
    let mut prompt = inner.prompt(conversation)?;
    if needs(&prompt) + room <= limit {
        return Ok((prompt, 0));
    }
    let whole = prompt.ids.len();
    if inner.options.when_full != WhenFull::Fail {
        let turns = conversation.later_turns();
        // The fewest turns that are enough; all but the last where none are.
        let (mut low, mut high) = (0, turns.len().saturating_sub(1));
        while low < high {
            let middle = (low + high) / 2;
            conversation.left_out = turns[middle];
            if needs(&inner.prompt(conversation)?) <= limit / 2 { high = middle } else { low = middle + 1 }
        }
        if let Some(&turn) = turns.get(low) {
            conversation.left_out = turn;
            prompt = inner.prompt(conversation)?;
        }
    }
    let used = needs(&prompt) + 1;
    if used > limit {
        return Err(Error::ContextFull { used, limit });
    }
    let left_out = whole.saturating_sub(prompt.ids.len());
    Ok((prompt, left_out))
}
