//! Shaders with one mistake each: every one of them must be noticed.

use sprat_metal::{Format, SHADERS};

use crate::emulator::{Emulator, Order};
use crate::heads;
use crate::products::{Case, case, play};
use crate::weights::{Random, worst};

/// The matrix products for Q4_0, or attention for small heads and a cache of halves, with one piece of text replaced: these alone,
/// as they build faster.
fn shaders(file: &str, piece: &str, replacement: &str) -> Vec<(&'static str, String)> {
    let of_products = ["formats.metal", "matvec.metal", "matmat.metal"];
    let of_heads =
        ["formats.metal", "matvec.metal", "heads.metal", "cache.metal", "attention.metal", "attention_mat.metal"];
    let products = of_products.contains(&file);
    let files = if products { &of_products[..] } else { &of_heads[..] };
    let shaders = SHADERS.iter().filter(|(name, _)| files.contains(name));
    // Lines that make kernels.
    let wanted = |line: &str| {
        let stamps = ["EACH_", "ATTENTION", "CACHE("].iter().any(|start| line.starts_with(start));
        let mine =
            ["EACH_FORMAT", "ATTENTION(attention_64_f16", "ATTENTION_MAT(attention_mat_64_f16", "CACHE(cache_f16"];
        !stamps || mine[usize::from(!products)..].iter().any(|start| line.starts_with(start))
    };
    let mut found = 0;
    let shaders = shaders.map(|(name, text)| {
        let text = if *name == file {
            found += text.matches(piece).count();
            text.replacen(piece, replacement, 1)
        } else {
            (*text).to_owned()
        };
        let text: String = text.lines().filter(|line| wanted(line)).flat_map(|line| [line, "\n"]).collect();
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

/// How far off attention is that a file of shaders does.
fn attention_error(file: &str, piece: &str, replacement: &str, order: Order) -> Result<f32, String> {
    let case = match file {
        // More keys than a step, more rows than a tile.
        "attention_mat.metal" => heads::case([4, 2], [64, 64, 64], 40, 37, 37),
        // Two tokens and two slices, some pages for each simdgroup.
        _ => heads::case([4, 2], [64, 64, 64], 700, 2, 2),
    };
    let shaders = shaders(file, piece, replacement);
    let [found, expected] = heads::play(&case, 0, &mut Emulator::of(&shaders, order), &mut Random(1))?;
    Ok(worst(&found, &expected))
}

#[test]
fn whole_shaders_pass_and_so_what_follows_is_noticed() {
    let whole = shaders("matmat.metal", "+= 128", "+= 128");
    for case in [many(true), case(&[7], 1, false, false, false)] {
        let error = error(&whole, &case, Order::Forward).expect("no finding");
        assert!(error <= 1e-5, "{error:e}");
    }
    for (file, piece) in
        [("attention_mat.metal", "// nobody reads keys"), ("attention.metal", "// all lanes have read")]
    {
        let error = attention_error(file, piece, piece, Order::Forward).expect("no finding");
        assert!(error <= 1e-5, "{file}: {error:e}");
    }
}

#[test]
fn a_barrier_that_is_missing_is_noticed() {
    let barrier = "        threadgroup_barrier(mem_flags::mem_threadgroup);\n        uint first_row";
    let without = shaders("matmat.metal", barrier, "        uint first_row");
    // Tiles that others have not filled yet hold poison, which is no number.
    assert_eq!(error(&without, &many(false), Order::Forward), Ok(f32::INFINITY));
    let barrier = "        threadgroup_barrier(mem_flags::mem_threadgroup);\n    }\n    UNROLLED";
    let without = shaders("matmat.metal", barrier, "    }\n    UNROLLED");
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

#[test]
fn mistakes_in_attention_of_prompts_are_noticed() {
    let barrier = "threadgroup_barrier(mem_flags::mem_threadgroup); // nobody reads keys";
    let never = "if (key < there) {\n                Rows::load(v";
    for (piece, replacement, what) in [
        (barrier, "// nobody reads keys", "values over keys that others still read"),
        (never, &*never.replace("there", "STEP"), "values that were never written"),
        ("ushort(4 * r)", "ushort(2 * r)", "the sum of another row"),
    ] {
        let error = attention_error("attention_mat.metal", piece, replacement, Order::Forward);
        let error = error.expect("only the numbers tell");
        assert!(error > 1e-3, "{what}: {error:e}");
    }
    let some = format!("if (simd < 3) {barrier}");
    let finding = attention_error("attention_mat.metal", barrier, &some, Order::Forward).expect_err("simdgroups part");
    assert!(finding.contains("finding: thread") && finding.contains("threadgroup_barrier"), "{finding}");
}

#[test]
fn mistakes_in_attention_over_slices_are_noticed() {
    let own = "threadgroup_barrier(mem_flags::mem_threadgroup); // own";
    let sum = "simd_sum(weight)";
    for (piece, replacement, what) in [
        ("threadgroup_barrier(mem_flags::mem_threadgroup); // one", "// one", "simdgroups that add up at once"),
        (
            "lane == 0) {\n                states",
            "lane == 1 && r > 8) {\n                states",
            "states that nobody keeps",
        ),
        ("sum += part[1] * exp(part[0] - most)", "sum += part[1]", "slices that are joined as if they had one maximum"),
        ("own_keys + (position - own)", "own_keys + (position - own + 1)", "the key behind"),
        (sum, "simd_shuffle_xor(weight, 1)", "a lane's weight for all"),
    ] {
        let error = attention_error("attention.metal", piece, replacement, Order::Backward);
        // Past what threadgroup memory there is, or not a number, or another number.
        let is_noticed =
            error.as_ref().map_or_else(|finding| finding.contains("AddressSanitizer"), |&error| error > 1e-3);
        assert!(is_noticed, "{what}: {error:?}");
    }
    let missing = attention_error("attention.metal", own, "// own", Order::Backward).expect("only the numbers tell");
    assert_eq!(missing, f32::INFINITY, "keys that others have not made yet hold poison");
}
