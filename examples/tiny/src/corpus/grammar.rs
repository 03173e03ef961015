//! Templates: `[this|that|]` alternatives and `{slot}`s, turned into a request and its slot values.

use super::lexicon;
use super::rng::{Rng, hash};
use super::when;
use std::collections::BTreeMap;

/// The intent of everything outside; its slots only vary the topic.
pub const REFUSE: &str = "refuse";

/// How a request may be wrapped in politeness.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// "turn on the light": takes "can you", "please", "for me".
    Order,
    /// "is it raining": takes "hey", "tell me", a question mark.
    Question,
    /// "thanks": taken as it is.
    Bare,
}

/// One meaning: its sentences and the reply that follows from it.
pub struct Intent {
    /// Row name in the accuracy table.
    pub name: &'static str,
    /// What the tool is for ("alarm" in "I have no alarm tool here."); empty for direct answers.
    pub noun: &'static str,
    /// `tool key={slot} …` for a tool call, otherwise the reply's own words.
    pub reply: &'static str,
    /// How requests are wrapped.
    pub style: Style,
    /// Slots that depend on each other, drawn before the sentence is.
    pub prepare: fn(&mut Frame),
    /// Share of the corpus relative to the others.
    pub weight: u32,
    /// Sentence templates; a leading `~` marks one that is never trained on (intents without open slots).
    pub templates: Vec<&'static str>,
}

impl Intent {
    /// Whether template `index` is kept from training.
    pub fn holds_out(&self, index: usize) -> bool {
        // One sentence in fourteen, whatever it says: nobody lists what people may ask for.
        self.templates[index].starts_with('~') || self.name == REFUSE && index % 14 == 7
    }

    /// Whether this intent is held out by sentence rather than by slot value.
    pub fn has_held_templates(&self) -> bool {
        (0..self.templates.len()).any(|i| self.holds_out(i))
    }
}

/// Whether an example is for training or for the held-out set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Seen by the trainer.
    Train,
    /// Only ever evaluated.
    Held,
}

/// What is known about one request while its sentence is made.
pub struct Frame<'a> {
    /// The random source.
    pub rng: &'a mut Rng,
    /// Which side of the split the slot values must lie on.
    pub split: Split,
    /// The intent's name; slot values are held out per intent.
    pub intent: &'static str,
    /// Whether the user writes without capitals; verbatim slots follow.
    pub lower: bool,
    /// What the user says for a slot.
    pub spoken: BTreeMap<String, String>,
    /// What the slot means.
    pub values: BTreeMap<String, String>,
}

impl Frame<'_> {
    /// Draws until the value's side of the split is the frame's. About one value in ten is held out.
    pub fn open(&mut self, slot: &str, mut draw: impl FnMut(&mut Rng) -> String) -> String {
        if self.intent == REFUSE {
            return draw(self.rng); // what is declined is all alike: held out by sentence
        }
        for _ in 0..20_000 {
            let value = draw(self.rng);
            let key = format!("{}|{slot}|{}", self.intent, value.to_lowercase());
            let held = (hash(&key) >> 20).is_multiple_of(10);
            if held == (self.split == Split::Held) {
                return value;
            }
        }
        panic!("slot {slot} of {} has no value on one side of the split", self.intent);
    }

    /// Sets a slot whose words and meaning differ.
    pub fn set(&mut self, slot: &str, spoken: impl Into<String>, value: impl Into<String>) {
        self.spoken.insert(slot.into(), spoken.into());
        self.values.insert(slot.into(), value.into());
    }

    /// Sets a value that the sentence does not say.
    pub fn mean(&mut self, slot: &str, value: impl Into<String>) {
        self.values.insert(slot.into(), value.into());
    }

    /// What the user says for `slot`, drawing it now if nothing did before.
    fn say(&mut self, slot: &str) -> String {
        if let Some(spoken) = self.spoken.get(slot) {
            return spoken.clone();
        }
        if when::fill(self, slot) {
            return self.spoken[slot].clone();
        }
        // `{task2}` and the like: a second value of the same list.
        let list = slot.trim_end_matches(|c: char| c.is_ascii_digit());
        let mut value = self.open(slot, |rng| lexicon::word(list, rng));
        if self.lower {
            value = value.to_lowercase();
        }
        self.set(slot, value.clone(), value.clone());
        value
    }
}

