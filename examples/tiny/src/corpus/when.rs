//! Slots of time: clock times, days, durations and numbers, as people say them and as the reply writes them.

use super::grammar::{Frame, Split};
use super::rng::Rng;

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Monday first.
pub const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// January first.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A number below 100 in words.
pub fn in_words(n: u32) -> String {
    match n {
        0..20 => ONES[n as usize].into(),
        _ if n.is_multiple_of(10) => TENS[n as usize / 10].into(),
        _ => format!("{} {}", TENS[n as usize / 10], ONES[n as usize % 10]),
    }
}

/// A number as typed: mostly digits, sometimes words.
pub fn number(n: u32, rng: &mut Rng) -> String {
    if n < 100 && rng.chance(18) { in_words(n) } else { n.to_string() }
}

/// Which half of the day a time without one means: alarms are in the morning; otherwise 1 to 6 are in the afternoon.
#[derive(Clone, Copy, PartialEq)]
enum Half {
    Alarm,
    Usual,
    Morning,
    Afternoon,
    Evening,
}

fn half_of(frame: &Frame) -> Half {
    if frame.intent.starts_with("alarm") || frame.intent.starts_with("cancel_alarm") {
        Half::Alarm
    } else {
        Half::Usual
    }
}

fn bare_hour(h12: u32, half: Half) -> u32 {
    match half {
        Half::Alarm => h12,
        Half::Usual => {
            if h12 <= 6 {
                h12 + 12
            } else {
                h12
            }
        }
        Half::Morning => h12 % 12,
        Half::Afternoon | Half::Evening => {
            if h12 == 12 {
                12
            } else {
                h12 + 12
            }
        }
    }
}

/// Draws a time of day; the half, if given, limits the hours to it.
fn draw_time(frame: &mut Frame, half: Half) -> (u32, u32) {
    let value = frame.open("time", |rng| {
        let h = match half {
            Half::Morning => rng.range(4, 11),
            Half::Afternoon => rng.range(12, 17),
            Half::Evening => rng.range(17, 23),
            Half::Alarm if rng.chance(60) => rng.range(4, 11),
            Half::Usual if rng.chance(60) => rng.range(7, 18),
            _ => rng.range(0, 23),
        };
        let m = match rng.below(10) {
            0..4 => 0,
            4..7 => rng.range(1, 3) * 15,
            7 | 8 => rng.range(1, 11) * 5,
            _ => rng.range(0, 59),
        };
        format!("{h:02}:{m:02}")
    });
    let (h, m) = value.split_once(':').expect("drawn as hh:mm");
    (h.parse().expect("two digits"), m.parse().expect("two digits"))
}

