//! Direct answers: small sums, spelling and simple word questions.

use super::grammar::{Frame, Split};
use super::lexicon::word;
use super::lists::list;
use super::rng::Rng;
use super::units;
use super::when::{DAYS, MONTHS, in_words, number};

fn pair(name: &str, frame: &mut Frame) -> (&'static str, &'static str) {
    let all = list(name);
    all[frame.rng.below(all.len())].split_once(' ').expect("lists of pairs")
}

fn two(frame: &mut Frame, draw: impl Fn(&mut Rng) -> (u32, u32)) -> (u32, u32) {
    let text = frame.open("pair", |rng| {
        let (a, b) = draw(rng);
        format!("{a} {b}")
    });
    let (a, b) = text.split_once(' ').expect("drawn as a pair");
    (a.parse().expect("number"), b.parse().expect("number"))
}

fn operands(frame: &mut Frame, a: u32, b: u32, answer: String) {
    let (sa, sb) = (number(a, frame.rng), number(b, frame.rng));
    frame.set("a", sa, a.to_string());
    frame.set("b", sb, b.to_string());
    // For forms such as "7+5", always in digits.
    frame.set("da", a.to_string(), a.to_string());
    frame.set("db", b.to_string(), b.to_string());
    frame.mean("answer", answer);
}

fn add(frame: &mut Frame) {
    let (a, b) = two(frame, |rng| match rng.below(20) {
        0..3 => (rng.range(0, 12), rng.range(0, 12)),
        3..10 => (rng.range(1, 99), rng.range(1, 99)),
        10 => (100 * rng.range(1, 9), 100 * rng.range(1, 9)),
        11 | 12 => (rng.range(100, 999), rng.range(1, 99)),
        13 => (rng.range(1, 99), rng.range(100, 999)),
        _ => (rng.range(1, 999), rng.range(1, 999)),
    });
    operands(frame, a, b, (a + b).to_string());
}

fn subtract(frame: &mut Frame) {
    let (a, b) = two(frame, |rng| {
        let (x, y) = match rng.below(20) {
            0 | 1 => (100 * rng.range(1, 9), rng.range(1, 99)),
            2..10 => (rng.range(0, 99), rng.range(0, 99)),
            10..12 => (rng.range(100, 999), rng.range(1, 99)),
            _ => (rng.range(1, 999), rng.range(1, 999)),
        };
        (x.max(y), x.min(y))
    });
    operands(frame, a, b, (a - b).to_string());
}

/// Factors of the table of twelve, or one of two digits and one of one digit.
fn table(rng: &mut Rng) -> (u32, u32) {
    match rng.below(20) {
        0..11 => (rng.range(1, 12), rng.range(1, 12)),
        11 => (rng.range(0, 99), 10 * rng.range(0, 1)),
        12..17 => (rng.range(13, 99), rng.range(2, 9)),
        _ => (rng.range(2, 9), rng.range(13, 99)),
    }
}

fn multiply(frame: &mut Frame) {
    let (a, b) = table(frame.rng);
    operands(frame, a, b, (a * b).to_string());
}

fn divide(frame: &mut Frame) {
    if frame.rng.chance(20) {
        let (b, times) = (frame.rng.range(2, 12), frame.rng.range(0, 9));
        let rest = frame.rng.range(1, b - 1);
        return operands(frame, times * b + rest, b, format!("{times}, remainder {rest}"));
    }
    let (a, b) = table(frame.rng);
    let b = b.max(1);
    operands(frame, a * b, b, a.to_string());
}

fn percent(frame: &mut Frame) {
    let (p, step) = [
        (10, 10),
        (20, 5),
        (25, 4),
        (50, 2),
        (5, 20),
        (10, 10),
        (20, 5),
        (50, 2),
        (15, 20),
        (30, 10),
        (75, 4),
        (1, 100),
    ][frame.rng.below(12)];
    let most = if matches!(p, 10 | 50 | 1) { 1000 } else { 400 };
    let n = step * frame.rng.range(1, most / step);
    operands(frame, p, n, (p * n / 100).to_string());
}

