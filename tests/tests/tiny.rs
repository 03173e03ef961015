//! The bundled model: twenty conversations, word for word. The replies in the file were llama.cpp's, greedy, from the same file.

use std::path::Path;
#[cfg(target_arch = "x86_64")]
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use sprat::{ContextOptions, GenerationOptions, Model, SamplerOptions, Session, SessionOptions};

/// One conversation a line: `system`, and `turns` of user and model by turns.
const CONVERSATIONS: &str = include_str!("../data/tiny.jsonl");

#[test]
fn the_bundled_model_says_what_it_said() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/sprat-tiny-q8_0.gguf");
    let model = Arc::new(Model::open(path).expect("the bundled model"));
    let greedy = GenerationOptions { sampler: SamplerOptions::greedy(), ..GenerationOptions::default() };
    assert_eq!(CONVERSATIONS.lines().count(), 20);
    for line in CONVERSATIONS.lines() {
        let conversation: Value = serde_json::from_str(line).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let system = text(&conversation["system"]);
        let options = SessionOptions {
            instructions: (!system.is_empty()).then_some(system),
            context: ContextOptions { max_positions: Some(512), ..ContextOptions::default() },
            ..SessionOptions::default()
        };
        let session = Session::new(&model, options).expect("good options");
        let turns: Vec<String> = conversation["turns"].as_array().expect("a list").iter().map(text).collect();
        for turn in turns.chunks_exact(2) {
            let reply = session.respond(turn[0].as_str(), &greedy).expect("there is room");
            assert_eq!(reply.text, turn[1], "{:?}", turn[0]);
        }
    }
}

/// A process has one instruction set, so each of the others gets a process of its own. On arm64 the CPUs that qemu is told to
/// be stand for them.
#[test]
#[cfg(target_arch = "x86_64")]
fn it_says_the_same_on_every_instruction_set() {
    let sets: Vec<&str> = sprat::instruction_sets().collect();
    for set in &sets[..sets.len() - 1] {
        let test = Command::new(std::env::current_exe().expect("this test's path"))
            .args(["tiny::the_bundled_model_says_what_it_said", "--exact"])
            .env("SPRAT_ISA", set)
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&test.stdout);
        assert!(test.status.success() && said.contains("1 passed"), "{set}: {said}");
    }
}