/// The words for `h:m`, where a time without am or pm is read as `half` says.
fn say_time(rng: &mut Rng, h: u32, m: u32, half: Half) -> String {
    let h12 = if h.is_multiple_of(12) { 12 } else { h % 12 };
    let bare = bare_hour(h12, half) == h;
    let given = matches!(half, Half::Morning | Half::Afternoon | Half::Evening);
    let mark = if given || bare && rng.chance(65) {
        String::new()
    } else if h < 12 {
        rng.pick(&[" am", "am", " AM", " a.m.", " in the morning", " am", "am"]).to_string()
    } else if h < 17 {
        rng.pick(&[" pm", "pm", " PM", " p.m.", " in the afternoon", " pm", "pm"]).to_string()
    } else {
        rng.pick(&[" pm", "pm", " PM", " p.m.", " in the evening", " at night", " pm", "pm"]).to_string()
    };
    if !given && (h, m) == (12, 0) && rng.chance(50) {
        return rng.pick(&["noon", "midday", "12 noon"]).to_string();
    }
    if !given && (h, m) == (0, 0) && rng.chance(60) {
        return "midnight".into();
    }
    if !given && (h > 12 || h == 0 || h < 10) && rng.chance(10) {
        return format!("{h:02}:{m:02}"); // 19:30 and 07:30 are read as written
    }
    let spelled = mark.starts_with(' ') || mark.is_empty();
    if spelled && rng.chance(22) {
        let hour = |n: u32, rng: &mut Rng| if rng.chance(60) { in_words(n) } else { n.to_string() };
        let next = h12 % 12 + 1;
        // "quarter to one" names the next hour; only where that hour keeps the same half.
        let next_same = h12 != 11 && h12 != 12 && (bare_hour(next, half) == h + 1 || !mark.is_empty());
        let words = match m {
            0 if mark.is_empty() && rng.chance(50) => format!("{} o'clock", hour(h12, rng)),
            0 => in_words(h12),
            15 if rng.chance(60) => format!("{}quarter past {}", rng.pick(&["", "a "]), hour(h12, rng)),
            30 if rng.chance(60) => format!("half past {}", hour(h12, rng)),
            45 if next_same && rng.chance(70) => format!("{}quarter to {}", rng.pick(&["", "a "]), hour(next, rng)),
            5 | 10 | 20 | 25 if rng.chance(50) => {
                let minutes = if rng.chance(60) { in_words(m) } else { m.to_string() };
                format!("{minutes} {} {}", rng.pick(&["past", "past", "after"]), hour(h12, rng))
            }
            35 | 40 | 50 | 55 if next_same && rng.chance(50) => {
                let minutes = if rng.chance(60) { in_words(60 - m) } else { (60 - m).to_string() };
                format!("{minutes} to {}", hour(next, rng))
            }
            1..10 => format!("{} oh {}", in_words(h12), in_words(m)),
            _ => format!("{} {}", in_words(h12), in_words(m)),
        };
        return words + &mark;
    }
    match m {
        0 if !rng.chance(25) => {
            if mark.is_empty() && rng.chance(12) {
                format!("{h12} o'clock")
            } else {
                format!("{h12}{mark}")
            }
        }
        _ if rng.chance(6) => format!("{h12}.{m:02}{mark}"),
        1.. if rng.chance(5) => format!("{h12}{m:02}{mark}"),
        _ => format!("{h12}:{m:02}{mark}"),
    }
}

/// A day as said ("on friday", "tomorrow") and meant ("friday", "tomorrow").
fn draw_day(rng: &mut Rng, on: bool) -> (String, String) {
    if rng.chance(8) {
        return draw_date(rng, on);
    }
    if rng.chance(3) {
        let lead = rng.pick(&["the ", ""]);
        return (format!("{lead}day after tomorrow"), "day after tomorrow".into());
    }
    match rng.below(10) {
        0..4 => ("tomorrow".into(), "tomorrow".into()),
        4 | 5 => ("today".into(), "today".into()),
        _ => {
            let day = rng.pick(&DAYS);
            let lead = match (on, rng.below(8)) {
                (_, 0) => "this ",
                (_, 1) => "next ",
                (_, 2) => "",
                (true, _) => "on ",
                (false, _) => "",
            };
            (format!("{lead}{day}"), day.to_lowercase())
        }
    }
}

/// A date as said ("on the 5th of March") and meant ("march 5").
fn draw_date(rng: &mut Rng, on: bool) -> (String, String) {
    let month = MONTHS[rng.below(12)];
    let day = rng.range(1, if month == "February" { 28 } else { 30 });
    let th = match day {
        11..=13 => "th",
        _ => ["th", "st", "nd", "rd", "th", "th", "th", "th", "th", "th"][day as usize % 10],
    };
    let said = match rng.below(5) {
        0 => format!("{month} {day}"),
        1 => format!("{month} {day}{th}"),
        2 => format!("the {day}{th} of {month}"),
        3 => format!("{day}{th} of {month}"),
        _ => format!("{day} {month}"),
    };
    let lead = if on && rng.chance(80) { "on " } else { "" };
    (format!("{lead}{said}"), format!("{} {day}", month.to_lowercase()))
}

