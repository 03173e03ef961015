//! Counts heap allocations while tokens are generated; a process of its own, because the counter sees every thread.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use sprat::sampler::Sampler;
use sprat::{Context, ContextOptions, Model, SamplerOptions};
use sprat_gguf::TensorKind;
use sprat_tests::heap::{self, Heap};
use sprat_tests::small::Small;

#[global_allocator]
static HEAP: Heap = Heap;

fn counted<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = heap::allocations();
    let result = work();
    (heap::allocations() - before, result)
}

/// Waits until every other thread sleeps: one that was begun beside the first tokens allocates while it starts.
fn wait_for_other_threads() {
    let own = std::fs::read_link("/proc/thread-self").expect("Linux");
    let rests = |task: &std::path::Path| {
        let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default(); // none: it has ended
        stat.is_empty() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
    };
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").map(|task| task.expect("a thread").path());
        if tasks.filter(|task| task.file_name() != own.file_name()).all(|task| rests(&task)) {
            return;
        }
        assert!(Instant::now() < end, "a thread works for a minute");
        std::thread::yield_now();
    }
}

#[test]
fn a_token_costs_no_allocation_except_for_a_new_page_of_the_cache() {
    let never = AtomicBool::new(false);
    // Attention, experts, a state.
    for (name, threads) in [("llama", 1), ("llama", 2), ("gpt-oss", 2), ("qwen35", 2)] {
        let model = Arc::new(Model::open(Small::new(name, TensorKind::Q4_K).path()).expect("a good file"));
        let options = ContextOptions { threads: Some(threads), ..ContextOptions::default() };
        let mut context = Context::new(model.clone(), &options).expect("good options");
        let sampler_options =
            SamplerOptions { temperature: 0.8, top_k: 40, top_p: 0.9, seed: Some(1), ..SamplerOptions::default() };
        let mut sampler = Sampler::new(sampler_options, model.config().vocabulary).expect("good options");
        let mut bytes = Vec::with_capacity(model.tokenizer().longest_token());
        context.feed(&[1, 2, 3], &never).expect("it runs");
        // The first token after a prompt needs memory for a state beside the one that the prompt's checkpoint keeps.
        context.feed(&[4], &never).expect("it runs");
        wait_for_other_threads();
        let (mut id, mut pages) = (5, Vec::new());
        for _ in 0..100 {
            let is_new_page = context.len().is_multiple_of(64);
            let (count, next) = counted(|| {
                let logits = context.feed(&[id], &never).expect("it runs");
                let next = sampler.sample(logits).expect("some token is possible");
                sampler.accept(next);
                bytes.clear();
                model.tokenizer().token_bytes(next, &mut bytes).expect("an id of the vocabulary");
                next
            });
            if is_new_page {
                pages.push(count);
            } else {
                assert_eq!(count, 0, "{name}, {threads} threads, position {}", context.len());
            }
            id = next;
        }
        // Position 64 needs new pages: one for each of the two layers, and room for the partial attention of it.
        println!("{threads} threads: 0 allocations a token, {pages:?} where a page of the cache began");
        assert_eq!(pages.len(), 1);
    }
}
