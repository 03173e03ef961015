//! Bad files, bad prompts, bad options: a typed error that names the fault, never a panic.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sprat::{
    Context, ContextOptions, Error, GenerationOptions, Model, SamplerOptions, Session, SessionOptions, Source,
};
use sprat_gguf::{Contents, TensorKind, Writer};
use sprat_tests::scratch;
use sprat_tests::small::{Random, Small};

const SMALL: fn() -> Small = || Small { layers: 1, ..Small::new("llama", TensorKind::Q8_0) };

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch::file(&format!("faults-{name}.gguf"));
    std::fs::write(&path, bytes).expect("temporary file");
    path
}

fn open(name: &str, bytes: &[u8]) -> Result<Model, Error> {
    let path = file(name, bytes);
    let model = Model::open(&path);
    std::fs::remove_file(path).expect("just written");
    model
}

/// The small file with some of its metadata replaced, and without one of its tensors.
fn changed(change: impl FnOnce(&mut Writer<'_>), without: &str) -> Vec<u8> {
    let bytes = SMALL().bytes();
    let contents = Contents::parse(&bytes, bytes.len() as u64).expect("valid");
    let mut writer = Writer::like(&contents, &bytes);
    change(&mut writer);
    for tensor in contents.tensors.iter().filter(|t| t.name != without) {
        let data = &bytes[tensor.range.start as usize..tensor.range.end as usize];
        writer.tensor(&tensor.name, &tensor.shape, tensor.kind, data);
    }
    let mut out = Vec::new();
    writer.write(&mut out).expect("memory takes all");
    out
}

#[test]
fn each_fault_of_a_file_is_named() {
    let with = |change: fn(&mut Writer<'_>)| changed(change, "");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "cannot open"),
        ("text", b"once upon a time there was a file".to_vec(), "not a GGUF file"),
        ("half", SMALL().bytes()[..100_000].to_vec(), "outside the file"),
        ("header", SMALL().bytes()[..1000].to_vec(), "cut off"),
        (
            "architecture",
            with(|w| _ = w.str("general.architecture", "mamba9")),
            "architecture `mamba9` is not supported",
        ),
        ("no-heads", with(|w| _ = w.u32("llama.attention.head_count", 0)), "llama.attention.head_count"),
        ("odd-heads", with(|w| _ = w.u32("llama.attention.head_count_kv", 3)), "llama.attention.head_count_kv"),
        ("huge", with(|w| _ = w.u32("llama.embedding_length", u32::MAX)), "llama.embedding_length"),
        ("shape", with(|w| _ = w.u32("llama.embedding_length", 512)), "expected shape"),
        ("text-key", with(|w| _ = w.str("llama.block_count", "two")), "llama.block_count"),
        ("layers", with(|w| _ = w.u32("llama.block_count", 2)), "blk.1."),
        ("eps", with(|w| _ = w.f32("llama.attention.layer_norm_rms_epsilon", f32::NAN)), "layer_norm_rms_epsilon"),
        ("rope", with(|w| _ = w.u32("llama.rope.dimension_count", 63)), "rope.dimension_count"),
        ("missing", changed(|_| {}, "blk.0.attn_k.weight"), "blk.0.attn_k.weight is missing"),
        ("template", with(|w| _ = w.str("tokenizer.chat_template", "{% if %}")), "template"),
        ("tokenizer", with(|w| _ = w.str("tokenizer.ggml.pre", "no-such")), "no-such"),
    ];
    for (name, bytes, part) in cases {
        match open(name, &bytes) {
            Ok(_) => panic!("{name} opens"),
            Err(error) => assert!(error.to_string().contains(part), "{name}: {error}"),
        }
    }
    let absent = Model::open("/no/such/file.gguf").err().expect("no such file");
    assert!(absent.to_string().contains("/no/such/file.gguf"), "{absent}");
}

#[test]
fn random_damage_never_panics() {
    let good = SMALL().bytes();
    let header = Contents::parse(&good, good.len() as u64).expect("valid").data_offset as usize;
    let mut random = Random(3);
    let path = file("damage", &good);
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..400 {
        let mut bytes = good.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(header);
            bytes[at] = random.bits() as u8;
        }
        std::fs::write(&path, &bytes).expect("temporary file");
        match Model::open(&path) {
            Ok(model) => {
                opened += 1;
                let options = ContextOptions { threads: Some(1), max_positions: Some(8), ..ContextOptions::default() };
                let mut context = Context::new(Arc::new(model), &options).expect("good options");
                // NaN weights are a bad model, not a fault: it may run or refuse, but it returns.
                let _either = context.feed(&[1, 2, 3], &AtomicBool::new(false)).is_ok();
            }
            Err(_) => refused += 1,
        }
    }
    std::fs::remove_file(path).expect("just written");
    assert!(opened > 20 && refused > 20, "damage of both kinds was tried: {opened} opened, {refused} refused");
}