fn half(frame: &mut Frame) {
    let n = if frame.rng.chance(70) { frame.rng.range(1, 50) } else { 5 * frame.rng.range(10, 100) };
    operands(frame, 2 * n, 2, n.to_string());
}

fn double(frame: &mut Frame) {
    let n = if frame.rng.chance(70) { frame.rng.range(1, 50) } else { 5 * frame.rng.range(10, 99) };
    operands(frame, n, 2, (2 * n).to_string());
}

fn too_big(frame: &mut Frame) {
    if frame.rng.chance(25) {
        // More than one operation is declined too.
        let mut sum = frame.rng.range(1, 99).to_string();
        for _ in 0..2 + frame.rng.below(2) {
            let op =
                frame.rng.pick(&[" + ", "+", " plus ", " - ", "-", " minus ", " * ", "*", " times ", " / ", " x "]);
            sum.push_str(&format!("{op}{}", frame.rng.range(1, 99)));
        }
        return frame.set("big", sum, "");
    }
    let (op, a, b) = match frame.rng.below(6) {
        0 => ("+", frame.rng.range(1000, 99999), frame.rng.range(1, 99999)),
        1 => ("-", frame.rng.range(1000, 99999), frame.rng.range(1, 999)),
        2 => ("/", frame.rng.range(1000, 9999), frame.rng.range(13, 999)),
        3 => ("+", frame.rng.range(1, 999), frame.rng.range(1000, 9999)),
        4 => ("x", frame.rng.range(100, 999), frame.rng.range(13, 999)),
        _ => ("x", frame.rng.range(13, 9999), frame.rng.range(13, 9999)),
    };
    let said = match op {
        "+" => frame.rng.pick(&[" + ", "+", " plus ", " and "]),
        "-" => frame.rng.pick(&[" - ", "-", " minus "]),
        "/" => frame.rng.pick(&[" / ", "/", " divided by "]),
        _ => frame.rng.pick(&[" x ", "*", " * ", " times ", "x", " multiplied by "]),
    };
    frame.set("big", format!("{a}{said}{b}"), "");
}

fn dashed(frame: &mut Frame, from: &str) {
    let w = frame.open("word", |rng| word(from, rng));
    let cased = if frame.lower || frame.rng.chance(80) {
        w.clone()
    } else {
        let mut c = w.chars();
        c.next().map(|f| f.to_uppercase().chain(c).collect()).unwrap_or_default()
    };
    frame.set("word", cased, w.clone());
    let letters: Vec<String> = w.chars().map(String::from).collect();
    frame.mean("dashed", letters.join("-"));
    frame.mean("count", letters.len().to_string());
    frame.mean("first", letters[0].clone());
    frame.mean("last", letters[letters.len() - 1].clone());
}

fn related(frame: &mut Frame, name: &str) {
    let (a, b) = pair(name, frame);
    frame.set("word", a, a);
    frame.mean("answer", b);
}

fn plural(frame: &mut Frame) {
    if frame.rng.chance(30) && frame.split == Split::Train {
        return related(frame, "irregular_plurals");
    }
    let w = frame.open("word", |rng| {
        loop {
            let w = word(if rng.chance(50) { "plain_noun" } else { "spelled" }, rng);
            let known = list("irregular_plurals").iter().any(|p| p.starts_with(&format!("{w} ")));
            if !known
                && !w.ends_with('s')
                && !w.ends_with('f')
                && !w.ends_with("fe")
                && !w.ends_with('o')
                && w.len() > 2
            {
                break w;
            }
        }
    });
    let stem = &w[..w.len() - 1];
    let vowel_y = w.ends_with("ay") || w.ends_with("ey") || w.ends_with("oy") || w.ends_with("uy");
    let many = if w.ends_with('y') && !vowel_y {
        format!("{stem}ies")
    } else if w.ends_with("ch") || w.ends_with("sh") || w.ends_with('x') || w.ends_with('z') {
        format!("{w}es")
    } else {
        format!("{w}s")
    };
    frame.set("word", w.clone(), w);
    frame.mean("answer", many);
}

