//! Exchanges of several turns: asking back for what is missing, corrections, follow-up questions.

use super::grammar::{Frame, Intent, Split, Style, dress, render, reply};
use super::intents;
use super::rng::Rng;
use std::collections::BTreeMap;

/// One request and its reply.
pub type Turn = (String, String);

/// Names of the dialogs, rows of the accuracy table like the intents.
pub const DIALOGS: &[&str] = &[
    "dialog_alarm",
    "dialog_alarm_day",
    "dialog_timer",
    "dialog_reminder",
    "dialog_text",
    "dialog_message",
    "dialog_call",
    "dialog_change_alarm",
    "dialog_change_timer",
    "dialog_cancel_alarm",
    "dialog_weather_day",
    "dialog_weather_place",
    "dialog_calendar",
    "dialog_never_mind",
];

/// The tool without which a dialog does not start.
pub fn tool(dialog: &str) -> &'static str {
    match dialog {
        "dialog_timer" | "dialog_change_timer" => "set_timer",
        "dialog_reminder" => "set_reminder",
        "dialog_text" | "dialog_message" | "dialog_never_mind" => "send_text",
        "dialog_call" => "call",
        "dialog_weather_day" | "dialog_weather_place" => "weather",
        "dialog_calendar" => "calendar",
        _ => "set_alarm",
    }
}

struct Dialog<'a> {
    name: &'static str,
    rng: &'a mut Rng,
    split: Split,
    lower: bool,
    known: BTreeMap<String, String>,
    turns: Vec<Turn>,
}

impl Dialog<'_> {
    /// A turn from the sentences of an intent of its own row, keeping what it meant.
    fn opening(&mut self, intent: &'static str) {
        let intent = intents::named(intent);
        // Openings are always sentences of the training side: the row tests what follows.
        let templates: Vec<&&str> = intent.templates.iter().filter(|t| !t.starts_with('~')).collect();
        let template = templates[self.rng.below(templates.len())];
        let reply_form = intent.reply;
        self.turn(template, reply_form, intent.style, intent.prepare);
    }

    fn turn(&mut self, template: &str, form: &'static str, style: Style, prepare: fn(&mut Frame)) {
        let name = if form.starts_with("set_alarm") || form.starts_with("cancel_alarm") { "alarm" } else { self.name };
        let mut frame = Frame {
            rng: self.rng,
            split: self.split,
            intent: name,
            lower: self.lower,
            spoken: BTreeMap::new(),
            values: BTreeMap::new(),
        };
        prepare(&mut frame);
        let text = render(template, &mut frame, false);
        let text = dress(&text, template, style, &mut frame);
        let values = std::mem::take(&mut frame.values);
        self.known.extend(values);
        let answer = match form.strip_prefix('=') {
            Some(asks) => asks.split_once(' ').expect("asking back names its tool").1.to_string(),
            None => {
                let intent =
                    Intent { name: "", noun: "x", reply: form, style, prepare, weight: 0, templates: Vec::new() };
                reply(&intent, &self.known)
            }
        };
        self.turns.push((text, answer));
    }

    fn follow(&mut self, templates: &[&str], form: &'static str) {
        let template = self.rng.pick(templates);
        self.turn(template, form, Style::Bare, |_| {});
    }
}

const ALARM: &str = "set_alarm time={time} day={day}";
const TIMER: &str = "set_timer hours={hours} minutes={minutes} seconds={seconds}";

