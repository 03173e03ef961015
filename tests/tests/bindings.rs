//! The exported objects, called from Rust as Kotlin and Swift call them: the same conversation, the same errors.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

use sprat_ffi::{
    Backend, FfiError, GenerationOptions, KvFormat, Model, OpenOptions, Probe, Role, Session, SessionOptions, Source,
    StopReason, TemplateChoice, Tool, Trim, WhenFull, device, guard_mapped_files, probe, probe_header,
    saved_transcript,
};
use sprat_tests::exported::{answer, greedy, open, path, source, text, wait};
use sprat_tests::scenario;

fn model() -> Arc<Model> {
    open(source(&scenario::model().path())).expect("the small model opens")
}

fn session(model: &Model) -> Arc<Session> {
    let options = SessionOptions { instructions: Some(scenario::INSTRUCTIONS.into()), ..Default::default() };
    model.session(options).expect("a session of the small model")
}

#[test]
fn three_turns_give_the_engines_own_text() {
    let expected = scenario::replies(&scenario::model().path()).expect("the engine replies");
    let session = session(&model());
    for (prompt, expected) in scenario::PROMPTS.into_iter().zip(&expected) {
        let (pieces, reply) = answer(&session, text(prompt), greedy(scenario::MAX_TOKENS as u32)).expect("a reply");
        assert_eq!((&pieces, reply.map(|reply| reply.text).as_ref()), (expected, Some(expected)));
    }
    let roles: Vec<Role> = session.transcript().expect("open").iter().map(|message| message.role).collect();
    assert_eq!(roles.len(), 7);
    assert_eq!(roles[..3], [Role::System, Role::User, Role::Assistant]);
}

#[test]
fn a_stop_ends_the_stream_and_undoes_the_turn() {
    let model = model();
    let options = SessionOptions { context_tokens: Some(200_000), ..Default::default() };
    let session = model.session(options).expect("a session");
    let stream = session.stream(text("Hello"), greedy(100_000)).expect("a stream");
    assert!(!wait(stream.next_batch()).expect("events").is_empty());
    assert!(matches!(session.stream(text("Hello"), greedy(1)), Err(FfiError::Busy)));
    stream.stop().expect("stops");
    while !wait(stream.next_batch()).expect("no error").is_empty() {}
    assert!(session.transcript().expect("open").is_empty());
    assert!(!session.partial().expect("open").expect("something was written").text.is_empty());
    drop(stream);
    let (_, reply) = answer(&session, text("Hello"), greedy(3)).expect("goes on");
    assert_eq!(reply.map(|reply| (reply.stop, reply.generated_tokens)), Some((StopReason::MaxTokens, 3)));
}

#[test]
fn a_part_of_an_open_file_is_a_model() {
    let path = scenario::model().path();
    let (mut bytes, whole) = (vec![7u8; 4096], std::fs::read(&path).expect("written"));
    bytes.extend(&whole);
    let container = path.with_extension("container");
    std::fs::write(&container, bytes).expect("a temporary file");
    let file = File::open(&container).expect("just written");
    let part = |descriptor, offset_bytes, len_bytes| Source::Descriptor { descriptor, offset_bytes, len_bytes };
    let model = open(part(file.as_raw_fd(), 4096, whole.len() as u64)).expect("opens in place");
    drop(file);
    assert_eq!(model.info().expect("open").file_bytes, whole.len() as u64);
    for (descriptor, offset) in [(-1, 0), (9_999, 0)] {
        let result = open(part(descriptor, offset, 10));
        assert!(matches!(result, Err(FfiError::CannotOpen { .. })), "{descriptor}");
    }
}

