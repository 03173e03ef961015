//! The words that fill open slots: names, places, things, music, and the words that are spelled.

use super::lists;
use super::rng::Rng;
use super::when::number;

fn words(list: &str, rng: &mut Rng) -> &'static str {
    let all = lists::list(list);
    all[rng.below(all.len())]
}

/// A word made of the head of one word and the tail of another: teaches letters and copying beyond any list.
fn splice(list: &str, rng: &mut Rng) -> String {
    let (a, b) = (words(list, rng), words(list, rng));
    let cut_a = 1 + rng.below(a.len().min(6));
    let cut_b = rng.below(b.len());
    let mut word = format!("{}{}", &a[..cut_a.min(a.len())], &b[cut_b..].to_lowercase());
    word.truncate(12);
    word
}

/// A word nobody has written before, of two to four syllables: whatever can be copied or spelled, not only what is listed.
fn coined(rng: &mut Rng) -> String {
    let mut word = String::new();
    for _ in 0..2 + rng.below(3) {
        let start = rng.pick(&[
            "b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "y", "z", "br", "ch",
            "cl", "dr", "fl", "gr", "ph", "pl", "qu", "sh", "sk", "st", "th", "tr", "x", "",
        ]);
        let vowel = rng.pick(&["a", "e", "i", "o", "u", "a", "e", "i", "o", "ee", "ou", "ai", "ea", "oo", "y", "io"]);
        let end = rng.pick(&["", "", "", "", "n", "r", "s", "l", "t", "ck", "nd", "m", "ng", "x", "ll", "st"]);
        word.extend([start, vowel, end]);
        if word.len() > 9 {
            break;
        }
    }
    word
}

/// The same with a capital.
fn coined_name(rng: &mut Rng) -> String {
    let word = coined(rng);
    word[..1].to_uppercase() + &word[1..]
}

/// A sentence of a few words without much sense: messages and notes may say anything.
fn chatter(rng: &mut Rng) -> String {
    let mut out = words("openers", rng).to_string();
    for _ in 0..1 + rng.below(8) {
        out.push(' ');
        out.push_str(&match rng.below(20) {
            0..9 => words("common", rng).to_string(),
            9..12 => words("nouns", rng).into(),
            12 => words("adjectives", rng).into(),
            13 => words("verbs", rng).into(),
            14 => words("names", rng).into(),
            15 => words("items", rng).into(),
            16 => words("spots", rng).into(),
            17 => rng.range(1, 999).to_string(),
            18 => coined(rng),
            _ => words("spelled", rng).into(),
        });
    }
    out
}

/// Fills `{slot}`s of the phrase lists themselves.
fn compose(list: &str, rng: &mut Rng) -> String {
    let mut rest = words(list, rng);
    let mut out = String::new();
    while let Some((head, tail)) = rest.split_once('{') {
        let (slot, after) = tail.split_once('}').expect("phrase lists close their braces");
        out.push_str(head);
        out.push_str(&word(slot, rng));
        rest = after;
    }
    out + rest
}

