//! Caches that are only near what computing gives, since an app asked for it: saved more coarsely, or moved to other
//! positions. They say so, and how near they are is measured.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use sprat::{
    Context, ContextOptions, Error, GenerationOptions, Input, KvFormat, Model, SamplerOptions, SavedSession, Session,
    SessionOptions, Trim, WhenFull,
};
use sprat_gguf::TensorKind;
use sprat_tests::families::{Family, family};
use sprat_tests::scenario;
use sprat_tests::scratch;
use sprat_tests::small::{Random, Small, VOCABULARY};

static NEVER: AtomicBool = AtomicBool::new(false);

fn greedy() -> GenerationOptions {
    GenerationOptions { max_tokens: 40, sampler: SamplerOptions::greedy(), ..GenerationOptions::default() }
}

fn options(max_positions: usize, kv_format: KvFormat, when_full: WhenFull) -> SessionOptions {
    let max_positions = Some(max_positions);
    let context = ContextOptions { threads: Some(1), max_positions, kv_format, ..ContextOptions::default() };
    SessionOptions { context, when_full, ..SessionOptions::default() }
}

fn path(name: &str) -> PathBuf {
    scratch::file(&format!("lossy-{name}"))
}

fn bundled() -> Arc<Model> {
    Arc::new(Model::open(scenario::bundled()).expect("the bundled model"))
}

#[test]
fn a_coarser_file_is_smaller_marked_and_goes_on() {
    let small = Small { layers: 2, ..Small::new("llama", TensorKind::Q8_0) };
    let model = Arc::new(Model::open(small.path()).expect("a good file"));
    let options = || options(512, KvFormat::F16, WhenFull::Fail);
    let session = Session::new(&model, options()).expect("good options");
    session.respond("x".repeat(200), &greedy()).expect("there is room");
    let paths = ["own", "same", "q8", "q4"].map(path);
    let [own, same, q8, q4] = &paths;
    session.save(own).expect("there is room on the disk");
    session.save_as(same, KvFormat::F16).expect("there is room on the disk");
    session.save_as(q8, KvFormat::Q8_0).expect("there is room on the disk");
    session.save_as(q4, KvFormat::Q4_0).expect("there is room on the disk");
    let bytes = |path| std::fs::read(path).expect("just written");
    assert!(bytes(own) == bytes(same), "its own format is no other");
    let sizes = paths.each_ref().map(|path| bytes(path).len());
    println!("bytes as F16, Q8_0, Q4_0: {:?}", &sizes[1..]);
    // 17 and 9 bytes for 32, behind a head of 16 KB.
    let cache = sizes.map(|size| size - 16 * 1024);
    assert_eq!((cache[2] * 32, cache[3] * 32), (cache[0] * 17, cache[0] * 9));
    for (path, lossy) in paths.iter().zip([false, false, true, true]) {
        assert_eq!(SavedSession::open(path).expect("just written").is_lossy(), lossy);
        let restored = Session::restore(&model, path, options()).expect("just written");
        assert_eq!(restored.is_approximate(), lossy);
        assert_eq!((restored.transcript(), restored.tokens_used()), (session.transcript(), session.tokens_used()));
        let anonymous = model.anonymous_bytes();
        let reply = restored.respond("go on", &greedy()).expect("there is room");
        assert!(reply.cached_tokens > 200 && reply.approximate == lossy, "{reply:?}");
        assert!(model.anonymous_bytes() > anonymous, "new pages are its own");
        // What was lost stays marked, and is not lost again.
        restored.save(path).expect("there is room on the disk");
        let again = Session::restore(&model, path, options()).expect("just written");
        assert_eq!(again.is_approximate(), lossy);
        let replies = [&restored, &again].map(|session| session.respond("and on", &greedy()).expect("there is room"));
        assert_eq!(replies[0].text, replies[1].text);
        // Computed anew it is what it would have been.
        restored.trim(Trim::Cache).expect("idle");
        assert!(!restored.is_approximate());
        let fresh = Session::new(&model, options()).expect("good options");
        fresh.set_transcript(restored.transcript()).expect("idle");
        let replies = [&restored, &fresh].map(|session| session.respond(Input::Regenerate, &greedy()));
        let [a, b] = replies.map(|reply| reply.expect("there is room"));
        assert_eq!((&a.text, a.approximate), (&b.text, false));
        std::fs::remove_file(path).expect("just written");
    }
    // Another format of the context than the one that was saved reads the transcript anew.
    session.save_as(q8, KvFormat::Q8_0).expect("there is room on the disk");
    let coarse = self::options(512, KvFormat::Q8_0, WhenFull::Fail);
    assert_eq!(Session::restore(&model, q8, coarse).expect("just written").tokens_used(), 0);
    std::fs::remove_file(q8).expect("just written");
}