/// Makes one sentence of `template`; only literal words may carry a typo, so a slot always means what it says.
pub fn render(template: &str, frame: &mut Frame, typos: bool) -> String {
    let chosen = choose(template, frame.rng);
    let mut out = String::new();
    let mut rest = chosen.as_str();
    while let Some((head, tail)) = rest.split_once('{') {
        let (slot, after) = tail.split_once('}').expect("templates close their braces");
        out.push_str(&misspell(head, frame.rng, typos));
        out.push_str(&frame.say(slot));
        rest = after;
    }
    out.push_str(&misspell(rest, frame.rng, typos));
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Takes one alternative of every `[a|b]`, inside out.
fn choose(template: &str, rng: &mut Rng) -> String {
    let mut text = template.trim_start_matches('~').to_string();
    while let Some(close) = text.find(']') {
        let open = text[..close].rfind('[').expect("templates open their brackets");
        let parts: Vec<&str> = text[open + 1..close].split('|').collect();
        let part = parts[rng.below(parts.len())].to_string();
        text.replace_range(open..=close, &part);
    }
    text
}

/// Drops, doubles or swaps one letter of a longer word.
fn misspell(text: &str, rng: &mut Rng, typos: bool) -> String {
    if !typos {
        return text.into();
    }
    let words: Vec<String> = text
        .split(' ')
        .map(|word| {
            if word.len() < 5 || !word.bytes().all(|b| b.is_ascii_lowercase()) || !rng.chance(30) {
                return word.to_string();
            }
            let at = 1 + rng.below(word.len() - 2);
            let mut letters: Vec<char> = word.chars().collect();
            match rng.below(3) {
                0 => {
                    letters.remove(at);
                }
                1 => letters.insert(at, letters[at]),
                _ => letters.swap(at, at + 1),
            }
            letters.into_iter().collect()
        })
        .collect();
    words.join(" ")
}

const BEFORE_ORDER: &[&str] = &[
    "please",
    "can you",
    "could you",
    "can you please",
    "could you please",
    "would you",
    "hey sprat,",
    "hi sprat,",
    "hello sprat,",
    "hi,",
    "sprat,",
    "hey,",
    "ok",
    "okay sprat",
    "i want you to",
    "i'd like you to",
    "I need you to",
    "um,",
    "quick,",
    "will you",
    "hi, please",
    "kindly",
    "go ahead and",
    "hey can you",
    "hi can u",
    "pls",
    "so,",
    "would you mind to",
    "hello, could you",
    "alright,",
    "hey there,",
    "good morning,",
    "excuse me,",
    "I was wondering if you could",
    "would you be so kind and",
    "is it possible to",
    "do me a favor and",
    "can I ask you to",
    "just",
    "and",
    "also",
    "now",
    "then",
    "can you maybe",
    "could u",
    "can u",
    "plz",
    "I would like to",
    "I want to",
    "you should",
    "help me",
    "yo,",
    "oh,",
    "oh and",
    "actually,",
    "sorry, can you",
    "thanks, now",
    "listen,",
    "hmm,",
    "well,",
    "sprat, please",
    "sprat, can you",
    "hey sprat, could you please",
    "I think I need you to",
    "it would be great if you could",
    "let's",
    "uh",
    "uhm",
    "er,",
    "please can you",
    "please could you",
    "could you quickly",
    "can you quickly",
    "if you don't mind,",
];
const AFTER_ORDER: &[&str] = &[
    "please",
    "for me",
    "thanks",
    "now",
    "right now",
    "pls",
    "thx",
    "for me please",
    "if you can",
    "ok?",
    "will you",
    "would you",
    "real quick",
    "thank you",
    "if possible",
    "when you can",
    "sprat",
    "mate",
    "buddy",
    "asap",
    "immediately",
    "quickly",
    "can you",
    "could you",
    "thank u",
    "plz",
    "would you please",
    "if you don't mind",
    "ok",
    "then",
    "many thanks",
];
const BEFORE_QUESTION: &[&str] = &[
    "hey,",
    "hey sprat,",
    "hi sprat,",
    "hello sprat,",
    "sprat,",
    "so",
    "um,",
    "ok,",
    "hi,",
    "tell me,",
    "quick question:",
    "please tell me,",
    "uh",
    "hello,",
    "say,",
    "well,",
    "and",
    "ok so",
    "hey there,",
    "can you tell me",
    "could you tell me",
    "do you know",
    "I want to know",
    "I'd like to know",
    "I wonder",
    "excuse me,",
    "sorry,",
    "oh,",
    "hmm,",
    "actually,",
    "one question:",
    "let me ask you,",
    "please,",
    "good morning,",
    "also,",
    "thanks, and",
    "by the way,",
    "just tell me",
    "yo,",
    "er,",
    "another question:",
];

const BEFORE_BARE: &[&str] =
    &["oh,", "well,", "um,", "ok,", "okay,", "hey,", "sprat,", "so,", "hmm,", "and", "uh,", "alright,", "hey sprat,"];

/// Small talk that may begin with a filler word; what is repeated or introduced may not.
fn intent_is_talk(intent: &str) -> bool {
    !matches!(intent, "echo" | "my_name" | "hello" | "good_morning" | "bye")
}

/// Slots that run to the end of the sentence, after which nothing may be added.
const TAILS: &[&str] = &["{message}", "{note}", "{task}", "{title}"];

/// Wraps a rendered request: politeness, capitals, punctuation.
pub fn dress(text: &str, template: &str, style: Style, frame: &mut Frame) -> String {
    let mut out = text.to_string();
    let tail = TAILS.iter().any(|t| template.trim_end_matches(']').ends_with(t)) || template.contains("{echo}");
    if style == Style::Bare && intent_is_talk(frame.intent) && frame.rng.chance(8) {
        out = format!("{} {out}", frame.rng.pick(BEFORE_BARE));
    }
    if frame.intent == REFUSE {
        if frame.rng.chance(25) {
            let before = if frame.rng.chance(50) { BEFORE_ORDER } else { BEFORE_QUESTION };
            out = format!("{} {out}", frame.rng.pick(before));
        }
        if frame.rng.chance(10) {
            out = format!("{out} {}", frame.rng.pick(AFTER_ORDER));
        }
    }
    if style == Style::Order {
        if frame.rng.chance(40) {
            out = format!("{} {out}", frame.rng.pick(BEFORE_ORDER));
        }
        // What is to be done ends where politeness begins; a message may well end in "please".
        let polite = ["{task}", "{title}"].iter().any(|t| template.ends_with(t)) && frame.rng.chance(12);
        if polite {
            out.push_str(frame.rng.pick(&[" please", ", please", " thanks", ", thanks", ", thank you", " pls"]));
        } else if !tail && frame.rng.chance(20) {
            let joint = if frame.rng.chance(25) { "," } else { "" };
            out = format!("{out}{joint} {}", frame.rng.pick(AFTER_ORDER));
        }
    }
    if style == Style::Question {
        if frame.rng.chance(20) {
            out = format!("{} {out}", frame.rng.pick(BEFORE_QUESTION));
        }
        if !tail && frame.rng.chance(10) {
            out.push_str(
                frame.rng.pick(&[" please", ", please", " sprat", " then", " thanks", ", thanks", " for me", " pls"]),
            );
        }
    }
    let asks = style == Style::Question || out.to_lowercase().starts_with("c") && out.contains("ou ");
    if ["{task}", "{title}"].iter().any(|t| template.ends_with(t)) && frame.rng.chance(12) {
        out.push_str(if asks { frame.rng.pick(&["?", "?", "."]) } else { frame.rng.pick(&[".", ".", "!"]) });
    }
    if !tail && !out.ends_with(['.', '?', '!']) {
        match frame.rng.below(10) {
            0..4 if asks => out.push('?'),
            0..3 if !asks => out.push('.'),
            9 if frame.rng.chance(30) => out.push_str(if asks { "??" } else { "!" }),
            _ => {}
        }
    }
    if frame.lower {
        return out.to_lowercase();
    }
    // A verbatim slot at the start keeps its own case, so the reply can repeat it.
    if template.starts_with('{') && out.starts_with(text) {
        return out;
    }
    let mut letters = out.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => out,
    }
}

