//! Exact match of greedy replies: per intent on the held-out requests, and on those written by hand.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sprat::chat::{Chat, Message, Role};
use sprat::{Context, ContextOptions, Error, Model, SpecialTokens};

use crate::corpus::{Conversation, Drawn, Size};

/// Requests as people would say them, written before the grammar and no part of it.
const HANDWRITTEN: &str = include_str!("../handwritten.jsonl");
/// Longest reply worth waiting for; the longest right one has about 60 tokens.
const MAX_REPLY: usize = 96;

/// Right replies of how many.
#[derive(Clone, Copy, Default)]
struct Score {
    right: usize,
    of: usize,
}

impl Score {
    fn percent(self) -> f64 {
        100.0 * self.right as f64 / self.of.max(1) as f64
    }
}

/// A model that answers greedily, keeping what consecutive prompts share in its cache.
struct Asker {
    model: Arc<Model>,
    context: Context,
    fed: Vec<u32>,
}

impl Asker {
    fn open(path: &Path) -> Result<Self, Error> {
        let model = Arc::new(Model::open(path)?);
        let context = Context::new(model.clone(), &ContextOptions::default())?;
        Ok(Self { model, context, fed: Vec::new() })
    }

    /// The greedy reply to the last user turn; earlier replies are the reference's own.
    fn reply(&mut self, c: &Conversation) -> Result<String, Error> {
        let mut messages = Vec::new();
        if !c.system.is_empty() {
            messages.push(Message::new(Role::System, c.system.clone()));
        }
        for (i, text) in c.turns[..c.turns.len() - 1].iter().enumerate() {
            let role = if i.is_multiple_of(2) { Role::User } else { Role::Assistant };
            messages.push(Message::new(role, text.clone()));
        }
        let prompt = self.model.template()?.render(&Chat::new(&messages))?;
        let model = self.model.clone();
        let tokenizer = model.tokenizer();
        let ids = tokenizer.encode(&prompt, SpecialTokens::Parse, tokenizer.adds_bos())?;
        let same = self.fed.iter().zip(&ids).take_while(|(a, b)| a == b).count().min(ids.len() - 1);
        let same = self.context.rewind(same);
        self.fed.truncate(same);
        let stop = AtomicBool::new(false);
        let mut next = ids[same..].to_vec();
        let mut reply = Vec::new();
        while reply.len() < MAX_REPLY {
            let logits = self.context.feed(&next, &stop)?;
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)));
            let id = best.unwrap_or_default() as u32;
            self.fed.extend_from_slice(&next);
            if tokenizer.is_end(id) {
                break;
            }
            reply.push(id);
            next = vec![id];
        }
        Ok(tokenizer.text(&reply)?)
    }
}

/// Measures the model at `path` and prints the table; with `show`, every wrong reply too.
pub fn run(path: &Path, size: Size, show: bool) -> Result<(), Error> {
    let drawn = Drawn::new(size);
    let distinct: HashSet<_> = drawn.held.iter().map(|c| (&c.system, &c.turns)).collect();
    let mut asker = Asker::open(path)?;
    let rows = score(&mut asker, &drawn.held, show)?;
    let by_hand = read(HANDWRITTEN).expect("handwritten.jsonl is checked by a test");
    let drawn_too = by_hand.iter().filter(|c| drawn.trains_on(&c.turns[c.turns.len() - 2])).count();
    let hand = sum(&score(&mut asker, &by_hand, show)?);

    println!("| intent | requests | right |\n|---|---:|---:|");
    for (intent, score) in &rows {
        println!("| {intent} | {} | {:.1} % |", score.of, score.percent());
    }
    let all = sum(&rows);
    println!(
        "| **held out, {} intents, {} distinct** | {} | **{:.2} %** |",
        rows.len(),
        distinct.len(),
        all.of,
        all.percent()
    );
    println!("| **written by hand** | {} | **{:.1} %** |", hand.of, hand.percent());
    println!("\nOf those written by hand, training has {drawn_too} word for word.");
    if let Some((intent, worst)) = rows.iter().min_by(|a, b| a.1.percent().total_cmp(&b.1.percent())) {
        println!("\nWorst intent: {intent}, {:.1} %.", worst.percent());
    }
    Ok(())
}

/// Asks the requests of a file in the format of `handwritten.jsonl`, and prints each wrong reply and the share of right ones.
pub fn requests(path: &Path, file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let asked = read(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    let rows = Asker::open(path).and_then(|mut asker| score(&mut asker, &asked, true)).map_err(|e| e.to_string())?;
    let all = sum(&rows);
    println!("{} of {} right, {:.1} %", all.right, all.of, all.percent());
    Ok(())
}

fn read(lines: &str) -> serde_json::Result<Vec<Conversation>> {
    lines.lines().map(serde_json::from_str).collect()
}

fn sum(rows: &BTreeMap<String, Score>) -> Score {
    rows.values().fold(Score::default(), |a, s| Score { right: a.right + s.right, of: a.of + s.of })
}

fn score(asker: &mut Asker, asked: &[Conversation], show: bool) -> Result<BTreeMap<String, Score>, Error> {
    let mut rows: BTreeMap<String, Score> = BTreeMap::new();
    for c in asked {
        let reply = asker.reply(c)?;
        let [.., request, expected] = c.turns.as_slice() else { continue };
        let row = rows.entry(c.intent.to_string()).or_default();
        row.of += 1;
        row.right += usize::from(reply == *expected);
        if show && reply != *expected {
            eprintln!("{}: {request}\n  expected {expected}\n  got      {reply}", c.intent);
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_requests_are_written_by_hand_and_distinct() {
        let all = read(HANDWRITTEN).expect("conversations");
        let distinct: HashSet<_> = all.iter().map(|c| (&c.system, &c.turns)).collect();
        assert_eq!((all.len(), distinct.len()), (200, 200));
        assert!(all.iter().all(|c| c.turns.len() % 2 == 0), "every conversation ends with the expected reply");
    }
}