/// One value for an open slot. Panics on a slot that no list has.
pub fn word(slot: &str, rng: &mut Rng) -> String {
    let odd = rng.chance(15);
    let new = rng.chance(15);
    match slot {
        "name" | "surname" | "place" if new => coined_name(rng),
        "item" | "list" | "label" if new && rng.chance(60) => coined(rng),
        "app" | "music" if new => {
            let one = if rng.chance(50) { coined_name(rng) } else { words("nouns", rng).into() };
            if rng.chance(50) { one } else { format!("{one} {}", words("common", rng)) }
        }
        "name" | "place" if rng.chance(5) => words("accented", rng).into(),
        "name" if odd => splice("names", rng),
        "name" => words("names", rng).into(),
        "contact" => match rng.below(10) {
            0 | 1 => words("family", rng).into(),
            2 => format!("{} {}", words("names", rng), words("surnames", rng)),
            3 => format!(
                "{} {}",
                rng.pick(&["Dr.", "Uncle", "Aunt", "Mr.", "Mrs.", "Ms.", "Professor", "Coach"]),
                word(if rng.chance(50) { "name" } else { "surname" }, rng)
            ),
            4 => format!("my {}", words("family", rng)),
            5 if rng.chance(25) => {
                let (a, b) = (rng.range(100, 999), rng.range(1000, 9999));
                rng.pick(&["3", "3-4", "3 4", "4"]).replace('3', &a.to_string()).replace('4', &b.to_string())
            }
            _ => word("name", rng),
        },
        "surname" if odd => splice("surnames", rng),
        "surname" => words("surnames", rng).into(),
        "place" if odd => splice("places", rng),
        "place" if rng.chance(8) => format!(
            "{} {}",
            rng.pick(&["New", "San", "Saint", "North", "South", "Port", "Fort", "Los", "Cape"]),
            words("places", rng)
        ),
        "place" => words("places", rng).into(),
        "spot" if odd => format!(
            "{} {}",
            splice("places", rng),
            rng.pick(&["Street", "Road", "Station", "Square", "Park", "Museum", "Hospital", "Avenue"])
        ),
        "spot" => words("spots", rng).into(),
        "goal" => {
            if rng.chance(60) {
                word("spot", rng)
            } else if rng.chance(60) {
                word("place", rng)
            } else {
                format!("{}'s house", word("name", rng))
            }
        }
        "item" if odd => splice("items", rng),
        "item" if rng.chance(25) => words("two_items", rng).into(),
        "item" if rng.chance(10) => words("nouns", rng).into(),
        "item" if rng.chance(8) => format!("{} and {}", words("items", rng), words("items", rng)),
        "item" if rng.chance(8) => {
            format!(
                "{} {}",
                rng.pick(&["two", "three", "some", "5", "a bag of", "more", "10", "a bottle of"]),
                words("items", rng)
            )
        }
        "item" if rng.chance(6) => {
            let of = rng
                .pick(&["bottles", "bags", "packs", "cans", "boxes", "jars", "kilos", "cartons", "slices", "loaves"]);
            format!("{} {of} of {}", number(rng.range(2, 12), rng), words("items", rng))
        }
        "item" if rng.chance(6) => format!("{} {}", words("adjectives", rng), words("items", rng)),
        "item" => words("items", rng).into(),
        "noun" => words("nouns", rng).into(),
        "adj" => words("adjectives", rng).into(),
        "verb" => words("verbs", rng).into(),
        "n" => rng.range(1, 59).to_string(),
        "task" if rng.chance(25) => {
            let head = words("verbs", rng);
            let tail: Vec<_> = (0..1 + rng.below(5)).map(|_| words("common", rng)).collect();
            format!("{head} {} {}", tail.join(" "), words("nouns", rng))
        }
        "task" if rng.chance(8) => {
            let what =
                rng.pick(&["something", "a snack", "some water", "everything", "it", "that", "nothing", "my things"]);
            format!("{} {what}", words("verbs", rng))
        }
        "task" => compose("tasks", rng),
        "message" | "note" => {
            let text = if rng.chance(35) {
                chatter(rng)
            } else {
                compose(if slot == "note" { "notes" } else { "messages" }, rng)
            };
            // Copied as it is written, its last sign too.
            text + rng.pick(&["", "", "", "", "", "", "", "", "?", "!", ".", "?"])
        }
        "title" if rng.chance(15) => {
            let of = words(if rng.chance(50) { "common" } else { "nouns" }, rng);
            format!("the {of}{} {}", rng.pick(&["'s", "s'", "", ""]), words("nouns", rng))
        }
        "title" if rng.chance(20) => format!("{} {}", words("adjectives", rng), words("nouns", rng)),
        "title" => compose("titles", rng),
        "music" => match rng.below(14) {
            10 => format!("something {}", words("adjectives", rng)),
            11 => {
                let kind = rng.pick(&[
                    "the latest album",
                    "the new album",
                    "the best songs",
                    "the first album",
                    "a song",
                    "new songs",
                    "hits",
                ]);
                format!("{kind} by {}", words(if rng.chance(50) { "music" } else { "names" }, rng))
            }
            12 => format!("{} {}", words("adjectives", rng), words("music", rng)),
            13 => (0..1 + rng.below(5)).map(|_| words("common", rng)).collect::<Vec<_>>().join(" "),
            0 => splice("music", rng).trim().into(),
            1 => format!("{} by {}", splice("nouns", rng), words("names", rng)),
            2 => format!("the {} {}", words("adjectives", rng), words("nouns", rng)),
            3 => format!("{} {}", words("names", rng), word("surname", rng)),
            4 => format!(
                "{} {} by {} {}",
                words("adjectives", rng),
                words("nouns", rng),
                words("names", rng),
                words("surnames", rng)
            ),
            _ => words("music", rng).into(),
        },
        "app" if odd => splice("apps", rng).trim().into(),
        "app" => words("apps", rng).into(),
        "label" if rng.chance(25) => words("items", rng).into(),
        "label" if rng.chance(25) => words("nouns", rng).into(),
        "label" => words("labels", rng).into(),
        "list" if rng.chance(20) => words("nouns", rng).into(),
        "list" => words("lists", rng).into(),
        "anything" => chatter(rng).trim_start_matches(|c: char| c != ' ').trim_start().to_string(),
        "spelled" => match rng.below(10) {
            0..3 => splice("spelled", rng).to_lowercase(),
            3 => coined(rng),
            4 => words("nouns", rng).into(),
            5 => words("items", rng).into(),
            6 => words("names", rng).to_lowercase(),
            7 => words("places", rng).to_lowercase(),
            _ => words("spelled", rng).into(),
        },
        "short_word" => loop {
            let w = word("spelled", rng);
            if w.len() <= 9 {
                break w;
            }
        },
        "plain_noun" => words("nouns", rng).into(),
        _ => panic!("no list for slot {slot}"),
    }
}
