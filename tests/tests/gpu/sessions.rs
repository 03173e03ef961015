//! Sessions on a GPU: saved, restored and trimmed.

use std::sync::Arc;

use sprat::{Backend, Computed, Session, SessionOptions, Trim};
use sprat_gguf::TensorKind;
use sprat_tests::small::Small;

use crate::players::{foreground, gpu, greedy, on_cpu, open};

fn small() -> Small {
    Small { layers: 1, ..Small::new("llama", TensorKind::F16) }
}

#[test]
fn a_saved_session_goes_on_on_the_gpu_whoever_made_it() {
    let _foreground = foreground();
    let path = small().path();
    let saved = std::env::temp_dir().join(format!("sprat-gpu-{}", std::process::id()));
    let cpu = Session::new(&on_cpu(&path), SessionOptions::default()).expect("good options");
    cpu.respond("hi", &greedy(2)).expect("there is room");
    cpu.save(&saved).expect("there is room on the disk");
    let model = open(gpu(), &path, Backend::Gpu);
    let restored = Session::restore(&model, &saved, SessionOptions::default()).expect("just written");
    let [straight, moved] = [&cpu, &restored].map(|s| s.respond("four", &greedy(3)).expect("there is room"));
    assert_eq!(straight.text, moved.text);
    assert_eq!(straight.cached_tokens, moved.cached_tokens);
    assert_eq!(moved.computed, Computed { gpu_tokens: straight.computed.cpu_tokens, cpu_tokens: 0 });
    restored.save(&saved).expect("there is room on the disk");
    let back = Session::restore(cpu.model(), &saved, SessionOptions::default()).expect("just written");
    let [straight, moved] = [&cpu, &back].map(|s| s.respond("five", &greedy(3)).expect("there is room"));
    assert_eq!(straight.text, moved.text);
    std::fs::remove_file(&saved).expect("it is there");
}

#[test]
fn trimming_gives_the_cache_back_and_the_next_turn_is_the_same() {
    let _foreground = foreground();
    let model = open(gpu(), small().path(), Backend::Gpu);
    let session = Arc::new(Session::new(&model, SessionOptions::default()).expect("good options"));
    let first = session.respond("hi", &greedy(2)).expect("there is room");
    let before = model.anonymous_bytes();
    session.trim(Trim::Cache).expect("idle");
    assert!(before > 0 && model.anonymous_bytes() == 0, "{before} and {}", model.anonymous_bytes());
    session.undo().expect("idle");
    let again = session.respond("hi", &greedy(2)).expect("there is room");
    assert_eq!((first.text, 0), (again.text, again.cached_tokens));
}
