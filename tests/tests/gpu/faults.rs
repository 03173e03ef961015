//! GPUs that are not there, refuse, or break off: the CPU goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sprat::error::GpuFault;
use sprat::{Backend, Computed, Conditions, Error, Model, OpenOptions, Reply, Session, SessionOptions, governor};
use sprat_gguf::TensorKind;
use sprat_metal::Player;
use sprat_tests::small::Small;

use crate::players::{Refusing, Then, alone, context, foreground, greedy, on_cpu, open, tokens, watched};

fn small() -> Small {
    Small { layers: 1, ..Small::new("llama", TensorKind::F16) }
}

fn reply(model: &Arc<Model>) -> Reply {
    let session = Session::new(model, SessionOptions::default()).expect("good options");
    session.respond("hi", &greedy(12)).expect("there is room")
}

fn refusing(memory: bool) -> (Box<dyn Player>, Arc<AtomicUsize>) {
    let asked = Arc::default();
    (Box::new(Refusing { memory, asked: Arc::clone(&asked) }), asked)
}

#[test]
fn a_gpu_that_breaks_off_in_the_middle_of_a_turn_leaves_the_reply_to_the_cpu() {
    let _foreground = foreground();
    let expected = reply(&on_cpu(small().path()));
    // In the prompt; at the fourth token of the reply.
    for broken in [0, 4] {
        let player = watched(move |list| if list == broken { Then::Break } else { Then::Play });
        let found = reply(&open(player, small().path(), Backend::Gpu));
        assert_eq!(found.text, expected.text, "broken at list {broken}");
        assert_eq!(found.generated_tokens, expected.generated_tokens);
        let Computed { cpu_tokens, gpu_tokens } = found.computed;
        assert_eq!(cpu_tokens + gpu_tokens, expected.computed.cpu_tokens);
        // The CPU does eight passes, then the GPU is asked again.
        assert!(cpu_tokens >= 7 && gpu_tokens > 0, "{cpu_tokens} and {gpu_tokens}");
    }
}

#[test]
fn a_gpu_that_always_refuses_is_asked_ever_more_rarely() {
    let _foreground = foreground();
    let expected = reply(&on_cpu(small().path()));
    let (player, asked) = refusing(false);
    let found = reply(&open(player, small().path(), Backend::Gpu));
    assert_eq!((found.text, found.computed), (expected.text, expected.computed));
    assert_eq!(asked.load(Ordering::Relaxed), 2, "of 12 passes");
}

#[test]
fn in_the_background_the_cpu_goes_on() {
    alone(|| {
        let expected = reply(&on_cpu(small().path()));
        let set = |background| governor().set(Conditions { background, ..Conditions::default() });
        let player = watched(move |list| {
            // The system tells while the fourth list is played.
            if list == 3 {
                set(true);
            }
            Then::Play
        });
        let model = open(player, small().path(), Backend::Gpu);
        let found = reply(&model);
        assert_eq!(found.text, expected.text);
        let prompt = expected.prompt_tokens;
        assert_eq!(found.computed.gpu_tokens, prompt + 3);
        assert_eq!(found.computed.cpu_tokens, expected.computed.cpu_tokens - prompt - 3);
        set(false);
        assert_eq!(reply(&model).computed.cpu_tokens, 0, "in sight again");
    });
}

#[test]
fn a_stop_between_the_pieces_of_a_prompt_ends_it() {
    let _foreground = foreground();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let player = watched(move |list| {
        assert_eq!(list, 0, "nothing is played after a stop");
        flag.store(true, Ordering::Relaxed);
        Then::Play
    });
    let mut context = context(&open(player, Small { layers: 6, ..small() }.path(), Backend::Gpu));
    assert!(matches!(context.feed(&tokens(10), &stop), Err(Error::Stopped)));
    assert!(context.is_empty());
}

#[test]
fn opening_tells_why_there_is_no_gpu() {
    let path = small().path();
    let backend = |backend| OpenOptions { backend, ..OpenOptions::default() };
    let refused = GpuFault::Refused { reason: "not today".into() };
    let model = Model::open_on(refusing(true).0, &*path, &backend(Backend::Auto)).expect("the CPU is there");
    assert_eq!(model.info().gpu, Err(refused.clone()));
    let error = Model::open_on(refusing(true).0, &*path, &backend(Backend::Gpu)).err();
    assert!(matches!(error, Some(Error::Gpu(fault)) if fault == refused));
    let model = Model::open_on(refusing(true).0, &*path, &backend(Backend::Cpu)).expect("the CPU is there");
    assert_eq!(model.info().gpu, Err(GpuFault::NotWanted));
}
