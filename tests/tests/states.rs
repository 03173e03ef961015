//! Models whose layers carry states: going back, stopping and forking never leave a trace of what was given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sprat::{Context, ContextOptions, Error, Model, OpenOptions};
use sprat_gguf::TensorKind;
use sprat_tests::families::FAMILIES;
use sprat_tests::small::{Random, Small, VOCABULARY};

static NEVER: AtomicBool = AtomicBool::new(false);

fn tokens(n: usize) -> Vec<u32> {
    let mut random = Random(12);
    (0..n).map(|_| random.below(VOCABULARY) as u32).collect()
}

/// An empty context of each family that has states.
fn contexts() -> Vec<(&'static str, Context)> {
    let with_states = FAMILIES.iter().filter(|family| family.mixers != "a");
    let contexts: Vec<_> = with_states.map(|family| (family.name, context(family.name))).collect();
    assert!(!contexts.is_empty());
    contexts
}

/// An empty context of a family's small model.
fn context(name: &str) -> Context {
    let model = Arc::new(Model::open(Small::new(name, TensorKind::Q8_0).path()).expect("a good file"));
    let options = ContextOptions { threads: Some(2), batch: Some(32), ..ContextOptions::default() };
    Context::new(model, &options).expect("good options")
}

fn feed(context: &mut Context, tokens: &[u32]) -> Vec<f32> {
    context.feed(tokens, &NEVER).expect("it runs").to_vec()
}

#[test]
fn a_context_goes_back_to_where_its_reply_began() {
    let tokens = tokens(90);
    for (name, mut context) in contexts() {
        let expected = feed(&mut context, &tokens);
        assert_eq!(context.rewind(80), 0, "{name}: nothing was kept before the last token but the beginning");
        assert!(feed(&mut context, &tokens) == expected, "{name}: from the beginning");
        assert_eq!(context.rewind(89), 89, "{name}: kept before the last token");
        assert!(feed(&mut context, &tokens[89..]) == expected, "{name}: the last token again");

        // A prompt, a reply of single tokens, and back into the middle of the reply.
        context.rewind(0);
        feed(&mut context, &tokens[..40]);
        tokens[40..50].iter().for_each(|&id| _ = feed(&mut context, &[id]));
        assert_eq!(context.rewind(45), 39, "{name}: the prompt but for its last token");
        assert!(feed(&mut context, &tokens[39..]) == expected, "{name}: another reply");
        // Kept by the caller.
        context.rewind(0);
        feed(&mut context, &tokens[..20]);
        context.checkpoint();
        feed(&mut context, &[7; 30]);
        assert_eq!(context.rewind(20), 20, "{name}: a checkpoint of the caller");
        assert!(feed(&mut context, &tokens[20..]) == expected, "{name}: after it");
    }
}

#[test]
fn a_series_of_passes_that_fails_leaves_everything_as_before() {
    let tokens = tokens(120);
    for (name, mut context) in contexts() {
        feed(&mut context, &tokens[..50]);
        let snapshot = context.snapshot();
        let expected = feed(&mut context, &tokens[50..]);
        context.restore(snapshot);
        // Two of three batches go well, then the caller has enough.
        let mut seen = 0;
        let result = context.feed_each(&tokens[..70], &NEVER, &mut |_| {
            seen += 1;
            if seen > 40 { Err(Error::Stopped) } else { Ok(()) }
        });
        assert!(matches!(result, Err(Error::Stopped)) && context.len() == 50, "{name}");
        // And a stop in the middle of a pass, wherever that finds it.
        let stop = AtomicBool::new(false);
        let stopped = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(3));
                stop.store(true, Ordering::SeqCst);
            });
            (0..8).any(|_| context.feed(&[3; 32], &stop).is_err())
        });
        if stopped {
            assert_eq!((context.len() - 50) % 32, 0, "{name}: whole calls or nothing");
        }
        let at = context.rewind(50);
        assert!(at == 50 || at == 49, "{name}: where it was, or the checkpoint before");
        assert!(feed(&mut context, &tokens[at..]) == expected, "{name}");
    }
}

#[test]
fn forks_do_not_see_each_other() {
    let tokens = tokens(100);
    for (name, mut context) in contexts() {
        feed(&mut context, &tokens[..60]);
        let mut fork = context.fork().expect("good options");
        let expected = feed(&mut context, &tokens[60..]);
        feed(&mut fork, &[9; 25]);
        assert_eq!(fork.rewind(60), 59, "{name}");
        assert!(feed(&mut fork, &tokens[59..]) == expected, "{name}");
    }
}

#[test]
fn states_count_as_memory_and_are_refused_before_they_are_there() {
    for family in FAMILIES.iter().filter(|family| family.mixers != "a") {
        let (name, path) = (family.name, Small::new(family.name, TensorKind::Q8_0).path());
        let feed = |max_anonymous_bytes| {
            let options = OpenOptions { max_anonymous_bytes, ..OpenOptions::default() };
            let model = Arc::new(Model::open_with(&path, &options).expect("a good file"));
            let options = ContextOptions { threads: Some(1), batch: Some(32), ..ContextOptions::default() };
            let mut context = Context::new(model.clone(), &options).expect("good options");
            // After one more token no two of the states are the same.
            let mut feed = |n| context.feed(&tokens(n), &NEVER).map(|_| ());
            let result = feed(40).and_then(|()| feed(1));
            let (counted, own) = (model.anonymous_bytes(), context.kv_bytes() + context.scratch_bytes());
            drop(context);
            assert_eq!(model.anonymous_bytes(), 0, "{name}: all is given back");
            (result, counted, own)
        };
        let (result, counted, own) = feed(None);
        assert!(result.is_ok() && counted == own, "{name}: {counted} {own}");
        assert!(feed(Some(counted)).0.is_ok(), "{name}");
        // The last that is taken is memory for a state.
        let (refused, counted, _) = feed(Some(counted - 1));
        let what = |error: &Error| matches!(error, Error::OverBudget { what: "state of the layers", .. });
        assert!(refused.as_ref().is_err_and(what) && counted < own, "{name}: {refused:?}");
    }
}

#[test]
fn layers_that_see_a_window_go_back_to_any_position() {
    let tokens = tokens(120);
    let stopped = AtomicBool::new(true);
    for name in ["gemma2", "gemma3", "gemma4", "gpt-oss", "cohere2"] {
        let mut context = context(name);
        let expected = feed(&mut context, &tokens);
        for len in [119, 100, 64, 33, 1, 0] {
            assert_eq!(context.rewind(len), len, "{name}: the window's older positions are still there");
            let refused = context.feed(&tokens[len..], &stopped);
            assert!(matches!(refused, Err(Error::Stopped)), "{name}");
            assert_eq!(context.len(), len, "{name}: a stop leaves nothing");
            assert!(feed(&mut context, &tokens[len..]) == expected, "{name} from {len}");
        }
    }
}