/// Writes the reply: a tool call as JSON if `reply` has the form `tool key={slot}`, the sentence otherwise.
pub fn reply(intent: &Intent, values: &BTreeMap<String, String>) -> String {
    if intent.noun.is_empty() {
        return fill(intent.reply, values).expect("a direct answer has all its slots");
    }
    let mut parts = intent.reply.split(' ');
    let mut json = format!(r#"{{"tool":"{}""#, parts.next().expect("a reply names its tool"));
    for field in parts {
        let (key, form) = field.split_once('=').expect("fields are key=form");
        let Some(value) = fill(form, values) else { continue };
        if value == "true" || value.bytes().all(|b| b.is_ascii_digit()) && NUMBERS.contains(&key) {
            json.push_str(&format!(r#","{key}":{value}"#));
        } else {
            json.push_str(&format!(r#","{key}":"{value}""#));
        }
    }
    json + "}"
}

/// Fields that are JSON numbers.
const NUMBERS: &[&str] = &["hours", "minutes", "seconds", "in_minutes", "level"];

/// Replaces `{slot}`s by their values; `None` if one has none.
pub fn fill(form: &str, values: &BTreeMap<String, String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = form;
    while let Some((head, tail)) = rest.split_once('{') {
        let (slot, after) = tail.split_once('}')?;
        out.push_str(head);
        out.push_str(values.get(slot)?);
        rest = after;
    }
    Some(out + rest)
}
