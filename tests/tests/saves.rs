//! Saved sessions: they go on as if nothing had been, and whatever is wrong with a file is a typed error.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use sprat::error::SavedFault;
use sprat::{
    ContextOptions, Error, GenerationOptions, Input, Model, Reply, SamplerOptions, SavedSession, Session,
    SessionOptions,
};
use sprat_gguf::TensorKind;
use sprat_tests::families::{FAMILIES, Family, Key, family};
use sprat_tests::scratch;
use sprat_tests::small::{Random, Small};

fn small(seed: u64) -> Arc<Model> {
    let small = Small { layers: 1, seed, ..Small::new("llama", TensorKind::Q8_0) };
    Arc::new(Model::open(small.path()).expect("a good file"))
}

fn options() -> SessionOptions {
    let context = ContextOptions { threads: Some(1), ..ContextOptions::default() };
    SessionOptions { instructions: Some("be brief".into()), seed: Some(7), context, ..SessionOptions::default() }
}

/// Random numbers of the session, so that they must come back too.
fn respond(session: &Session, input: impl Into<Input>) -> Reply {
    let options = GenerationOptions { max_tokens: 30, ..GenerationOptions::default() };
    session.respond(input, &options).expect("there is room")
}

fn path(name: &str) -> PathBuf {
    scratch::file(&format!("saves-{name}"))
}

/// A session with two turns, saved.
fn saved(model: &Arc<Model>, name: &str) -> (Session, PathBuf) {
    let session = Session::new(model, options()).expect("good options");
    respond(&session, "one two three");
    respond(&session, "four five six");
    let path = path(name);
    session.save(&path).expect("there is room on the disk");
    (session, path)
}

#[test]
fn a_restored_session_goes_on_bit_for_bit_from_its_mapped_cache() {
    let model = small(1);
    let (session, path) = saved(&model, "on");
    let before = model.anonymous_bytes();
    let restored = Session::restore(&model, &path, options()).expect("just written");
    assert_eq!(model.anonymous_bytes(), before, "the cache is mapped, not read");
    assert_eq!(restored.transcript(), session.transcript());
    assert_eq!(restored.tokens_used(), session.tokens_used());
    for text in ["seven", "eight", "nine"] {
        let replies = [&session, &restored].map(|session| respond(session, text));
        assert_eq!(replies[0].text, replies[1].text);
        assert_eq!(replies[0].cached_tokens, replies[1].cached_tokens);
    }
    // What was written went into memory of its own: the file still is what was saved.
    let again = Session::restore(&model, &path, options()).expect("unchanged");
    assert_eq!(again.transcript().len(), 5);
    std::fs::remove_file(path).expect("just written");
}

#[test]
fn saving_over_a_session_that_is_mapped_leaves_it_whole() {
    let model = small(1);
    let (session, path) = saved(&model, "over");
    let restored = Session::restore(&model, &path, options()).expect("just written");
    session.undo().expect("idle");
    session.save(&path).expect("there is room on the disk");
    restored.save(&path).expect("its own pages are those of the replaced file");
    let again = Session::restore(&model, &path, options()).expect("just written");
    assert_eq!(respond(&again, "on").text, respond(&restored, "on").text);
    std::fs::remove_file(path).expect("just written");
}