#[test]
fn each_fault_is_the_error_an_app_can_act_on() {
    let bytes = std::fs::read(scenario::model().path()).expect("written");
    let patched = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        let file = scenario::model().path().with_extension(name);
        std::fs::write(&file, bytes).expect("a temporary file");
        open(source(&file))
    };
    let replace = |bytes: &mut Vec<u8>, from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|window| window == from).expect("is there");
        bytes[at..at + to.len()].copy_from_slice(to);
    };
    assert!(matches!(open(source(Path::new("/no/such/model"))), Err(FfiError::CannotOpen { .. })));
    assert!(matches!(patched("cut", &|bytes| bytes.truncate(bytes.len() / 2)), Err(FfiError::Damaged { .. })));
    let other = patched("other", &|bytes| replace(bytes, b"llama", b"lxama"));
    assert!(matches!(other, Err(FfiError::Unsupported { reason }) if reason.contains("lxama")));
    let bare = patched("bare", &|bytes| replace(bytes, b"chat_template", b"chat_templatX")).expect("opens");
    assert!(matches!(bare.session(SessionOptions::default()), Err(FfiError::Template { .. })));

    let model = model();
    let small = SessionOptions { context_tokens: Some(64), ..Default::default() };
    let session = model.session(small).expect("a session");
    let long = answer(&session, text(&"a".repeat(100)), greedy(1));
    assert!(matches!(long, Err(FfiError::ContextFull { used: 100.., limit: 64, .. })));
    let cold = GenerationOptions { temperature: Some(-1.0), ..Default::default() };
    for result in [answer(&session, text("Hi"), cold), answer(&session, text(""), greedy(1))] {
        assert!(matches!(result, Err(FfiError::InvalidArgument { .. })));
    }
    let tool = Tool { name: "clock".into(), description: "Tells the time.".into(), parameters_json: "{".into() };
    assert!(matches!(session.set_tools(vec![tool]), Err(FfiError::InvalidArgument { .. })));
    model.close().expect("closes");
    assert!(matches!(model.info(), Err(FfiError::Closed)));
    assert!(answer(&session, text("Hi"), greedy(1)).is_ok());
    session.close().expect("closes");
    assert!(matches!(answer(&session, text("Hi"), greedy(1)), Err(FfiError::Closed)));
}

#[test]
fn a_saved_session_goes_on_where_it_was() {
    let expected = scenario::replies(&scenario::model().path()).expect("the engine replies");
    let (model, file) = (model(), scenario::model().path().with_extension("session"));
    scenario::save(&scenario::model().path(), &file).expect("the engine saves");
    let before = model.restore(path(&file), SessionOptions::default()).expect("of this model");
    before.save(path(&file)).expect("saves what it restored");
    before.close().expect("closes");
    assert_eq!(saved_transcript(path(&file)).expect("readable").len(), 5);
    let after = model.restore(path(&file), SessionOptions::default()).expect("of this model");
    let (_, reply) = answer(&after, text(scenario::PROMPTS[2]), greedy(scenario::MAX_TOKENS as u32)).expect("a reply");
    let reply = reply.expect("whole");
    assert_eq!(reply.text, expected[2]);
    assert!(reply.cached_tokens > 24, "{} tokens of the cache", reply.cached_tokens);
    let other = open(source(&scenario::slow_model().path())).expect("another model");
    assert_eq!(model.can_restore(path(&file)).ok(), Some(true));
    assert_eq!(other.can_restore(path(&file)).ok(), Some(false));
    let refused = other.restore(path(&file), SessionOptions::default());
    assert!(matches!(refused, Err(FfiError::Unsupported { .. })));
    assert!(matches!(after.save("/no/such/folder/file".into()), Err(FfiError::CannotOpen { .. })));
    std::fs::write(&file, b"something else").expect("a temporary file");
    assert!(matches!(saved_transcript(path(&file)), Err(FfiError::Damaged { .. })));
}