fn draw_duration(frame: &mut Frame, compact: bool) {
    let shape = frame.rng.below(20);
    let (h, m, s, odd) = match shape {
        0 => (0, 30, 0, Some("half an hour")),
        1 => {
            if frame.rng.chance(50) {
                (0, 15, 0, Some("a quarter of an hour"))
            } else {
                (1, 30, 0, Some("an hour and a half"))
            }
        }
        2 => match frame.rng.below(3) {
            0 => (1, 0, 0, Some("an hour")),
            1 => (0, 1, 0, Some("a minute")),
            _ => (0, 45, 0, Some("three quarters of an hour")),
        },
        3 | 4 => (frame.rng.range(1, 12), 0, 0, None),
        5 => (frame.rng.range(1, 5), frame.rng.range(1, 59), 0, None),
        6..9 => (0, 0, frame.rng.range(5, 120), None),
        9 => (0, frame.rng.range(1, 20), frame.rng.range(1, 59), None),
        _ => (0, frame.rng.range(1, 99), 0, None),
    };
    if let Some(text) = odd.filter(|_| !compact && frame.split == Split::Train) {
        frame.set("duration", text, "");
        for (key, n) in [("hours", h), ("minutes", m), ("seconds", s)] {
            if n > 0 {
                frame.mean(key, n.to_string());
            }
        }
        return;
    }
    if !compact && frame.split == Split::Train && frame.rng.chance(5) {
        // "three and a half minutes"
        let n = frame.rng.range(1, 20);
        let hours = n <= 6 && frame.rng.chance(40);
        let said = number(n, frame.rng);
        frame.set("duration", format!("{said} and a half {}", if hours { "hours" } else { "minutes" }), "");
        let (large, small) = if hours { ("hours", "minutes") } else { ("minutes", "seconds") };
        frame.mean(large, n.to_string());
        frame.mean(small, "30");
        return;
    }
    let base = (h.max(1), m.max(1), s.max(1));
    let kind = (h > 0, m > 0, s > 0);
    // The amounts are drawn again on the frame's side of the split; the shape stays.
    let value = frame.open("duration", |rng| {
        let h = if kind.0 { if kind.1 { base.0 } else { rng.range(1, 24) } } else { 0 };
        let m = if kind.1 { if kind.0 { rng.range(1, 59) } else { rng.range(1, 99) } } else { 0 };
        let s = if kind.2 { if kind.1 { rng.range(1, 59) } else { rng.range(2, 120) } } else { 0 };
        format!("{h}:{m}:{s}")
    });
    let parts: Vec<u32> = value.split(':').map(|p| p.parse().expect("drawn as numbers")).collect();
    let rng = &mut *frame.rng;
    let mut spoken = Vec::new();
    let short = rng.chance(20);
    let tight = rng.chance(6);
    for (n, long, brief) in [(parts[0], "hour", "hr"), (parts[1], "minute", "min"), (parts[2], "second", "sec")] {
        if n == 0 {
            continue;
        }
        let unit = if short { brief } else { long };
        if tight {
            spoken.push(format!("{n}{}", &brief[..1]));
            continue;
        }
        let joint = if compact { if rng.chance(40) { "-" } else { " " } } else { " " };
        let plural = if n == 1 || compact || short && rng.chance(70) { "" } else { "s" };
        spoken.push(format!("{}{joint}{unit}{plural}", number(n, rng)));
    }
    let joint = if rng.chance(50) { " and " } else { " " };
    let spoken = spoken.join(joint);
    frame.set("duration", spoken, "");
    for (key, n) in [("hours", parts[0]), ("minutes", parts[1]), ("seconds", parts[2])] {
        if n > 0 {
            frame.mean(key, n.to_string());
        }
    }
}

