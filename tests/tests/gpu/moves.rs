//! Sequences that move between CPU and GPU.

use std::sync::atomic::AtomicBool;

use sprat::{Backend, Computed, Context};
use sprat_gguf::TensorKind;
use sprat_tests::small::Small;

use crate::players::{context, foreground, gpu, on_cpu, open, tokens};

/// Logits of CPU and GPU differ by so much of the largest at most, where both multiply with activations in f32, and where the CPU
/// rounds them to 8 bits.
const OFF: f32 = 1e-3;
const OFF_ROUNDED: f32 = 3e-2;

/// The likeliest tokens after `tokens`, so many, and the logits of each step.
fn reply(context: &mut Context, tokens: &[u32], n: usize) -> Vec<(u32, Vec<f32>)> {
    let mut next = tokens.to_vec();
    let step = |_| {
        let row = context.feed(&next, &AtomicBool::new(false)).expect("it runs").to_vec();
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("logits") as u32;
        next = vec![best];
        (best, row)
    };
    (0..n).map(step).collect()
}

/// How far the likeliest logit is from the next.
fn gap(row: &[f32]) -> f32 {
    let mut sorted = row.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted[0] - sorted[1]
}

#[test]
fn a_reply_that_moves_at_every_token_is_the_same_wherever_it_is_clear_which_token_is_next() {
    let _foreground = foreground();
    for (name, kind, off_at_most, clear_at_least) in [
        ("llama", TensorKind::F16, OFF, 8),
        ("qwen3", TensorKind::F16, OFF, 8),
        ("qwen3", TensorKind::Q8_0, OFF_ROUNDED, 5),
    ] {
        let path = Small { layers: 1, ..Small::new(name, kind) }.path();
        let tokens = tokens(10);
        let stays = reply(&mut context(&on_cpu(&path)), &tokens, 12);
        let mut moving = context(&open(gpu(), &path, Backend::Auto));
        let moves = reply(&mut moving, &tokens, 12);
        // The prompt on the GPU, then the first tokens' trial: in turn on the GPU and on the CPU.
        assert_eq!(moving.take_computed(), Computed { gpu_tokens: 10 + 6, cpu_tokens: 5 });
        let mut clear = 0;
        for ((stayed, row), (moved, other)) in stays.iter().zip(&moves) {
            let largest = row.iter().fold(0.0, |m: f32, x| m.max(x.abs()));
            let off = row.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= off_at_most * largest, "{name} {kind}: off by {:e} of the largest", off / largest);
            if gap(row) <= 2.0 * off_at_most * largest {
                // Either may be right, and what follows is another text.
                break;
            }
            assert_eq!(stayed, moved, "{name} {kind}");
            clear += 1;
        }
        assert!(clear >= clear_at_least, "{name} {kind}: only {clear} tokens were compared");
    }
}

#[test]
fn a_fork_and_a_rewind_share_the_arena() {
    let _foreground = foreground();
    let path = Small { layers: 1, ..Small::new("llama", TensorKind::F16) }.path();
    let model = open(gpu(), &path, Backend::Gpu);
    let tokens = tokens(75); // a full page and a begun one
    let stop = AtomicBool::new(false);
    let mut first = context(&model);
    first.feed(&tokens[..70], &stop).expect("it runs");
    let mut fork = first.fork().expect("options as before");
    let straight = first.feed(&tokens[70..], &stop).expect("it runs").to_vec();
    fork.feed(&tokens[..3], &stop).expect("it runs");
    assert_eq!(fork.rewind(70), 70);
    let forked = fork.feed(&tokens[70..], &stop).expect("it runs").to_vec();
    assert_eq!(straight, forked);
    assert_eq!(first.take_computed(), Computed { gpu_tokens: 75, cpu_tokens: 0 });
    let bytes = model.anonymous_bytes();
    drop(fork);
    assert!(model.anonymous_bytes() < bytes, "its pages are given back");
}