/// Makes one dialog. The last turn is the one that is scored.
pub fn make(name: &'static str, rng: &mut Rng, split: Split) -> Vec<Turn> {
    let lower = rng.chance(45);
    let mut d = Dialog { name, rng, split, lower, known: BTreeMap::new(), turns: Vec::new() };
    let times: &[&str] = &[
        "{time}",
        "[at|for] {time}",
        "{time} please",
        "make it {time}",
        "let's say {time}",
        "um, {time}",
        "{time} would be good",
        "I'd say {time}",
        "around {time}",
    ];
    match name {
        "dialog_alarm" => {
            d.opening("ask_alarm");
            d.follow(times, ALARM);
        }
        "dialog_alarm_day" => {
            let (said, value) = [
                ("tomorrow", "tomorrow"),
                ("on monday", "monday"),
                ("on tuesday", "tuesday"),
                ("on wednesday", "wednesday"),
                ("on thursday", "thursday"),
                ("on friday", "friday"),
                ("on saturday", "saturday"),
                ("on sunday", "sunday"),
                ("for tomorrow", "tomorrow"),
                ("tomorrow morning", "tomorrow"),
            ][d.rng.below(10)];
            let lead = d.rng.pick(&[
                "set an alarm",
                "wake me up",
                "I need to get up",
                "alarm",
                "I want an alarm",
                "wake me",
                "I need an alarm",
                "make an alarm",
            ]);
            d.turn(&format!("{lead} {said}"), "=set_alarm For what time?", Style::Order, |_| {});
            d.known.insert("day".into(), value.into());
            d.follow(times, ALARM);
        }
        "dialog_timer" => {
            d.opening("ask_timer");
            d.follow(
                &[
                    "{duration}",
                    "for {duration}",
                    "{duration} please",
                    "make it {duration}",
                    "let's say {duration}",
                    "um, {duration}",
                    "I need {duration}",
                ],
                TIMER,
            );
        }
        "dialog_reminder" => {
            d.opening("ask_reminder");
            d.follow(
                &[
                    "{task}",
                    "to {task}",
                    "that I have to {task}",
                    "I need to {task}",
                    "I have to {task}",
                    "remind me to {task}",
                ],
                "set_reminder text={task}",
            );
        }
        "dialog_text" => {
            d.opening("ask_text");
            d.follow(
                &["{contact}", "to {contact}", "{contact} please", "text {contact}"],
                "=send_text What should the text say?",
            );
            d.follow(
                &["{message}", "say {message}", "that {message}", "tell them {message}"],
                "send_text to={contact} message={message}",
            );
        }
        "dialog_message" => {
            d.opening("ask_message");
            d.follow(
                &[
                    "{message}",
                    "{message}",
                    "say {message}",
                    "that {message}",
                    "tell them {message}",
                    "write {message}",
                    "it should say {message}",
                ],
                "send_text to={contact} message={message}",
            );
        }
        "dialog_call" => {
            d.opening("ask_call");
            d.follow(
                &["{contact}", "{contact} please", "call {contact}", "I want to call {contact}"],
                "call to={contact}",
            );
        }
        "dialog_change_alarm" => {
            let first = if d.rng.chance(50) { "alarm" } else { "alarm_day" };
            d.opening(first);
            d.follow(
                &[
                    "make it {time}",
                    "make that {time}",
                    "no, {time}",
                    "change it to {time}",
                    "actually {time}",
                    "actually, make it {time}",
                    "no wait, {time}",
                    "sorry, {time}",
                    "I meant {time}",
                    "better {time}",
                    "{time} instead",
                    "set it to {time} instead",
                    "actually make that {time}",
                    "hmm, rather {time}",
                    "move it to {time}",
                ],
                ALARM,
            );
        }
        "dialog_change_timer" => {
            d.opening("timer");
            for k in ["hours", "minutes", "seconds"] {
                d.known.remove(k);
            }
            d.follow(
                &[
                    "make it {duration}",
                    "no, {duration}",
                    "change it to {duration}",
                    "actually {duration}",
                    "actually, make it {duration}",
                    "I meant {duration}",
                    "better {duration}",
                    "{duration} instead",
                ],
                TIMER,
            );
        }
        "dialog_cancel_alarm" => {
            let first = if d.rng.chance(50) { "alarm" } else { "alarm_day" };
            d.opening(first);
            d.follow(
                &[
                    "cancel it",
                    "cancel that",
                    "delete it",
                    "remove it",
                    "undo that",
                    "no, cancel it",
                    "actually, cancel that",
                    "cancel that alarm",
                    "turn it off again",
                    "never mind, cancel it",
                    "delete that alarm",
                ],
                "cancel_alarm time={time}",
            );
        }
        "dialog_weather_day" => {
            d.opening("weather_place");
            d.follow(
                &[
                    "and {on_day}",
                    "what about {on_day}",
                    "how about {on_day}",
                    "and {on_day}?",
                    "{on_day}?",
                    "and what about {on_day}",
                    "how about {day}?",
                ],
                "weather place={place} day={day}",
            );
        }
        "dialog_weather_place" => {
            let first = if d.rng.chance(50) { "weather_place" } else { "weather_place_day" };
            d.opening(first);
            d.follow(
                &[
                    "and in {place}",
                    "what about {place}",
                    "how about {place}",
                    "and in {place}?",
                    "and {place}?",
                    "what about in {place}?",
                    "and how is it in {place}",
                ],
                "weather place={place} day={day}",
            );
        }
        "dialog_calendar" => {
            d.opening("calendar");
            d.follow(
                &["and {on_day}", "what about {on_day}", "how about {on_day}", "and {on_day}?", "{on_day}?"],
                "calendar day={day}",
            );
        }
        _ => {
            d.opening("ask_message");
            let text = d.rng.pick(&[
                "never mind",
                "forget it",
                "oh never mind",
                "sorry, forget it",
                "no, forget it",
                "never mind, sorry",
                "ok never mind",
                "no, never mind",
            ]);
            d.turns.push((text.to_string(), "No problem.".into()));
        }
    }
    d.turns
}