#[test]
fn heads_that_are_no_whole_blocks_are_not_saved_as_blocks() {
    static FAMILY: LazyLock<Family> =
        LazyLock::new(|| Family { name: "llama-72", head_dim: 72, rotary: 72, ..*family("llama") });
    let small = Small { family: &FAMILY, kind: TensorKind::Q8_0, layers: 1, seed: 1 };
    let model = Model::open(small.path()).expect("a good file");
    let session = Session::new(&Arc::new(model), options(256, KvFormat::F16, WhenFull::Fail)).expect("good options");
    let refused = session.save_as(path("blocks"), KvFormat::Q8_0);
    assert!(matches!(refused, Err(Error::KvFormat { format: KvFormat::Q8_0, .. })), "{refused:?}");
}

/// The last turn of each conversation of the bundled model's test, from a session that was saved before it: how many replies
/// are word for word what they are without.
#[test]
fn the_bundled_model_goes_on_from_a_coarser_file_as_from_its_own() {
    let model = bundled();
    let mut same = [0; 2];
    let conversations = include_str!("../data/tiny.jsonl");
    for line in conversations.lines() {
        let conversation: Value = serde_json::from_str(line).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let turns: Vec<String> = conversation["turns"].as_array().expect("a list").iter().map(text).collect();
        let instructions = Some(text(&conversation["system"])).filter(|text| !text.is_empty());
        let options =
            || SessionOptions { instructions: instructions.clone(), ..options(512, KvFormat::F16, WhenFull::Fail) };
        let session = Session::new(&model, options()).expect("good options");
        let asked: Vec<&String> = turns.iter().step_by(2).collect();
        let (last, before) = asked.split_last().expect("a turn");
        for prompt in before {
            session.respond(prompt.as_str(), &greedy()).expect("there is room");
        }
        session.prewarm().expect("it runs");
        let file = path("tiny");
        for (same, format) in same.iter_mut().zip([KvFormat::Q8_0, KvFormat::Q4_0]) {
            session.save_as(&file, format).expect("there is room on the disk");
            let restored = Session::restore(&model, &file, options()).expect("just written");
            let reply = restored.respond(last.as_str(), &greedy()).expect("there is room");
            assert!(reply.approximate && reply.cached_tokens > 0);
            *same += usize::from(Some(&reply.text) == turns.last());
        }
        std::fs::remove_file(file).expect("just written");
    }
    println!("of 20 replies word for word the same: {} from Q8_0, {} from Q4_0", same[0], same[1]);
    // What was seen; the arithmetic has the same bits everywhere.
    assert!(same[0] >= 19, "{same:?}");
}

/// A context of a small model of one layer.
fn one_layer(family: &str, kv_format: KvFormat) -> Context {
    let small = Small { layers: 1, ..Small::new(family, TensorKind::F16) };
    let model = Arc::new(Model::open(small.path()).expect("a good file"));
    let options = ContextOptions { threads: Some(1), kv_format, ..ContextOptions::default() };
    Context::new(model, &options).expect("good options")
}