fn session(max_positions: usize) -> Session {
    let model = Arc::new(Model::open(SMALL().path()).expect("a good file"));
    let context = ContextOptions { max_positions: Some(max_positions), threads: Some(1), ..ContextOptions::default() };
    Session::new(&model, SessionOptions { context, ..SessionOptions::default() }).expect("good options")
}

fn respond(session: &Session, prompt: &str, max_tokens: usize) -> Result<sprat::Reply, Error> {
    let options = GenerationOptions { max_tokens, sampler: SamplerOptions::greedy(), ..GenerationOptions::default() };
    session.respond(prompt, &options)
}

#[test]
fn prompts_that_cannot_be_answered_are_errors_and_leave_the_session_usable() {
    let session = session(64);
    assert!(matches!(respond(&session, "", 4), Err(Error::EmptyPrompt)));
    let long = "x".repeat(200);
    match respond(&session, &long, 4) {
        Err(Error::ContextFull { used, limit }) => assert!(used > 200 && limit == 64, "{used} of {limit}"),
        other => panic!("{other:?}"),
    }
    assert!(session.transcript().is_empty() && session.tokens_used() == 0);
    // The reply runs into the end of the context: the turn is undone as well.
    assert!(matches!(respond(&session, "hello", 500), Err(Error::ContextFull { .. })));
    assert!(session.transcript().is_empty() && session.tokens_used() == 0);
    let reply = respond(&session, "hello", 4).expect("there is room");
    assert_eq!((session.transcript().len(), reply.generated_tokens), (2, 4));
}

#[test]
fn bad_tokens_and_bad_options_are_errors() {
    let model = Arc::new(Model::open(SMALL().path()).expect("a good file"));
    let never = AtomicBool::new(false);
    let mut context = Context::new(model.clone(), &ContextOptions::default()).expect("good options");
    assert!(matches!(context.feed(&[], &never), Err(Error::EmptyPrompt)));
    assert!(matches!(context.feed(&[1, 99_999], &never), Err(Error::BadToken { id: 99_999, .. })));
    assert_eq!(context.len(), 0);
    let options = ContextOptions { instruction_set: Some("abacus".to_owned()), ..ContextOptions::default() };
    assert!(matches!(Context::new(model, &options), Err(Error::InstructionSet { .. })));
    let session = session(64);
    let mut options = GenerationOptions::default();
    options.sampler.temperature = f32::NAN;
    let result = session.respond("hello", &options);
    assert!(matches!(result, Err(Error::Options(_))), "{result:?}");
}

#[test]
fn numbers_beyond_all_measure_are_brought_down() {
    let options = ContextOptions {
        threads: Some(usize::MAX),
        batch: Some(usize::MAX),
        max_positions: Some(usize::MAX),
        ..ContextOptions::default()
    };
    let model = Arc::new(Model::open(SMALL().path()).expect("a good file"));
    let mut context = Context::new(model, &options).expect("good options");
    context.feed(&[1, 2, 3], &AtomicBool::new(false)).expect("it runs");
}

#[test]
fn a_part_of_a_descriptor_serves_as_a_file() {
    let bytes = SMALL().bytes();
    let padded = [vec![7u8; 4100], bytes.clone(), vec![7u8; 10]].concat();
    let path = file("padded", &padded);
    let part = |offset_bytes, len_bytes| {
        let descriptor = std::fs::File::open(&path).expect("just written").into();
        Model::open(Source::Descriptor { descriptor, offset_bytes, len_bytes })
    };
    let logits = |model: Model| {
        let mut context = Context::new(Arc::new(model), &ContextOptions::default()).expect("good options");
        context.feed(&[1, 2, 3], &AtomicBool::new(false)).expect("it runs").to_vec()
    };
    let whole = logits(Model::open(SMALL().path()).expect("a good file"));
    assert!(logits(part(4100, bytes.len() as u64).expect("a good part")) == whole);
    for (offset, len) in [(4101, bytes.len() as u64), (4100, padded.len() as u64), (u64::MAX - 3, 8), (4100, 0)] {
        assert!(matches!(part(offset, len), Err(Error::Open { .. })), "{offset} {len}");
    }
    std::fs::remove_file(&path).expect("just written");
}
