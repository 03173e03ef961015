//! What can be asked: the intents of `sentences/*.txt`, each with the slots that depend on each other.

use std::sync::LazyLock;

use super::grammar::{Frame, Intent, Style};
use super::sums;

/// Every tool, in the order the full list names them.
pub const TOOLS: &[&str] = &[
    "set_alarm",
    "cancel_alarm",
    "list_alarms",
    "set_timer",
    "cancel_timer",
    "check_timer",
    "set_reminder",
    "send_text",
    "call",
    "play_music",
    "media",
    "flashlight",
    "volume",
    "brightness",
    "setting",
    "weather",
    "calendar",
    "add_event",
    "open_app",
    "navigate",
    "take_photo",
    "add_to_list",
    "show_list",
    "make_note",
    "clock",
    "battery",
];

static INTENTS: LazyLock<Vec<Intent>> = LazyLock::new(|| {
    let files = [
        include_str!("../../sentences/phone.txt"),
        include_str!("../../sentences/talk.txt"),
        include_str!("../../sentences/sums.txt"),
    ];
    files.into_iter().flat_map(|text| text.split("# ").skip(1)).map(parse).collect()
});

/// All intents, in file order.
pub fn all() -> &'static [Intent] {
    &INTENTS
}

/// The intent called `name`. Panics if there is none.
pub fn named(name: &str) -> &'static Intent {
    INTENTS.iter().find(|i| i.name == name).unwrap_or_else(|| panic!("no intent {name}"))
}

/// One block: its name, `key: value` lines, then its sentence templates.
fn parse(block: &'static str) -> Intent {
    let mut lines = block.lines();
    let name = lines.next().expect("a block begins with its name");
    let mut intent = Intent {
        name,
        noun: "",
        reply: "",
        style: Style::Bare,
        prepare: prepare(name),
        weight: 0,
        templates: Vec::new(),
    };
    for line in lines.filter(|line| !line.is_empty()) {
        // The four keys come first; a template may contain a colon too.
        match line.split_once(": ").filter(|_| intent.templates.is_empty()) {
            Some(("tool", noun)) => intent.noun = noun,
            Some(("reply", reply)) => intent.reply = reply,
            Some(("weight", weight)) => intent.weight = weight.parse().expect("a weight is a number"),
            Some(("style", style)) => {
                intent.style = match style {
                    "order" => Style::Order,
                    "question" => Style::Question,
                    _ => Style::Bare,
                }
            }
            _ => intent.templates.push(line),
        }
    }
    intent
}

/// What draws the slots of an intent that its sentences do not draw one by one.
fn prepare(intent: &str) -> fn(&mut Frame) {
    match intent {
        "alarm_repeat" => repeat,
        "setting_on" | "setting_off" => switch,
        "ask_alarm_day" => plain_day,
        _ => sums::prepare(intent),
    }
}

fn repeat(frame: &mut Frame) {
    let (said, value) = [
        ("every day", "every day"),
        ("every weekday", "weekdays"),
        ("on weekdays", "weekdays"),
        ("every morning", "every day"),
        ("on weekends", "weekends"),
        ("daily", "every day"),
        ("each day", "every day"),
        ("every weekend", "weekends"),
        ("all weekdays", "weekdays"),
        ("from monday to friday", "weekdays"),
        ("each weekday", "weekdays"),
        ("during the week", "weekdays"),
        ("monday to friday", "weekdays"),
        ("for every day", "every day"),
        ("for weekdays", "weekdays"),
        ("for weekends", "weekends"),
        ("on saturdays and sundays", "weekends"),
        ("every single day", "every day"),
        ("on every weekday", "weekdays"),
    ][frame.rng.below(19)];
    frame.set("repeat", said, value);
}

fn plain_day(frame: &mut Frame) {
    let day = frame.rng.pick(&[
        "tomorrow",
        "on monday",
        "on friday",
        "on sunday",
        "tomorrow morning",
        "for tomorrow",
        "on tuesday",
        "on saturday",
        "on wednesday",
        "on thursday",
    ]);
    frame.set("plain_day", day, "");
}

fn switch(frame: &mut Frame) {
    const NAMES: &[(&str, &[&str])] = &[
        ("wifi", &["wifi", "wi-fi", "the wifi", "the wi-fi", "my wifi", "WiFi", "Wi-Fi", "wireless"]),
        ("bluetooth", &["bluetooth", "Bluetooth", "the bluetooth", "my bluetooth"]),
        ("airplane_mode", &["airplane mode", "flight mode", "aeroplane mode", "plane mode"]),
        ("do_not_disturb", &["do not disturb", "do not disturb mode", "DND", "don't disturb mode", "silent mode"]),
        ("dark_mode", &["dark mode", "dark theme", "the dark theme", "night mode"]),
        (
            "battery_saver",
            &["battery saver", "power saving", "low power mode", "power saving mode", "battery saving mode"],
        ),
        ("location", &["location", "gps", "GPS", "location services", "my location"]),
        ("hotspot", &["hotspot", "the hotspot", "my hotspot", "mobile hotspot", "tethering"]),
    ];
    let (value, said) = NAMES[frame.rng.below(NAMES.len())];
    let said = frame.rng.pick(said);
    frame.set("switch", said, value);
}