#[test]
fn a_cache_serves_no_context_that_rotates_otherwise() {
    const KEYS: &[&[(&str, Key)]] = &[&[
        ("rope.scaling.original_context_length", Key::Count(256)),
        ("rope.scaling.attn_factor", Key::Number(1.19)),
    ]];
    static FAMILY: LazyLock<Family> = LazyLock::new(|| Family { name: "phi3-256", keys: KEYS, ..*family("phi3") });
    let model = Small { family: &FAMILY, kind: TensorKind::Q8_0, layers: 1, seed: 1 };
    let model = Arc::new(Model::open(model.path()).expect("a good file"));
    let with = |positions| {
        let context = ContextOptions { max_positions: Some(positions), threads: Some(1), ..ContextOptions::default() };
        SessionOptions { context, ..options() }
    };
    let greedy =
        GenerationOptions { sampler: SamplerOptions::greedy(), max_tokens: 10, ..GenerationOptions::default() };
    let session = Session::new(&model, with(256)).expect("good options");
    session.respond("one two", &greedy).expect("there is room");
    let path = path("rotated");
    session.save(&path).expect("there is room on the disk");
    // Up to 256 positions it is the short factors that count, beyond them the long ones.
    for (positions, serves) in [(256, true), (200, true), (257, false), (512, false)] {
        let restored = Session::restore(&model, &path, with(positions)).expect("just written");
        let fresh = Session::new(&model, with(positions)).expect("good options");
        fresh.set_transcript(session.transcript()).expect("idle");
        let replies = [&restored, &fresh].map(|session| session.respond("three", &greedy).expect("there is room"));
        assert_eq!(replies[0].text, replies[1].text, "{positions} positions");
        assert_eq!(replies[0].cached_tokens > 0, serves, "{positions} positions");
    }
    std::fs::remove_file(path).expect("just written");
}

