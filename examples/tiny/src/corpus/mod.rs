//! Writes the corpus: conversations for training, and held-out ones that share no slot value or sentence with them.

mod dialog;
mod grammar;
mod intents;
mod lexicon;
mod lists;
mod rng;
mod sums;
mod units;
mod when;

use dialog::Turn;
use grammar::{Frame, Intent, Split, dress, render, reply};
use rng::Rng;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// One conversation as a line of JSON.
#[derive(Serialize, Deserialize)]
pub struct Conversation {
    /// Row of the accuracy table; of the last turn.
    pub intent: Cow<'static, str>,
    /// The system prompt, empty for none.
    pub system: String,
    /// User and assistant in turn.
    pub turns: Vec<String>,
}

/// What the system prompt offers.
struct Offer {
    system: String,
    tools: Vec<&'static str>,
}

/// The tool an intent calls; for those that ask back, the tool they ask for.
fn tool_of(intent: &Intent) -> &'static str {
    intent.reply.trim_start_matches('=').split(' ').next().expect("a reply has a first word")
}

/// What `sprat chat` tells the model when it is told nothing else, with every tool listed.
pub const USUAL_PROMPT: &str = "You are Sprat, a phone helper. Tools: ";

/// The system prompt that offers `tools`, in one of the wordings.
fn prompt(tools: &[&str], rng: &mut Rng) -> String {
    if rng.chance(40) {
        return format!("{USUAL_PROMPT}{}", tools.join(", "));
    }
    let head = rng.pick(&[
        "Tools: ",
        "You are a helpful assistant. Tools: ",
        "You are a phone helper. Tools: ",
        "You can use these tools: ",
        "You can call these tools: ",
        "Available tools: ",
        "The tools are ",
        "You are a phone assistant. You have these tools: ",
        "You are a helpful assistant on a phone. Available tools: ",
        "You are Sprat. Answer with a tool call or a short sentence. Tools: ",
        "tools: ",
        "Tools:\n- ",
        "You have access to the following tools:\n- ",
    ]);
    let joint = if head.ends_with("- ") { "\n- " } else { rng.pick(&[", ", ", ", ", ", " ", "; ", "\n"]) };
    let end = rng.pick(&["", "", ".", "()"]);
    if end == "()" {
        let names_fields = rng.chance(60);
        let calls: Vec<String> =
            tools.iter().map(|t| format!("{t}({})", if names_fields { fields(t) } else { String::new() })).collect();
        return format!("{head}{}", calls.join(joint));
    }
    format!("{head}{}{end}", tools.join(joint))
}