#[test]
fn memory_is_limited_taken_ahead_and_given_back() {
    let file = scenario::model().path();
    let tight = OpenOptions { max_anonymous_bytes: Some(1000), ..Default::default() };
    let session = session(&Model::open(source(&file), tight).expect("opens"));
    assert!(matches!(answer(&session, text("Hi"), greedy(1)), Err(FfiError::OutOfMemory { .. })));

    let model = model();
    let session = self::session(&model);
    let read = session.prewarm().expect("reads the instructions").expect("nobody stops it");
    assert_eq!(session.tokens_used().expect("open"), read);
    let (_, reply) = answer(&session, text("Hi"), greedy(2)).expect("a reply");
    assert_eq!(reply.map(|reply| reply.cached_tokens), Some(read));
    let full = session.memory().expect("open");
    assert!(full.kv > 0 && full.scratch > 0 && full.allocated >= full.kv && full.anonymous > 0);
    session.trim(Trim::Buffers).expect("idle");
    assert_eq!(session.memory().map(|now| (now.scratch, now.kv)).expect("open"), (0, full.kv));
    session.trim(Trim::Pages).expect("idle");
    assert_eq!(session.memory().map(|now| now.kv).expect("open"), 0);

    let small = SessionOptions { kv_format: Some(KvFormat::Q8_0), ..Default::default() };
    let small = model.session(small).expect("a session");
    answer(&small, text("Hi"), greedy(2)).expect("a reply");
    let bytes = |format| model.kv_bytes_per_token(format).expect("open");
    assert!(bytes(KvFormat::Q8_0) < bytes(KvFormat::F16));
    assert_eq!(bytes(KvFormat::F16), model.info().expect("open").kv_bytes_per_token);
    assert!(small.memory().expect("open").kv < full.kv);
}

#[test]
fn a_model_tells_of_its_files_and_gives_their_pages_back() {
    let (model, file) = (model(), scenario::model().path());
    let info = model.info().expect("open");
    assert_eq!((info.parts, info.unused_tensors), (1, Vec::new()));
    let mut stray = std::fs::read(&file).expect("written");
    // A tensor that no layer asks for: the last layer's, once the metadata count one layer less.
    let key = b"llama.block_count";
    let at = stray.windows(key.len()).position(|name| name == key).expect("every file has it") + key.len() + 4;
    stray[at] -= 1;
    let path = file.with_extension("stray");
    std::fs::write(&path, stray).expect("a temporary file");
    let unused = open(source(&path)).expect("opens all the same").info().expect("open").unused_tensors;
    assert!(unused.iter().any(|name| name.starts_with("blk.1.")), "{unused:?}");

    let session = session(&model);
    answer(&session, text("Hi"), greedy(2)).expect("a reply");
    assert!(model.resident_bytes().expect("open") > 0);
    let memory = session.memory().expect("open");
    assert_eq!(model.allocated_bytes().expect("open"), memory.allocated);
    model.release_pages().expect("open");
    assert!(answer(&session, text("Hi"), greedy(2)).is_ok());
    let device = device().expect("plain values");
    assert!(device.threads > 0 && device.instruction_sets[0] == "scalar", "{device:?}");
}

#[test]
fn unloading_a_model_ends_what_runs_on_it() {
    let model = model();
    let session = session(&model);
    let stream = session.stream(text("Hello"), greedy(100_000)).expect("a stream");
    assert!(!wait(stream.next_batch()).expect("events").is_empty());
    model.unload().expect("stops it and waits");
    assert!(!session.is_responding().expect("open") && !session.is_stopping().expect("open"));
    assert!(matches!(model.info(), Err(FfiError::Closed)));
    assert!(matches!(answer(&session, text("Hi"), greedy(1)), Err(FfiError::Closed)));
}

#[test]
fn a_file_that_is_lost_and_a_panic_are_errors() {
    let lost = scenario::model().path().with_extension("lost");
    std::fs::copy(scenario::model().path(), &lost).expect("a temporary file");
    guard_mapped_files().expect("the system has signals");
    let session = session(&open(source(&lost)).expect("whole"));
    File::options().write(true).open(&lost).and_then(|file| file.set_len(4096)).expect("ours");
    assert!(matches!(answer(&session, text("Hi"), greedy(1)), Err(FfiError::Damaged { .. })));

    let outcome = std::panic::catch_unwind(|| open(source(Path::new("sprat-ffi:panic"))).is_ok());
    assert!(outcome.is_err(), "uniffi makes an error of it for the other languages");
    assert!(answer(&self::session(&model()), text("Hi"), greedy(1)).is_ok());
}

