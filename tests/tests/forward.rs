//! The forward pass against plain f32 arithmetic, and its promise of the same bits however it is cut.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sprat::{Context, ContextOptions, KvFormat, Model};
use sprat_gguf::{Contents, TensorKind};
use sprat_tests::families::FAMILIES;
use sprat_tests::reference::Reference;
use sprat_tests::small::{Random, Small, VOCABULARY};
use sprat_tests::{cosine, divergence};

/// Other CPUs are tested under emulation, twenty times slower: there what is the same code on every CPU is left out.
const EMULATED: bool = !cfg!(target_arch = "x86_64");

fn tokens(n: usize) -> Vec<u32> {
    let mut random = Random(11);
    (0..n).map(|_| random.below(VOCABULARY) as u32).collect()
}

fn open(small: &Small) -> Arc<Model> {
    Arc::new(Model::open(small.path()).expect("a good file"))
}

fn context(model: &Arc<Model>, options: &ContextOptions) -> Context {
    Context::new(model.clone(), options).expect("good options")
}

/// All logits, the tokens fed in pieces.
fn logits(model: &Arc<Model>, options: &ContextOptions, tokens: &[u32], piece: usize) -> Vec<Vec<f32>> {
    let mut context = context(model, options);
    let mut rows = Vec::new();
    for part in tokens.chunks(piece) {
        let keep = &mut |row: &[f32]| {
            rows.push(row.to_vec());
            Ok(())
        };
        context.feed_each(part, &AtomicBool::new(false), keep).expect("it runs");
    }
    rows
}

fn plain(small: &Small, tokens: &[u32]) -> Vec<Vec<f32>> {
    let bytes = small.bytes();
    let contents = Contents::parse(&bytes, bytes.len() as u64).expect("valid");
    Reference::new(&contents, &bytes).logits(tokens)
}

#[test]
fn float_files_give_the_logits_of_the_plain_forward_pass() {
    let tokens = tokens(80);
    // Many layers mean many minutes under emulation.
    for family in FAMILIES.iter().filter(|family| !EMULATED || family.layers < 10) {
        let kinds = [TensorKind::F16, TensorKind::F32];
        for kind in kinds.into_iter().take(if EMULATED { 1 } else { 2 }) {
            let small = Small::new(family.name, kind);
            let ours = logits(&open(&small), &ContextOptions::default(), &tokens, tokens.len());
            let plain = plain(&small, &tokens);
            let (cosine, divergence) = (cosine(&ours, &plain), divergence(&ours, &plain));
            // The cache holds keys and values as f16, the oracle as f32: llama.cpp's own gap with an f16 cache is 3e-6, on the
            // 25 layers of Gemma 3n 6.8e-5 (both in F32 files).
            let limit = if family.layers < 10 { 1e-5 } else { 6.8e-5 };
            assert!(cosine > 0.99999 && divergence < limit, "{small:?}: cosine {cosine}, divergence {divergence:e}");
        }
    }
}

