//! Shaders with one mistake each: every one of them must be noticed.

use sprat_metal::{Format, SHADERS};

use crate::emulator::{Emulator, Order};
use crate::products::{Case, case, play};
use crate::weights::{Random, worst};

/// The matrix products for Q4_0 alone (they build faster), with one piece of text replaced.
fn shaders(file: &str, piece: &str, replacement: &str) -> Vec<(&'static str, String)> {
    let shaders = SHADERS.iter().filter(|(name, _)| ["formats.metal", "matvec.metal", "matmat.metal"].contains(name));
    let mut found = 0;
    let shaders = shaders.map(|(name, text)| {
        let text = if *name == file {
            found += text.matches(piece).count();
            text.replacen(piece, replacement, 1)
        } else {
            (*text).to_owned()
        };
        let text: String =
            text.lines().filter(|line| !line.starts_with("EACH_PAIR")).flat_map(|line| [line, "\n"]).collect();
        let text = text.replace("EACH_FORMAT(M", "Q4_0_ALONE(M");
        (*name, text.replace("// Stamps a line for", "#define Q4_0_ALONE(line) line(q4_0, Q4_0)\n// Stamps a line for"))
    });
    let shaders = shaders.collect();
    assert!(found > 0, "{piece} does not stand in {file}");
    shaders
}

/// How far off a product is, or the finding that ended it.
fn error(shaders: &[(&str, String)], case: &Case, order: Order) -> Result<f32, String> {
    let mut emulator = Emulator::of(shaders, order);
    let [found, expected] = play(&mut emulator, Format::Q4_0, 512, case, &mut Random(1))?;
    Ok(worst(&found, &expected))
}

fn many(norm: bool) -> Case {
    case(&[80], 33, norm, false, false)
}

#[test]
fn whole_shaders_pass_and_so_what_follows_is_noticed() {
    let whole = shaders("matmat.metal", "+= 128", "+= 128");
    for case in [many(true), case(&[7], 1, false, false, false)] {
        let error = error(&whole, &case, Order::Forward).expect("no finding");
        assert!(error <= 1e-5, "{error:e}");
    }
}

#[test]
fn a_barrier_that_is_missing_is_noticed() {
    let barrier = "        threadgroup_barrier(mem_flags::mem_threadgroup);\n        uint first_row";
    let without = shaders("matmat.metal", barrier, "        uint first_row");
    // Tiles that others have not filled yet hold poison, which is no number.
    assert_eq!(error(&without, &many(false), Order::Forward), Ok(f32::INFINITY));
    let barrier = "        threadgroup_barrier(mem_flags::mem_threadgroup);\n    }\n    for (uint i = 0; i < 4";
    let without = shaders("matmat.metal", barrier, "    }\n    for (uint i = 0; i < 4");
    for order in [Order::Forward, Order::Backward] {
        let error = error(&without, &many(false), order).expect("only the numbers tell");
        assert!(error > 1e-3, "{order:?}: tiles filled while others still read them: {error:e}");
    }
}

#[test]
fn a_barrier_that_only_some_reach_is_noticed() {
    let barrier = "        threadgroup_barrier(mem_flags::mem_threadgroup);\n        uint first_row";
    let some = shaders("matmat.metal", barrier, &barrier.replacen("threadgroup", "if (simd < 3) threadgroup", 1));
    let finding = error(&some, &many(false), Order::Forward).expect_err("simdgroups part");
    assert!(finding.contains("finding: thread") && finding.contains("threadgroup_barrier"), "{finding}");
}

#[test]
fn a_wrong_index_is_noticed() {
    let wrong = shaders("matvec.metal", "block = i / parts * F::BYTES", "block = (i / parts + 1) * F::BYTES");
    let finding = error(&wrong, &case(&[1], 1, false, false, false), Order::Forward).expect_err("past the file's end");
    assert!(finding.contains("AddressSanitizer"), "{finding}");
}

#[test]
fn a_wrong_lane_is_noticed() {
    let wrong = shaders("matmat.metal", "simd_shuffle_xor(squares, 2)", "simd_shuffle_xor(squares, 4)");
    let error = error(&wrong, &many(true), Order::Forward).expect("only the numbers tell");
    assert!(error > 1e-3, "squares of another token: {error:e}");
}
