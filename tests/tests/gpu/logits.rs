//! Logits of whole models through the engine's GPU, against plain f32 arithmetic and against the CPU.

use std::sync::atomic::AtomicBool;

use sprat::{Backend, Computed, Context, KvFormat};
use sprat_gguf::{Contents, TensorKind};
use sprat_tests::divergence;
use sprat_tests::reference::Reference;
use sprat_tests::small::Small;

use crate::players::{Refusing, context, foreground, gpu, on_cpu, open, tokens};

/// Off by so much of the largest logit at most: the GPU sums in f32 but rounds keys and values to f16, a part in 2048, which the
/// plain forward pass does not. (The shaders' own tests allow whole models the same.)
const OFF: f32 = 2e-3;

/// Mean divergence of the CPU's distributions from the GPU's. The CPU rounds activations to 8 bits, the GPU does not; the CPU's
/// own distance from plain arithmetic on these files has the same bound (`forward.rs`).
const DIVERGENCE: f64 = 0.05;

/// Logits of all tokens: some as a prompt, a few at once, the rest one by one.
fn logits(context: &mut Context, tokens: &[u32], pieces: &[usize]) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    let mut rest = tokens;
    for &piece in pieces {
        let (now, later) = rest.split_at(piece);
        let keep = &mut |row: &[f32]| {
            rows.push(row.to_vec());
            Ok(())
        };
        context.feed_each(now, &AtomicBool::new(false), keep).expect("it runs");
        rest = later;
    }
    rows
}

/// The largest difference in units of the largest value.
fn off(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    let largest = expected.iter().flatten().fold(0.0, |m: f32, x| m.max(x.abs()));
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    pairs.map(|(a, b)| if a.is_nan() { f32::INFINITY } else { (a - b).abs() }).fold(0.0, f32::max) / largest
}

fn check(name: &str, kind: TensorKind) {
    let _foreground = foreground();
    let small = Small::new(name, kind);
    let tokens = tokens(18);
    let mut context = context(&open(gpu(), small.path(), Backend::Gpu));
    let found = logits(&mut context, &tokens, &[11, 4, 1, 1, 1]);
    assert_eq!(context.take_computed(), Computed { cpu_tokens: 0, gpu_tokens: 18 });
    let bytes = small.bytes();
    let contents = Contents::parse(&bytes, bytes.len() as u64).expect("valid");
    let off = off(&found, &Reference::new(&contents, &bytes).logits(&tokens));
    assert!(off < OFF, "{name} {kind}: off by {off:e} of the largest logit");
    let mut context = crate::players::context(&on_cpu(small.path()));
    let divergence = divergence(&logits(&mut context, &tokens, &[18]), &found);
    assert!(divergence < DIVERGENCE, "{name} {kind}: {divergence:e} from the CPU");
}

#[test]
fn llama_is_near_plain_arithmetic_and_near_the_cpu() {
    check("llama", TensorKind::Q4_0);
    check("llama", TensorKind::Q6_K);
}

#[test]
fn qwen2_with_biases_is() {
    check("qwen2", TensorKind::Q8_0);
}

#[test]
fn qwen3_with_norms_is() {
    check("qwen3", TensorKind::Q4_K);
}

#[test]
fn fused_tensors_and_partial_rotation_are() {
    check("phi3", TensorKind::F16);
}

#[test]
fn windows_caps_factors_and_norms_in_other_places_are() {
    check("gemma3", TensorKind::Q4_0);
    check("olmo2", TensorKind::Q5_0);
    check("granite", TensorKind::Q5_K);
}

#[test]
fn a_cache_of_bytes_is_near_the_cpu_s() {
    let _foreground = foreground();
    let path = Small::new("mistral3", TensorKind::Q8_0).path();
    let options = sprat::ContextOptions { kv_format: KvFormat::Q8_0, ..Default::default() };
    let tokens = tokens(18);
    let [on_gpu, on_cpu] = [open(gpu(), &path, Backend::Gpu), on_cpu(&path)].map(|model| {
        let mut context = Context::new(model, &options).expect("good options");
        (logits(&mut context, &tokens, &[11, 4, 1, 1, 1]), context.take_computed())
    });
    assert_eq!(on_gpu.1, Computed { cpu_tokens: 0, gpu_tokens: 18 });
    let divergence = divergence(&on_cpu.0, &on_gpu.0);
    assert!(divergence < DIVERGENCE, "{divergence:e} from the CPU");
}

#[test]
fn a_cache_that_has_no_shaders_is_the_cpu_s() {
    let _foreground = foreground();
    let nobody = Box::new(Refusing { memory: false, asked: Default::default() });
    let model = open(nobody, Small::new("llama", TensorKind::Q4_0).path(), Backend::Gpu);
    let options = sprat::ContextOptions { kv_format: KvFormat::Q4_0, ..Default::default() };
    let mut context = Context::new(model, &options).expect("good options");
    context.feed(&tokens(12), &AtomicBool::new(false)).expect("it runs");
    assert_eq!(context.take_computed(), Computed { cpu_tokens: 12, gpu_tokens: 0 });
}