#[test]
fn moved_keys_are_those_of_their_new_positions_but_for_rounding() {
    let mut random = Random(4);
    let mut tokens = |n| (0..n).map(|_| random.below(VOCABULARY) as u32).collect::<Vec<_>>();
    // Of a first layer keys and values depend on the token and its position alone, so moving them loses nothing but what
    // storing a key once more rounds off: half of 1/1024, and half of 1/127 of the largest in 32.
    for (family, kv_format, bound) in [
        ("llama", KvFormat::F16, 2e-3),
        ("llama", KvFormat::Q8_0, 2e-2),
        ("qwen3", KvFormat::F16, 2e-3),
        ("gemma2", KvFormat::F16, 2e-3),
        ("phi2", KvFormat::F16, 2e-3),
        ("phi3", KvFormat::F16, 2e-3),
        ("gptneox", KvFormat::F16, 2e-3),
    ] {
        for (before, gap, behind) in [(20, 90, 130), (64, 64, 10), (0, 7, 200), (100, 1, 1)] {
            let (beginning, dropped, rest) = (tokens(before), tokens(gap), tokens(behind + 1));
            let mut moved = one_layer(family, kv_format);
            moved.feed(&[&beginning[..], &dropped, &rest].concat(), &NEVER).expect("it runs");
            assert!(!moved.is_approximate());
            let kept = moved.snapshot();
            moved.close_gap(before..before + gap, behind).expect("it can be moved");
            assert!(moved.is_approximate() && moved.len() == before + behind);
            let found = moved.feed(&rest[behind..], &NEVER).expect("it runs").to_vec();
            let mut straight = one_layer(family, kv_format);
            let due = straight.feed(&[beginning, rest].concat(), &NEVER).expect("it runs");
            let largest = due.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            let error = due.iter().zip(&found).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest;
            println!("{family} {kv_format:?} {before} {gap} {behind}: {error:e} of the largest logit");
            assert!(error < bound, "{family} {kv_format:?}: {error}");
            // Back to before what was moved, it is exact again; and the snapshot does not know of it.
            moved.rewind(before);
            assert!(!moved.is_approximate());
            moved.restore(kept);
            assert!(!moved.is_approximate() && moved.len() == before + gap + behind + 1);
        }
    }
}

#[test]
fn a_session_that_slides_by_moving_says_so_and_reads_less_anew() {
    let model = bundled();
    let run = |when_full| {
        let instructions = Some(scenario::BUNDLED_INSTRUCTIONS.to_owned());
        let options = options(scenario::BUNDLED_CONTEXT, KvFormat::F16, when_full);
        let session = Session::new(&model, SessionOptions { instructions, ..options }).expect("good options");
        let prompts = scenario::BUNDLED_PROMPTS.iter().cycle().take(24);
        let replies = prompts.map(|prompt| session.respond(*prompt, &greedy()).expect("there is always room"));
        replies.collect::<Vec<_>>()
    };
    let (exact, moved) = (run(WhenFull::Slide), run(WhenFull::SlideCached));
    let pairs = || exact.iter().zip(&moved);
    let same = pairs().filter(|(a, b)| a.text == b.text).count();
    let cached = |replies: &[sprat::Reply]| replies.iter().map(|reply| reply.cached_tokens).sum::<usize>();
    println!(
        "{same} of {} replies are those of a recomputed slide, {} of them after keys were moved; tokens from the cache: {} and {}",
        exact.len(),
        pairs().filter(|(a, b)| a.text == b.text && b.approximate).count(),
        cached(&exact),
        cached(&moved)
    );
    assert!(exact.iter().all(|reply| !reply.approximate));
    let first = moved.iter().position(|reply| reply.approximate).expect("it slides");
    assert!(first > 0 && moved[first].messages_left_out > 0 && moved[first - 1].messages_left_out == 0);
    assert!(pairs().all(|(a, b)| a.messages_left_out > 0 || a.text == b.text), "until then nothing differs");
    assert!(cached(&moved) > cached(&exact));
    // Whatever was said, the next turn can be computed exactly.
    assert!(2 * same > exact.len(), "{same}");
}

#[test]
fn what_cannot_be_moved_is_refused() {
    for (family, kv_format, movable) in [
        ("llama", KvFormat::F16, true),
        ("llama", KvFormat::Q8_0, true),
        ("llama", KvFormat::Q4_0, false),
        ("phi3", KvFormat::F16, true),
        ("gpt2", KvFormat::F16, false),
        ("hunyuan-dense", KvFormat::F16, false),
        ("lfm2moe", KvFormat::F16, false),
        ("qwen35", KvFormat::F16, false),
        ("granitehybrid", KvFormat::F16, false),
    ] {
        let model = Arc::new(Model::open(Small::new(family, TensorKind::Q8_0).path()).expect("a good file"));
        let session = Session::new(&model, options(256, kv_format, WhenFull::SlideCached));
        match session.err() {
            None => assert!(movable, "{family}"),
            Some(error) => assert!(!movable && matches!(error, Error::CannotMove { .. }), "{family}: {error}"),
        }
    }
}
