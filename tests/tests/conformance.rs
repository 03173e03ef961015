//! Our logits beside llama.cpp's stored ones, on the same small files. `tests/conformance/store.py` made them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use half::f16;
use sprat::{Context, ContextOptions, Model};
use sprat_gguf::{Contents, TensorKind};
use sprat_tests::families::{FAMILIES, Family};
use sprat_tests::reference::Reference;
use sprat_tests::small::{Small, VOCABULARY};
use sprat_tests::{cosine, divergence};

fn tokens() -> Vec<u32> {
    (0..24).map(|i| ((i * 7919 + 13) % VOCABULARY) as u32).collect()
}

fn stored(family: &str, kind: TensorKind) -> Vec<Vec<f32>> {
    let name = format!("data/llama_cpp/{family}-{kind}.f16");
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("stored logits");
    let values: Vec<f32> = bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect();
    values.chunks_exact(VOCABULARY).map(<[f32]>::to_vec).collect()
}

fn ours(small: &Small) -> Vec<Vec<f32>> {
    let model = Arc::new(Model::open(small.path()).expect("a good file"));
    let mut context = Context::new(model, &ContextOptions::default()).expect("good options");
    let mut rows = Vec::new();
    let keep = &mut |row: &[f32]| {
        rows.push(row.to_vec());
        Ok(())
    };
    context.feed_each(&tokens(), &AtomicBool::new(false), keep).expect("it runs");
    rows
}

#[test]
fn f16_files_agree_with_llama_cpp() {
    for Family { name, .. } in FAMILIES {
        let cosine = cosine(&ours(&Small::new(name, TensorKind::F16)), &stored(name, TensorKind::F16));
        assert!(cosine >= 0.9999, "{name}: cosine {cosine}");
    }
}

#[test]
fn quantized_files_lose_no_more_than_in_llama_cpp() {
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
    let llama = kinds.map(|kind| ("llama", kind));
    let qwen = ["qwen2", "qwen3"].into_iter().flat_map(|a| [(a, TensorKind::Q8_0), (a, TensorKind::Q4_K)]);
    for (family, kind) in llama.into_iter().chain(qwen) {
        let small = Small::new(family, kind);
        let bytes = small.bytes();
        let contents = Contents::parse(&bytes, bytes.len() as u64).expect("valid");
        let exact = Reference::new(&contents, &bytes).logits(&tokens());
        let (ours, theirs) = (divergence(&ours(&small), &exact), divergence(&stored(family, kind), &exact));
        // Both round activations to 8 bits, in their own ways: the mean over 24 positions scatters by some tens of percent.
        assert!(ours <= 1.3 * theirs + 5e-4, "{family} {kind}: {ours:.2e}, llama.cpp {theirs:.2e}");
        println!("{family} {kind}: divergence from exact arithmetic {ours:.2e}, llama.cpp's {theirs:.2e}");
    }
}