fn step(frame: &mut Frame, forward: bool, names: &[&str]) {
    let i = frame.rng.below(names.len());
    let j = (i + if forward { 1 } else { names.len() - 1 }) % names.len();
    let said = if frame.lower { names[i].to_lowercase() } else { names[i].to_string() };
    frame.set("x", said, names[i]);
    frame.mean("answer", names[j]);
}

fn letter(frame: &mut Frame, forward: bool) {
    let i = if forward { frame.rng.below(25) } else { 1 + frame.rng.below(25) };
    let at = |i: usize| char::from(b'a' + i as u8).to_string();
    let said = if frame.rng.chance(25) && !frame.lower { at(i).to_uppercase() } else { at(i) };
    frame.set("x", said, at(i));
    frame.mean("answer", at(if forward { i + 1 } else { i - 1 }));
}

fn count(frame: &mut Frame, forward: bool) {
    let n: u32 = frame
        .open("n", |rng| {
            let max = if rng.chance(60) { 99 } else { 999 };
            rng.range(2, max).to_string()
        })
        .parse()
        .expect("number");
    let spoken = number(n, frame.rng);
    frame.set("x", spoken, n.to_string());
    frame.mean("answer", (if forward { n + 1 } else { n - 1 }).to_string());
}

fn compare(frame: &mut Frame, bigger: bool) {
    let (a, b) = two(frame, |rng| {
        loop {
            let (a, b) = if rng.chance(60) {
                (rng.range(1, 99), rng.range(1, 99))
            } else {
                (rng.range(1, 999), rng.range(1, 999))
            };
            if a != b {
                break (a, b);
            }
        }
    });
    let (win, other) = if (a > b) == bigger { (a, b) } else { (b, a) };
    operands(frame, a, b, String::new());
    frame.mean("win", win.to_string());
    frame.mean("other", other.to_string());
}

fn parity(frame: &mut Frame) {
    let n: u32 = frame.open("n", |rng| rng.range(1, 999).to_string()).parse().expect("number");
    let spoken = number(n, frame.rng);
    frame.set("x", spoken, n.to_string());
    frame.mean("answer", if n.is_multiple_of(2) { "even" } else { "odd" });
}

fn fact(frame: &mut Frame) {
    let all = list("facts");
    let (q, a) = all[frame.rng.below(all.len())].split_once(" = ").expect("facts are 'question = answer'");
    frame.set("fact", q, "");
    frame.mean("answer", a);
    let (what, of) = q.split_once(" in ").expect("facts are 'x in y'");
    frame.set("what", what, "");
    frame.set("of", of, "");
}

fn words_to_digits(frame: &mut Frame) {
    let n: u32 = frame.open("n", |rng| rng.range(1, 99).to_string()).parse().expect("number");
    frame.set("x", in_words(n), in_words(n));
    frame.set("digits", n.to_string(), n.to_string());
}

/// What draws the slots of a direct answer; nothing for intents without dependent slots.
pub fn prepare(intent: &str) -> fn(&mut Frame) {
    match intent {
        "add" => add,
        "subtract" => subtract,
        "multiply" => multiply,
        "divide" => divide,
        "percent" => percent,
        "half" => half,
        "double" => double,
        "too_big" => too_big,
        "convert" => units::convert,
        "metric" => units::metric,
        "time_units" => units::spans,
        "fact" => fact,
        "spell" | "first_letter" | "last_letter" => |f| dashed(f, "spelled"),
        "letters" => |f| dashed(f, "short_word"),
        "opposite" => |f| related(f, "opposites"),
        "plural" => plural,
        "past" => |f| related(f, "past"),
        "next_day" => |f| step(f, true, &DAYS),
        "previous_day" => |f| step(f, false, &DAYS),
        "next_month" => |f| step(f, true, &MONTHS),
        "previous_month" => |f| step(f, false, &MONTHS),
        "next_letter" => |f| letter(f, true),
        "previous_letter" => |f| letter(f, false),
        "next_number" => |f| count(f, true),
        "previous_number" => |f| count(f, false),
        "bigger" => |f| compare(f, true),
        "smaller" => |f| compare(f, false),
        "parity" => parity,
        "digits" => words_to_digits,
        _ => |_| {},
    }
}