/// Fills a slot of time; false if `slot` is not one.
pub fn fill(frame: &mut Frame, slot: &str) -> bool {
    match slot {
        "time" | "at_time" => {
            let half = half_of(frame);
            let (h, m) = draw_time(frame, half);
            let said = say_time(frame.rng, h, m, half);
            let lead = if slot == "at_time" { "at " } else { "" };
            frame.set(slot, format!("{lead}{said}"), "");
            frame.mean("time", format!("{h:02}:{m:02}"));
        }
        "when" => {
            // A day and a time in either order, with the words that settle the half of the day.
            let (part, half) = match frame.rng.below(10) {
                0 => ("tonight", Half::Evening),
                1 => ("this evening", Half::Evening),
                2 => ("tomorrow morning", Half::Morning),
                3 => ("tomorrow evening", Half::Evening),
                4 => ("tomorrow afternoon", Half::Afternoon),
                _ => ("", half_of(frame)),
            };
            let (h, m) = draw_time(frame, half);
            let said = say_time(frame.rng, h, m, half);
            let (day, value) = if part.is_empty() {
                draw_day(frame.rng, true)
            } else {
                (
                    part.to_string(),
                    if part.starts_with("to") && part != "tonight" { "tomorrow".into() } else { "today".into() },
                )
            };
            let at = if frame.rng.chance(85) { "at " } else { "" };
            let text = if frame.rng.chance(50) { format!("{day} {at}{said}") } else { format!("{at}{said} {day}") };
            frame.set("when", text, "");
            frame.mean("time", format!("{h:02}:{m:02}"));
            frame.mean("day", value);
        }
        "when_for" => {
            fill(frame, "when");
            let text = frame.spoken["when"].clone();
            let text = text.trim_start_matches("at ").trim_start_matches("on ").to_string();
            frame.set("when_for", text, "");
        }
        "day" | "on_day" | "part_day" => {
            let (said, value) = if slot == "part_day" {
                let (p, v) = [
                    ("tonight", "today"),
                    ("this evening", "today"),
                    ("this afternoon", "today"),
                    ("this morning", "today"),
                    ("tomorrow morning", "tomorrow"),
                    ("tomorrow night", "tomorrow"),
                    ("tomorrow evening", "tomorrow"),
                    ("tomorrow afternoon", "tomorrow"),
                    ("later today", "today"),
                    ("this weekend", "weekend"),
                    ("at the weekend", "weekend"),
                    ("on the weekend", "weekend"),
                    ("this week", "this week"),
                    ("next week", "next week"),
                ][frame.rng.below(14)];
                (p.to_string(), v.to_string())
            } else if slot == "on_day" && frame.rng.chance(10) {
                let (p, v) = [
                    ("tonight", "today"),
                    ("this evening", "today"),
                    ("this afternoon", "today"),
                    ("tomorrow morning", "tomorrow"),
                    ("tomorrow night", "tomorrow"),
                ][frame.rng.below(5)];
                (p.to_string(), v.to_string())
            } else {
                draw_day(frame.rng, slot == "on_day")
            };
            frame.set(slot, said, "");
            frame.mean("day", value);
        }
        "duration" => draw_duration(frame, false),
        "compact" => {
            draw_duration(frame, true);
            let text = frame.spoken["duration"].clone();
            frame.set("compact", text, "");
        }
        "in_minutes" => {
            let n = frame.open(slot, |rng| rng.range(1, 90).to_string());
            let minutes: u32 = n.parse().expect("drawn as a number");
            let unit = if minutes == 1 { "minute" } else { frame.rng.pick(&["minutes", "minutes", "mins", "min"]) };
            let spoken = format!("{} {unit}", number(minutes, frame.rng));
            frame.set(slot, spoken, n);
        }
        "in_hours" => {
            let (said, minutes) = match frame.rng.below(8) {
                0 => ("half an hour".to_string(), 30),
                1 => ("an hour".into(), 60),
                2 => ("a quarter of an hour".into(), 15),
                3 => ("an hour and a half".into(), 90),
                _ => {
                    let h = frame.rng.range(1, 12);
                    (format!("{} {}", number(h, frame.rng), if h == 1 { "hour" } else { "hours" }), 60 * h)
                }
            };
            frame.set(slot, said, "");
            frame.mean("in_minutes", minutes.to_string());
        }
        "level" => {
            let n = frame.open(slot, |rng| rng.range(1, 99).to_string());
            let spoken = number(n.parse().expect("drawn as a number"), frame.rng);
            let mark = frame.rng.pick(&["", "", "%", " percent"]);
            frame.set(slot, format!("{spoken}{mark}"), n);
        }
        _ => return false,
    }
    true
}
