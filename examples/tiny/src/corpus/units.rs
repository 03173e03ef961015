//! Conversions of units: rounded ones, learned by heart, and steps of the metric system and of time.

use super::grammar::Frame;
use super::when::number;

/// What 1 of the first unit is in the second: `value * scale + offset`.
struct Unit {
    from: &'static str,
    from_one: &'static str,
    said_from: &'static [&'static str],
    to: &'static str,
    said_to: &'static [&'static str],
    scale: f64,
    offset: f64,
    max: u32,
}

const KM: &[&str] = &["km", "kilometers", "kilometres", "kms", "km"];
const MILES: &[&str] = &["miles", "miles", "mi"];
const KG: &[&str] = &["kg", "kilos", "kilograms", "kgs"];
const POUNDS: &[&str] = &["pounds", "lbs", "lb"];
const CM: &[&str] = &["cm", "centimeters", "centimetres"];
const INCHES: &[&str] = &["inches", "in", "inch"];
const METERS: &[&str] = &["meters", "metres", "m"];
const FEET: &[&str] = &["feet", "ft", "foot"];
const CELSIUS: &[&str] = &["C", "celsius", "degrees celsius", "degrees C", "c"];
const FAHRENHEIT: &[&str] = &["F", "fahrenheit", "degrees fahrenheit", "degrees F", "f"];

const UNITS: &[Unit] = &[
    Unit {
        from: "km",
        from_one: "km",
        said_from: KM,
        to: "miles",
        said_to: MILES,
        scale: 0.621_371,
        offset: 0.0,
        max: 100,
    },
    Unit {
        from: "miles",
        from_one: "mile",
        said_from: MILES,
        to: "km",
        said_to: KM,
        scale: 1.609_344,
        offset: 0.0,
        max: 100,
    },
    Unit {
        from: "kg",
        from_one: "kg",
        said_from: KG,
        to: "pounds",
        said_to: POUNDS,
        scale: 2.204_623,
        offset: 0.0,
        max: 100,
    },
    Unit {
        from: "pounds",
        from_one: "pound",
        said_from: POUNDS,
        to: "kg",
        said_to: KG,
        scale: 0.453_592,
        offset: 0.0,
        max: 100,
    },
    Unit {
        from: "cm",
        from_one: "cm",
        said_from: CM,
        to: "inches",
        said_to: &["inches", "in"],
        scale: 0.393_701,
        offset: 0.0,
        max: 100,
    },
    Unit {
        from: "inches",
        from_one: "inch",
        said_from: INCHES,
        to: "cm",
        said_to: CM,
        scale: 2.54,
        offset: 0.0,
        max: 60,
    },
    Unit {
        from: "meters",
        from_one: "meter",
        said_from: METERS,
        to: "feet",
        said_to: &["feet", "ft"],
        scale: 3.280_84,
        offset: 0.0,
        max: 60,
    },
    Unit {
        from: "feet",
        from_one: "foot",
        said_from: FEET,
        to: "meters",
        said_to: METERS,
        scale: 0.3048,
        offset: 0.0,
        max: 60,
    },
    Unit { from: "feet", from_one: "foot", said_from: FEET, to: "cm", said_to: CM, scale: 30.48, offset: 0.0, max: 12 },
    Unit {
        from: "C",
        from_one: "C",
        said_from: CELSIUS,
        to: "F",
        said_to: FAHRENHEIT,
        scale: 1.8,
        offset: 32.0,
        max: 100,
    },
    Unit {
        from: "F",
        from_one: "F",
        said_from: FAHRENHEIT,
        to: "C",
        said_to: CELSIUS,
        scale: 0.555_555_555_6,
        offset: -17.777_777_78,
        max: 110,
    },
];

fn units(frame: &mut Frame, from: &str, to: &str, answer: String) {
    frame.mean("from", from);
    frame.mean("to", to);
    frame.mean("answer", answer);
}

/// "5 km in miles"
pub fn convert(frame: &mut Frame) {
    let unit = &UNITS[frame.rng.below(UNITS.len())];
    let low = if unit.from == "F" { 32 } else { 1 };
    let is_length = unit.from != "F" && unit.from != "C";
    let mut n = if is_length && frame.rng.chance(8) { 1 } else { frame.rng.range(low, unit.max) };
    if unit.from == "F" && frame.rng.chance(8) {
        n = *[200, 212, 350, 400, 450].get(frame.rng.below(5)).expect("five oven heats");
    }
    if unit.from == "C" && frame.rng.chance(8) {
        n = *[120, 150, 180, 200, 220].get(frame.rng.below(5)).expect("five oven heats");
    }
    let value = f64::from(n) * unit.scale + unit.offset;
    // Below ten one decimal, otherwise whole.
    let answer = if value < 9.95 && unit.to != "C" && unit.to != "F" {
        format!("{value:.1}").trim_end_matches(".0").to_string()
    } else {
        format!("{:.0}", value + 1e-9)
    };
    let spoken = match n {
        1 if frame.rng.chance(60) => if unit.from == "inches" { "an" } else { "a" }.to_string(),
        _ => number(n, frame.rng),
    };
    frame.set("n", spoken, n.to_string());
    let (a, b) = (frame.rng.pick(unit.said_from), frame.rng.pick(unit.said_to));
    let b = b.trim_start_matches("degrees ");
    frame.set("unit_a", if n == 1 && a == unit.from { unit.from_one } else { a }, "");
    frame.set("unit_b", b, "");
    units(frame, if n == 1 { unit.from_one } else { unit.from }, unit.to, answer);
}

/// "3 km in meters"
pub fn metric(frame: &mut Frame) {
    type Said = &'static [&'static str];
    const STEPS: [(&str, Said, &str, Said, u32); 5] = [
        ("km", KM, "meters", METERS, 1000),
        ("kg", KG, "grams", &["grams", "g", "gr"], 1000),
        ("meters", METERS, "cm", CM, 100),
        ("liters", &["liters", "litres", "l"], "ml", &["ml", "milliliters", "millilitres"], 1000),
        ("cm", CM, "mm", &["mm", "millimeters", "millimetres"], 10),
    ];
    let (from, said_from, to, said_to, times) = STEPS[frame.rng.below(STEPS.len())];
    let n: u32 = frame
        .open("n", |rng| {
            let max = if rng.chance(70) { 99 } else { 999 };
            rng.range(2, max).to_string()
        })
        .parse()
        .expect("number");
    let (spoken, a, b) = (number(n, frame.rng), frame.rng.pick(said_from), frame.rng.pick(said_to));
    frame.set("n", spoken, n.to_string());
    frame.set("unit_a", a, "");
    frame.set("unit_b", b, "");
    units(frame, from, to, (n * times).to_string());
}

/// "2 hours in minutes"
pub fn spans(frame: &mut Frame) {
    const STEPS: &[(&str, &str, &str, u32, u32)] = &[
        ("hours", "hour", "minutes", 60, 24),
        ("minutes", "minute", "seconds", 60, 60),
        ("days", "day", "hours", 24, 14),
        ("weeks", "week", "days", 7, 52),
        ("years", "year", "months", 12, 20),
        ("feet", "foot", "inches", 12, 20),
    ];
    let (from, one, to, times, max) = STEPS[frame.rng.below(STEPS.len())];
    let n = frame.rng.range(1, max);
    let spoken = number(n, frame.rng);
    frame.set("n", spoken, n.to_string());
    let from = if n == 1 { one } else { from };
    frame.set("unit_a", from, "");
    frame.set("unit_b", to, "");
    units(frame, from, to, (n * times).to_string());
}