#[test]
fn options_of_models_and_sessions_reach_the_engine() {
    let file = source(&scenario::model().path());
    let named = |template| OpenOptions { template: Some(template), ..Default::default() };
    let about = |options| Model::open(file.clone(), options).and_then(|model| model.info()).map(|info| info.template);
    assert_eq!(about(named(TemplateChoice::Builtin { name: "gemma".into() })).expect("built in"), "gemma");
    assert_eq!(about(named(TemplateChoice::Text { text: "hi".into() })).expect("a template"), "the app's");
    assert!(matches!(
        about(named(TemplateChoice::Builtin { name: "?".into() })),
        Err(FfiError::InvalidArgument { .. })
    ));
    let on = |backend| OpenOptions { backend: Some(backend), ..Default::default() };
    let cpu = Model::open(file.clone(), on(Backend::Cpu)).and_then(|model| model.info()).expect("it is there");
    assert_eq!(cpu.gpu_fault.as_deref(), Some("the CPU was asked for"));
    // This library has none; one for Apple's systems may.
    let gpu = Model::open(file.clone(), on(Backend::Gpu)).map(|model| model.info().expect("open").gpu_fault);
    assert!(matches!(gpu, Ok(None) | Err(FfiError::Unsupported { .. })));

    let model = model();
    let with = |options: SessionOptions| model.session(options).expect("a session");
    let seeded = || with(SessionOptions { seed: Some(7), batch: Some(8), ..Default::default() });
    let hot = || GenerationOptions { temperature: Some(3.0), max_tokens: Some(16), ..Default::default() };
    let draw = |session: Arc<Session>| answer(&session, text("Hi"), hot()).expect("a reply").0;
    assert_eq!(draw(seeded()), draw(seeded()));
    let forced = GenerationOptions { forced: vec![72, 73], ..greedy(2) };
    assert_eq!(answer(&with(SessionOptions::default()), text("Hi"), forced).expect("a reply").0, "HI");
    let named = SessionOptions { instruction_set: Some("scalar".into()), ..Default::default() };
    answer(&with(named), text("Hi"), greedy(2)).expect("every machine has it");
}

#[test]
fn the_bundled_model_goes_on_when_its_context_is_full() {
    let model = open(source(&scenario::bundled())).expect("the bundled model opens");
    let small = |when_full| SessionOptions {
        instructions: Some(scenario::BUNDLED_INSTRUCTIONS.into()),
        context_tokens: Some(scenario::BUNDLED_CONTEXT as u32),
        when_full,
        ..Default::default()
    };
    let slides = model.session(small(Some(WhenFull::Slide))).expect("a session");
    let fails = model.session(small(None)).expect("a session");
    let expected = scenario::bundled_replies().expect("the engine replies");
    assert!(expected[0].0.contains("06:45") && expected[1].0.contains("07:15"), "{expected:?}");
    let mut full = 0;
    for (prompt, (reply, left_out)) in scenario::BUNDLED_PROMPTS.into_iter().zip(&expected) {
        assert_eq!(&answer(&slides, text(prompt), greedy(64)).expect("old turns go").0, reply);
        assert_eq!(slides.messages_left_out().expect("open"), *left_out as u64);
        full += u32::from(matches!(answer(&fails, text(prompt), greedy(64)), Err(FfiError::ContextFull { .. })));
    }
    assert!(full > 0 && expected[5].1 > 0, "{full} {expected:?}");
    assert_eq!(slides.transcript().expect("open").len(), 13);
}

#[test]
fn a_header_tells_what_the_open_model_does() {
    let file = scenario::model().path();
    let Probe { family, header_bytes, file_bytes, context_tokens, kv_bytes_per_token, bytes_per_token, .. } =
        probe(source(&file)).expect("a sound file");
    let info = model().info().expect("open");
    assert_eq!((family, file_bytes, context_tokens), (info.family, info.file_bytes, info.context_tokens));
    assert_eq!((kv_bytes_per_token, bytes_per_token), (info.kv_bytes_per_token, info.bytes_per_token));
    let bytes = std::fs::read(&file).expect("written");
    let header = bytes[..header_bytes as usize].to_vec();
    assert_eq!(probe_header(header.clone(), file_bytes).expect("all there").bytes_per_token, bytes_per_token);
    assert!(matches!(probe_header(header[..100].to_vec(), file_bytes), Err(FfiError::Damaged { .. })));
}