#[test]
fn quantized_files_are_as_near_as_8_bit_activations_allow() {
    let tokens = tokens(48);
    let kinds = [
        TensorKind::Q4_0,
        TensorKind::Q4_1,
        TensorKind::Q5_0,
        TensorKind::Q5_1,
        TensorKind::Q8_0,
        TensorKind::Q4_K,
        TensorKind::Q5_K,
        TensorKind::Q6_K,
    ];
    let all = ["llama", "qwen2", "qwen3"];
    for family in FAMILIES {
        for kind in kinds.into_iter().filter(|kind| all.contains(&family.name) || *kind == TensorKind::Q4_K) {
            let small = Small::new(family.name, kind);
            let ours = logits(&open(&small), &ContextOptions::default(), &tokens, tokens.len());
            let divergence = divergence(&ours, &plain(&small, &tokens));
            // llama.cpp's divergence from the same weights in f32 on such random files is 2e-3 to 6e-3.
            // Where rounding tips the choice of an expert, it costs most of a position.
            let limit = if family.experts.is_some() { 1e-1 } else { 2e-2 };
            assert!(divergence < limit, "{small:?}: divergence {divergence:e}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads_pieces_or_batches() {
    let tokens = tokens(150);
    let kinds = [TensorKind::F16, TensorKind::Q4_0, TensorKind::Q4_K, TensorKind::Q8_0];
    let options =
        |threads, batch| ContextOptions { threads: Some(threads), batch: Some(batch), ..ContextOptions::default() };
    // How a row is multiplied is the format's affair, how a pass is cut the family's: formats are varied on one family.
    let every_cut = [(2, 256, 150), (4, 256, 150), (1, 7, 150), (2, 256, 7), (1, 256, 1), (4, 256, 1), (3, 64, 100)];
    let formats = kinds.map(|kind| ("llama", kind, &every_cut[..]));
    let families = FAMILIES.iter().filter(|family| !EMULATED || family.mixers != "a");
    let families = families.map(|family| (family.name, TensorKind::Q4_K, &[(2, 7, 150), (3, 256, 1)][..]));
    for (name, kind, cuts) in formats.into_iter().chain(families) {
        let model = open(&Small::new(name, kind));
        let expected = logits(&model, &options(1, 256), &tokens, tokens.len());
        for &(threads, batch, piece) in cuts {
            let found = logits(&model, &options(threads, batch), &tokens, piece);
            assert!(found == expected, "{name} {kind}: {threads} threads, batch {batch}, pieces of {piece}");
        }
    }
}

#[test]
fn a_quantized_cache_costs_what_it_costs_elsewhere_and_no_bits_depend_on_cuts() {
    let tokens = tokens(150);
    let model = open(&Small::new("llama", TensorKind::F32));
    let plain = plain(&Small::new("llama", TensorKind::F32), &tokens);
    // Bounds: the worst of three runs of llama.cpp (0.3.36) on this file, against its own f32 cache.
    for (kv_format, bound) in [(KvFormat::Q8_0, 1.41e-3), (KvFormat::Q4_0, 0.217)] {
        let options = |threads| ContextOptions { threads: Some(threads), kv_format, ..ContextOptions::default() };
        let ours = logits(&model, &options(1), &tokens, tokens.len());
        let divergence = divergence(&ours, &plain);
        assert!(divergence < bound, "{kv_format:?}: divergence {divergence:e}");
        assert!(logits(&model, &options(3), &tokens, 1) == ours, "{kv_format:?} one by one");
        assert!(logits(&model, &options(2), &tokens, 70) == ours, "{kv_format:?} in pieces");
    }
}

#[test]
fn bits_do_not_depend_on_the_instruction_set() {
    let tokens = tokens(70);
    for kind in [TensorKind::F16, TensorKind::Q4_0, TensorKind::Q5_K, TensorKind::Q6_K] {
        let model = open(&Small::new("qwen3", kind));
        let options = |name: &str| ContextOptions {
            instruction_set: Some(name.to_owned()),
            threads: Some(2),
            ..ContextOptions::default()
        };
        let expected = logits(&model, &options("scalar"), &tokens, tokens.len());
        for name in sprat::instruction_sets() {
            assert!(logits(&model, &options(name), &tokens, tokens.len()) == expected, "{kind} {name} whole");
            assert!(logits(&model, &options(name), &tokens[..20], 1) == expected[..20], "{kind} {name} one by one");
        }
    }
}

#[test]
fn asking_for_the_last_logits_alone_gives_the_same_bits() {
    let tokens = tokens(90);
    let model = open(&Small::new("llama", TensorKind::Q4_K));
    let expected = logits(&model, &ContextOptions::default(), &tokens, tokens.len());
    let mut context = context(&model, &ContextOptions::default());
    let last = context.feed(&tokens, &AtomicBool::new(false)).expect("it runs").to_vec();
    assert!(Some(&last) == expected.last());
}

#[test]
fn a_context_cut_back_continues_as_if_nothing_had_followed() {
    let tokens = tokens(140);
    let model = open(&Small::new("qwen2", TensorKind::Q8_0));
    let never = AtomicBool::new(false);
    let mut straight = context(&model, &ContextOptions::default());
    let expected = straight.feed(&tokens, &never).expect("it runs").to_vec();
    let mut edited = context(&model, &ContextOptions::default());
    edited.feed(&tokens[..100], &never).expect("it runs");
    edited.feed(&[1; 100], &never).expect("it runs");
    assert_eq!(edited.rewind(100), 100);
    assert!(edited.feed(&tokens[100..], &never).expect("it runs").to_vec() == expected);
}

#[test]
fn a_restored_snapshot_is_untouched_by_what_came_after() {
    let tokens = tokens(130);
    let model = open(&Small::new("llama", TensorKind::Q4_0));
    let never = AtomicBool::new(false);
    let mut context = context(&model, &ContextOptions::default());
    context.feed(&tokens[..100], &never).expect("it runs");
    let snapshot = context.snapshot();
    let expected = context.feed(&tokens[100..], &never).expect("it runs").to_vec();
    context.restore(snapshot);
    // Other tokens in the same places: they must not reach the snapshot's pages.
    let again = context.snapshot();
    context.feed(&[5; 30], &never).expect("it runs");
    context.restore(again);
    assert!(context.feed(&tokens[100..], &never).expect("it runs").to_vec() == expected);
}