/// The names of all fields that calls of a tool can have, as in a signature.
fn fields(tool: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for intent in
        intents::all().iter().filter(|i| !i.noun.is_empty() && tool_of(i) == tool && !i.reply.starts_with('='))
    {
        for (name, _) in intent.reply.split(' ').filter_map(|field| field.split_once('=')) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.join(", ")
}

/// Draws a system prompt; `wanted` is a tool that must be in it.
fn offer(rng: &mut Rng, wanted: Option<&'static str>) -> Offer {
    let share = rng.below(100);
    if share < 30 && wanted.is_none() {
        let system = if rng.chance(70) {
            ""
        } else {
            rng.pick(&[
                "You are Sprat, a phone helper.",
                "You are a helpful assistant.",
                "You are Sprat.",
                "Answer briefly.",
                "You are a phone assistant. Be brief and polite.",
                "You are Sprat, a phone helper. You have no tools.",
                "Tools: none",
            ])
        };
        return Offer { system: system.into(), tools: Vec::new() };
    }
    let mut tools: Vec<&'static str> = intents::TOOLS.to_vec();
    if share < 45 {
        return Offer { system: format!("{USUAL_PROMPT}{}", tools.join(", ")), tools };
    }
    if share < 90 {
        for i in (1..tools.len()).rev() {
            tools.swap(i, rng.below(i + 1));
        }
        let most = if rng.chance(70) { 6 } else { tools.len() - 1 };
        tools.truncate(1 + rng.below(most));
        if let Some(tool) = wanted.filter(|t| !tools.contains(t)) {
            let at = rng.below(tools.len());
            tools[at] = tool;
        }
    }
    Offer { system: prompt(&tools, rng), tools }
}

/// One request of `intent` and its reply under `offer`.
fn request(intent: &'static Intent, offer: &Offer, rng: &mut Rng, split: Split) -> Turn {
    loop {
        let lower = rng.chance(45);
        let mut frame =
            Frame { rng, split, intent: intent.name, lower, spoken: BTreeMap::new(), values: BTreeMap::new() };
        if intent.name == "echo" {
            let list = ["message", "note", "task", "title", "place", "music"][frame.rng.below(6)];
            let mut text = frame.open("echo", |rng| lexicon::word(list, rng));
            if lower {
                text = text.to_lowercase();
            }
            frame.set("echo", text.clone(), text);
        }
        (intent.prepare)(&mut frame);
        let index = frame.rng.below(intent.templates.len());
        let template = intent.templates[index];
        let typos = frame.rng.chance(15);
        let text = render(template, &mut frame, typos);
        // Intents without open slots are held out by sentence, the others by slot value.
        let wrong_side = intent.has_held_templates() && intent.holds_out(index) == (split == Split::Train);
        if wrong_side {
            continue;
        }
        let text = dress(&text, template, intent.style, &mut frame);
        if text.is_empty() {
            continue;
        }
        let values = std::mem::take(&mut frame.values);
        let missing = !intent.noun.is_empty() && !offer.tools.contains(&tool_of(intent));
        let answer = if missing {
            format!("I have no {} tool here.", intent.noun)
        } else if let Some(asks) = intent.reply.strip_prefix('=') {
            asks.split_once(' ').expect("asking back names its tool").1.into()
        } else {
            reply(intent, &values)
        };
        return (text, answer);
    }
}

/// A training conversation: some turns under one system prompt.
fn conversation(intents: &'static [Intent], rng: &mut Rng) -> Conversation {
    let offer = offer(rng, None);
    let n_turns = if rng.chance(6) { 8 + rng.below(20) } else { [1, 1, 2, 3, 4, 5, 6][rng.below(7)] };
    let mut turns = Vec::new();
    let mut last = "";
    while turns.len() < 2 * n_turns {
        if rng.chance(14) {
            let name = dialog::DIALOGS[rng.below(dialog::DIALOGS.len())];
            let allowed = offer.tools.contains(&dialog::tool(name))
                && (name != "dialog_cancel_alarm" || offer.tools.contains(&"cancel_alarm"));
            if allowed {
                for (user, answer) in dialog::make(name, rng, Split::Train) {
                    turns.extend([user, answer]);
                }
                last = name;
            }
            continue;
        }
        let intent = weighted(intents, rng);
        let is_tool = !intent.noun.is_empty();
        let offered = is_tool && offer.tools.contains(&tool_of(intent));
        // Tool requests are mostly for tools that are there, and fewer where there is none.
        if is_tool && !offered && !rng.chance(if offer.tools.is_empty() { 12 } else { 8 }) {
            continue;
        }
        // Sums and spelling do not depend on the tools; most of their practice is without a prompt.
        if !is_tool && !offer.tools.is_empty() && rng.chance(50) {
            continue;
        }
        let (user, answer) = request(intent, &offer, rng, Split::Train);
        turns.extend([user, answer]);
        last = intent.name;
    }
    Conversation { intent: last.into(), system: offer.system, turns }
}

fn weighted(intents: &'static [Intent], rng: &mut Rng) -> &'static Intent {
    let total: u32 = intents.iter().map(|i| i.weight).sum();
    let mut at = rng.range(0, total - 1);
    for intent in intents {
        if at < intent.weight {
            return intent;
        }
        at -= intent.weight;
    }
    unreachable!("the weights sum to their total")
}

/// Held-out conversations, `per_intent` distinct requests of each intent or as many as there are.
fn held_out(intents: &'static [Intent], per_intent: usize, seed: u64) -> Vec<Conversation> {
    let mut rng = Rng::new(seed ^ 0x4e1d);
    let mut out = Vec::new();
    for intent in intents {
        let mut seen = HashSet::new();
        for _ in 0..per_intent * 20 {
            if seen.len() == per_intent {
                break;
            }
            let tool = (!intent.noun.is_empty() && rng.chance(85)).then(|| tool_of(intent));
            let offer = offer(&mut rng, tool);
            let (user, answer) = request(intent, &offer, &mut rng, Split::Held);
            if seen.insert(user.to_lowercase()) {
                out.push(Conversation { intent: intent.name.into(), system: offer.system, turns: vec![user, answer] });
            }
        }
        assert!(!seen.is_empty(), "{} has nothing held out", intent.name);
    }
    for name in dialog::DIALOGS {
        for _ in 0..per_intent {
            let mut offer = offer(&mut rng, Some(dialog::tool(name)));
            if *name == "dialog_cancel_alarm" && !offer.tools.contains(&"cancel_alarm") {
                offer.tools = vec!["set_alarm", "cancel_alarm"];
                offer.system = prompt(&offer.tools, &mut rng);
            }
            let turns = dialog::make(name, &mut rng, Split::Held).into_iter().flat_map(|(u, a)| [u, a]).collect();
            out.push(Conversation { intent: (*name).into(), system: offer.system, turns });
        }
    }
    out
}

/// How much to write.
#[derive(Clone, Copy)]
pub struct Size {
    /// Training conversations.
    pub conversations: usize,
    /// Held-out requests of each intent, or as many as there are.
    pub held: usize,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for Size {
    fn default() -> Self {
        Self { conversations: 1_600_000, held: 60, seed: 2 }
    }
}

/// Training conversations come in this many parts, each with its own random numbers, made side by side.
const PARTS: usize = 16;

/// One part of the training conversations, each handed to `take`; returns the hashes of all requests.
fn part<E>(size: Size, part: usize, mut take: impl FnMut(Conversation) -> Result<(), E>) -> Result<HashSet<u64>, E> {
    let mut rng = Rng::new(rng::hash(&format!("{} {part}", size.seed)));
    let mut seen = HashSet::new();
    for _ in (part..size.conversations).step_by(PARTS) {
        let c = conversation(intents::all(), &mut rng);
        seen.extend(c.turns.iter().step_by(2).map(|t| rng::hash(&t.to_lowercase())));
        take(c)?;
    }
    Ok(seen)
}

/// Runs every part on a thread of its own.
fn parts<E: Send>(one: impl Fn(usize) -> Result<HashSet<u64>, E> + Sync) -> Result<Vec<HashSet<u64>>, E> {
    std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..PARTS).map(|part| scope.spawn(move || one(part))).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// What a corpus trains on and what it holds out.
pub struct Drawn {
    /// Requests that are never trained on.
    pub held: Vec<Conversation>,
    seen: Vec<HashSet<u64>>,
}

impl Drawn {
    /// Draws the corpus of this size, keeping no more of the training part than which requests it has.
    pub fn new(size: Size) -> Self {
        let Ok(seen) = parts(|i| part(size, i, |_| Ok::<(), Infallible>(())));
        Self::with(size, seen)
    }

    /// Held-out requests that training happens to contain word for word are left out.
    fn with(size: Size, seen: Vec<HashSet<u64>>) -> Self {
        let mut drawn = Self { held: Vec::new(), seen };
        let mut held = held_out(intents::all(), size.held, size.seed);
        held.retain(|c| c.turns.len() > 2 || !drawn.trains_on(&c.turns[0]));
        drawn.held = held;
        drawn
    }

    /// Whether training has this request, capitals aside.
    pub fn trains_on(&self, request: &str) -> bool {
        let hash = rng::hash(&request.to_lowercase());
        self.seen.iter().any(|part| part.contains(&hash))
    }
}

/// Writes `train-00.jsonl` and so on, and `held.jsonl`, into `folder`.
pub fn write(folder: &Path, size: Size) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let seen = parts(|i| {
        let mut file = BufWriter::new(File::create(folder.join(format!("train-{i:02}.jsonl")))?);
        let seen = part(size, i, |c| line(&mut file, &c))?;
        file.flush()?;
        Ok::<_, io::Error>(seen)
    })?;
    let mut file = BufWriter::new(File::create(folder.join("held.jsonl"))?);
    Drawn::with(size, seen).held.iter().try_for_each(|c| line(&mut file, c))?;
    file.flush()
}

fn line(file: &mut impl Write, c: &Conversation) -> io::Result<()> {
    serde_json::to_writer(&mut *file, c)?;
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_makes_one_corpus_and_nothing_held_out_is_trained_on() {
        let size = Size { conversations: 3000, held: 5, seed: 7 };
        let train = || {
            let mut all = Vec::new();
            for i in 0..PARTS {
                let Ok(_) = part(size, i, |c| {
                    all.push(c.turns);
                    Ok::<(), Infallible>(())
                });
            }
            all
        };
        let turns = |held: Vec<Conversation>| held.into_iter().map(|c| c.turns).collect::<Vec<_>>();
        let (train, again, drawn) = (train(), train(), Drawn::new(size));
        assert!(train.iter().all(|t| drawn.trains_on(&t[0])));
        let held = turns(drawn.held);
        assert_eq!(train.len(), 3000);
        assert_eq!((&train, &held), (&again, &turns(Drawn::new(size).held)));
        let asked: HashSet<String> = train.iter().flat_map(|t| t.iter().step_by(2)).map(|t| t.to_lowercase()).collect();
        assert!(held.iter().filter(|t| t.len() == 2).all(|t| !asked.contains(&t[0].to_lowercase())));
    }

    #[test]
    fn tool_calls_are_json_and_name_a_tool_of_the_prompt() {
        let size = Size { conversations: 4000, held: 1, seed: 3 };
        let mut calls = 0;
        let Ok(_) = part(size, 0, |c| {
            for reply in c.turns.iter().skip(1).step_by(2).filter(|r| r.starts_with("{\"")) {
                let call: serde_json::Value = serde_json::from_str(reply).expect(reply);
                let tool = call["tool"].as_str().expect("a call names its tool");
                assert!(intents::TOOLS.contains(&tool) && c.system.contains(tool), "{tool} under {:?}", c.system);
                calls += 1;
            }
            Ok::<(), Infallible>(())
        });
        assert!(calls > 100, "{calls}");
    }
}