fn fault(model: &Arc<Model>, path: &Path) -> SavedFault {
    match Session::restore(model, path, options()) {
        Err(Error::Saved { fault, .. }) => fault,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[test]
fn each_fault_of_a_saved_session_is_named() {
    let model = small(1);
    let (session, path) = saved(&model, "faults");
    let good = std::fs::read(&path).expect("just written");
    let damaged = self::path("damaged");
    let with = |bytes: &[u8]| {
        std::fs::write(&damaged, bytes).expect("temporary file");
        fault(&model, &damaged)
    };
    assert_eq!(with(b"once upon a time"), SavedFault::NotASession);
    let mut newer = good.clone();
    newer[8] = 9;
    assert_eq!(with(&newer), SavedFault::Version { found: 9, supported: 2 });
    for len in [20, 100, 20_000, good.len() - 1] {
        assert!(matches!(with(&good[..len]), SavedFault::Truncated { .. }), "{len}");
    }
    assert!(matches!(with(&[&good[..], &[0]].concat()), SavedFault::Truncated { .. }));
    let mut random = Random(3);
    for _ in 0..200 {
        let mut flipped = good.clone();
        let at = 12 + random.below(good.len() - 12);
        flipped[at] ^= 1 << random.below(8);
        // Between the transcript and the cache lie zeros that mean nothing.
        let is_padding = good[at] == 0 && at > 72 && at < 16 * 1024;
        if !is_padding {
            assert!(matches!(with(&flipped), SavedFault::Damaged { .. }), "{at}");
        }
    }
    // Same shapes, other weights.
    assert_eq!(fault(&small(2), &path), SavedFault::OtherModel);
    // The transcript serves all the same.
    let other = Session::new(&small(2), options()).expect("good options");
    let found = SavedSession::open(&path).expect("whole");
    assert!(found.is_of(&model) && !found.is_of(other.model()));
    other.set_transcript(found.transcript().to_vec()).expect("idle");
    assert_eq!(other.transcript(), session.transcript());
    assert!(matches!(Session::restore(&model, "/no/such/session", options()), Err(Error::Open { .. })));
    std::fs::remove_file(damaged).expect("just written");
    std::fs::remove_file(path).expect("just written");
}

#[test]
fn what_cannot_be_written_is_a_typed_error_and_leaves_the_old_file() {
    let model = small(1);
    let (session, path) = saved(&model, "unwritable");
    let missing = session.save("/no/such/folder/session").expect_err("no such folder");
    assert!(matches!(missing, Error::Save { .. }), "{missing}");
    std::fs::remove_file(path).expect("just written");
    let folder = self::path("full");
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&folder).status();
    if mounted.is_ok_and(|status| status.success()) {
        let file = folder.join("session");
        let empty = Session::new(&model, options()).expect("good options");
        empty.save(&file).expect("16 KB fit");
        let full = session.save(&file).expect_err("64 KB are not enough");
        let is_full = matches!(&full, Error::Save { source, .. } if source.kind() == std::io::ErrorKind::StorageFull);
        let left = std::fs::read_dir(&folder).expect("readable").count();
        let old = Session::restore(&model, &file, options()).map(|old| old.transcript().len());
        let unmounted = Command::new("umount").arg(&folder).status().expect("umount runs");
        assert!(unmounted.success());
        assert!(is_full, "{full}");
        assert_eq!((left, old.expect("untouched")), (1, 1));
    } else {
        println!("NOT TESTED: a full disk, because no small file system can be mounted here (needs root)");
    }
    std::fs::remove_dir(folder).expect("empty");
}

#[test]
fn a_baked_beginning_saves_reading_it() {
    let model = small(1);
    let baked = Session::new(&model, options()).expect("good options");
    let tokens = baked.prewarm().expect("it runs");
    assert!(tokens > 20, "the instructions were read: {tokens}");
    let path = path("baked");
    baked.save(&path).expect("there is room on the disk");
    let session = Session::restore(&model, &path, SessionOptions { seed: Some(7), ..options() }).expect("just written");
    let reply = respond(&session, "hello");
    assert_eq!(reply.cached_tokens, tokens);
    let plain = Session::new(&model, options()).expect("good options");
    assert_eq!(respond(&plain, "hello").text, reply.text);
    let greedy = GenerationOptions { sampler: SamplerOptions::greedy(), ..GenerationOptions::default() };
    assert!(plain.respond("x", &GenerationOptions { max_tokens: 1, ..greedy }).is_ok());
    std::fs::remove_file(path).expect("just written");
}

#[test]
fn states_of_layers_are_saved_and_baked_too() {
    for family in FAMILIES.iter().filter(|family| family.mixers != "a") {
        let name = family.name;
        let model = Arc::new(Model::open(Small::new(name, TensorKind::Q8_0).path()).expect("a good file"));
        let (session, path) = saved(&model, name);
        let before = model.anonymous_bytes();
        let restored = Session::restore(&model, &path, options()).expect("just written");
        assert_eq!(model.anonymous_bytes(), before, "{name}: the states are mapped, not read");
        let again = Session::restore(&model, &path, options()).expect("just written");
        assert_eq!(restored.tokens_used(), session.tokens_used(), "{name}");
        // Checkpoints come with them: to the last prompt, and to one before it.
        let edit = || Input::Edit { index: 1, text: "one two six".into() };
        for input in [Input::Regenerate, "seven".into(), Input::Regenerate, edit(), "eight".into()] {
            let replies = [&session, &restored].map(|session| respond(session, input.clone()));
            assert_eq!(replies[0].text, replies[1].text, "{name}: {input:?}");
            assert_eq!(replies[0].cached_tokens, replies[1].cached_tokens, "{name}: {input:?}");
            assert!(replies[0].cached_tokens > 0 || matches!(input, Input::Edit { .. }), "{name}: {input:?}");
        }
        // What they wrote went into memory of their own: the file is as it was, whoever maps it.
        let fresh = Session::new(&model, options()).expect("good options");
        fresh.set_transcript(again.transcript()).expect("idle");
        let greedy = GenerationOptions { sampler: SamplerOptions::greedy(), ..GenerationOptions::default() };
        let greedy = GenerationOptions { max_tokens: 20, ..greedy };
        let replies = [&again, &fresh].map(|session| session.respond("on", &greedy).expect("there is room"));
        assert_eq!(replies[0].text, replies[1].text, "{name}");
        assert!(replies[0].cached_tokens > replies[1].cached_tokens, "{name}");

        let baked = Session::new(&model, options()).expect("good options");
        let tokens = baked.prewarm().expect("it runs");
        baked.save(&path).expect("there is room on the disk");
        let session = Session::restore(&model, &path, options()).expect("just written");
        assert_eq!(respond(&session, "hello").cached_tokens, tokens, "{name}: the instructions were not read anew");
        std::fs::remove_file(path).expect("just written");
    }
}
