//! The tables of BENCHMARKS.md on Apple GPUs: made here from plans, so that they cannot drift. Estimates; nothing is measured.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../tests/src/heap.rs"]
mod heap;

use super::shapes::{PROMPT, SHAPES, one_token};
use super::tests::bookkeeping;
use super::*;

#[global_allocator]
static HEAP: heap::Heap = heap::Heap;

const BENCHMARKS: &str = include_str!("../../../../BENCHMARKS.md");

/// GB/s of memory, TFLOP/s of f32. Memory: what Apple says of M chips, width times rate of the A chips' memory. Arithmetic: what
/// Apple says of M1 and M2; else cores * 128 lanes * 2 * clock, with the clocks that benchmarks report (1.40, 1.47, 1.62, 1.38, 1.47 GHz).
const CHIPS: [(&str, f64, f64); 7] = [
    ("A17 Pro", 51.2, 2.15),
    ("A18 Pro", 60.0, 2.26),
    ("A19 Pro", 76.8, 2.49),
    ("M1", 68.3, 2.6),
    ("M2", 100.0, 3.6),
    ("M3", 100.0, 3.5),
    ("M4", 120.0, 3.8),
];

/// Seconds that a dispatch takes at least: its bytes through memory, or its operations through the lanes.
fn seconds(dispatch: &Dispatch, (_, bandwidth, peak): (&str, f64, f64)) -> f64 {
    (dispatch.bytes as f64 / (bandwidth * 1e9)).max(dispatch.operations as f64 / (peak * 1e12))
}

fn total(list: &[Dispatch], of: fn(&Dispatch) -> u64) -> f64 {
    list.iter().map(|dispatch| of(dispatch) as f64).sum()
}

/// A table, its first line the names of its columns.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let head_line = line(head.iter().map(|&name| name.to_owned()).collect());
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    head_line + &rule + &rows.into_iter().map(line).collect::<String>()
}

fn chips() -> Vec<String> {
    CHIPS.iter().map(|(name, bandwidth, peak)| format!("{name} {bandwidth} GB/s {peak} T")).collect()
}

fn with_chips<'a>(columns: &[&'a str], chips: &'a [String]) -> Vec<&'a str> {
    columns.iter().copied().chain(chips.iter().map(String::as_str)).collect()
}

/// What a token, or a prompt, moves and computes, and the most tokens a second.
fn tokens_per_second() -> String {
    let chips = chips();
    let row = |name: &str, model: &Model, pass: &Pass| {
        let (list, _) = model.pass(pass);
        let what = if pass.tokens == 1 { format!("token {}", pass.first) } else { format!("{} tokens", pass.tokens) };
        let bytes = total(&list, |dispatch| dispatch.bytes) / 1e9;
        let operations = total(&list, |dispatch| dispatch.operations) / 1e9;
        let rate = |&chip: &(&str, f64, f64)| {
            let seconds: f64 = list.iter().map(|dispatch| seconds(dispatch, chip)).sum();
            format!("{:.0}", f64::from(pass.tokens) / seconds)
        };
        let numbers = [list.len().to_string(), format!("{bytes:.3}"), format!("{operations:.1}")];
        [name.to_owned(), what].into_iter().chain(numbers).chain(CHIPS.iter().map(rate)).collect()
    };
    let rows = SHAPES.iter().flat_map(|shape| {
        let model = shape.model();
        [one_token(0), one_token(4095), PROMPT].map(|pass| row(shape.name, &model, &pass))
    });
    table(&with_chips(&["model", "pass", "dispatches", "GB", "Gop"], &chips), rows.collect())
}

/// What each kernel moves and computes in a token at position 4095, and in a prompt; the microseconds it takes at least.
fn kernels() -> String {
    let chips = chips();
    let rows =
        [(1, "token 4095", one_token(4095)), (1, "512 tokens", PROMPT)].into_iter().flat_map(|(shape, what, pass)| {
            let (list, _) = SHAPES[shape].model().pass(&pass);
            let mut names: Vec<String> = Vec::new();
            for dispatch in &list {
                let name = dispatch.kernel.name();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            let row = move |name: String| {
                let of: Vec<Dispatch> =
                    list.iter().filter(|dispatch| dispatch.kernel.name() == name).cloned().collect();
                let bytes = total(&of, |dispatch| dispatch.bytes) / 1e6;
                let operations = total(&of, |dispatch| dispatch.operations) / 1e6;
                let time = |&chip: &(&str, f64, f64)| {
                    let seconds: f64 = of.iter().map(|dispatch| seconds(dispatch, chip)).sum();
                    format!("{:.0}", seconds * 1e6)
                };
                let numbers = [of.len().to_string(), format!("{bytes:.2}"), format!("{operations:.1}")];
                let times = CHIPS.iter().map(time);
                [what.to_owned(), format!("`{name}`")].into_iter().chain(numbers).chain(times).collect::<Vec<_>>()
            };
            names.into_iter().map(row).collect::<Vec<_>>()
        });
    table(&with_chips(&["pass", "kernel", "dispatches", "MB", "Mop"], &chips), rows.collect())
}

/// Anonymous memory beside the mapped file and the cache: the plan's buffers, and the heap that a list was seen to take.
fn memory() -> String {
    let list_bytes = |model: &Model, pass: &Pass| heap::taken_bytes(|| drop(model.pass(pass))).0;
    let row = |shape: &super::shapes::Shape| {
        let model = shape.model();
        let passes = [one_token(4095), PROMPT];
        let buffers = passes.map(|pass| format!("{:.2}", bookkeeping(&model, &pass) as f64 / 1e6));
        let lists = passes.map(|pass| format!("{:.0}", list_bytes(&model, &pass) as f64 / 1e3));
        let page = format!("{:.0}", model.page_bytes() as f64 * model.layers.len() as f64 / 64.0 / 1e3);
        let [token, prompt] = buffers;
        let [token_list, prompt_list] = lists;
        vec![shape.name.to_owned(), token, prompt, token_list, prompt_list, page]
    };
    let head = [
        "model",
        "buffers of token 4095, MB",
        "of 512 tokens, MB",
        "heap of its list, KB",
        "of 512 tokens, KB",
        "cache a position as f16, KB",
    ];
    table(&head, SHAPES.iter().map(row).collect())
}

#[test]
fn benchmarks_hold_what_the_plans_say() {
    let tables = [tokens_per_second(), kernels(), memory()];
    let missing: Vec<String> = tables.into_iter().filter(|table| !BENCHMARKS.contains(table)).collect();
    assert!(missing.is_empty(), "BENCHMARKS.md should have\n{}", missing.join("\n"));
}
