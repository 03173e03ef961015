//! What a turn tells: thoughts and calls apart from the answer, whole characters, guesses that change nothing.

use std::sync::Arc;

use sprat::chat::{Role, Tool};
use sprat::error::ChatError;
use sprat::{
    ContextOptions, Error, Event, GenerationOptions, Input, KvFormat, Model, Reply, SamplerOptions, Session,
    SessionOptions, SpecialTokens, StopReason, ToolResult, Trim, WhenFull,
};
use sprat_gguf::{Contents, TensorKind, Writer};
use sprat_tests::scratch;
use sprat_tests::small::Small;

const SMALL: fn() -> Small = || Small { layers: 1, ..Small::new("llama", TensorKind::Q8_0) };

/// The small file with another chat template.
fn with_template(name: &str, template: &str) -> Arc<Model> {
    let bytes = SMALL().bytes();
    let contents = Contents::parse(&bytes, bytes.len() as u64).expect("valid");
    let mut writer = Writer::like(&contents, &bytes);
    writer.str("tokenizer.chat_template", template);
    for tensor in &contents.tensors {
        let data = &bytes[tensor.range.start as usize..tensor.range.end as usize];
        writer.tensor(&tensor.name, &tensor.shape, tensor.kind, data);
    }
    let mut out = Vec::new();
    writer.write(&mut out).expect("memory takes all");
    let path = scratch::file(&format!("events-{name}.gguf"));
    std::fs::write(&path, out).expect("temporary file");
    let model = Model::open(&path).expect("a good file");
    std::fs::remove_file(path).expect("just written");
    Arc::new(model)
}

const TAGGED: &str = "{% if tools %}{{ tools | tojson }} <tool_call> {% endif %}{% for m in messages %}{{ m.role }}: \
                      {% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}\
                      {% for c in m.tool_calls %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}\n\
                      {% endfor %}assistant:";

const PLAIN: &str = "{{ tools | tojson }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";

fn context() -> ContextOptions {
    ContextOptions { threads: Some(1), ..ContextOptions::default() }
}

fn session(model: &Arc<Model>, with_tools: bool) -> Session {
    let parameters = serde_json::json!({"type": "object"});
    let clock = Tool { name: "clock".into(), description: "tells the time".into(), parameters };
    let tools = if with_tools { vec![clock] } else { vec![] };
    Session::new(model, SessionOptions { tools, context: context(), ..SessionOptions::default() })
        .expect("good options")
}

/// What a reply of this text tells: neighbours of one kind joined, and the reply.
fn tell(session: &Session, input: impl Into<Input>, text: &str) -> (Vec<String>, Reply) {
    let tokenizer = session.model().tokenizer();
    let mut forced = tokenizer.encode(text, SpecialTokens::AsText, false).expect("every byte has a token");
    forced.push(258);
    let options = GenerationOptions { forced, ..GenerationOptions::default() };
    let (mut told, mut done) = (Vec::<String>::new(), None);
    let mut join = |kind: &str, piece: &str| match told.last_mut() {
        Some(last) if last.starts_with(kind) => last.push_str(piece),
        _ => told.push(format!("{kind}{piece}")),
    };
    for event in session.stream(input, &options).expect("idle") {
        match event.expect("it runs") {
            Event::Text(piece) => join("text ", &piece),
            Event::Thinking(piece) => join("thinking ", &piece),
            Event::ToolCall(call) => join("call ", &format!("{} {};", call.name, call.arguments)),
            Event::ToolCallFailed { text, fault } => join("failed ", &format!("{text} {fault:?};")),
            Event::Done(reply) => done = Some(*reply),
        }
    }
    (told, done.expect("the last event"))
}

#[test]
fn thoughts_and_calls_are_events_of_their_own() {
    let model = with_template("tagged", TAGGED);
    let cases: [(&str, &[&str], &str); 5] = [
        ("Hello \u{e9}\u{1f41f}!", &["text Hello \u{e9}\u{1f41f}!"], "Hello \u{e9}\u{1f41f}!"),
        ("<think>\nhm\n</think>\n\nYes", &["thinking hm", "text Yes"], "Yes"),
        (
            "I look.\n<tool_call>{\"name\": \"clock\", \"arguments\": {\"zone\": 1}}</tool_call>",
            &["text I look.\n", "call clock {\"zone\":1};"],
            "I look.",
        ),
        (
            "<tool_call>{\"name\": \"a\", \"arguments\": {}}</tool_call>\n<tool_call>{\"name\": \"b\", \"arguments\": {}}",
            &["call a {};", "text \n", "call b {};"],
            "",
        ),
        (
            "x<tool_call>{nonsense</tool_call>",
            &["text x", "failed {nonsense Json { at: 0 };"],
            "x<tool_call>{nonsense</tool_call>",
        ),
    ];
    for (text, events, answer) in cases {
        let session = session(&model, true);
        let (told, reply) = tell(&session, "hi", text);
        assert_eq!(told, events, "{text}");
        assert_eq!((reply.text.as_str(), reply.stop), (answer, StopReason::EndOfTurn), "{text}");
        let transcript = session.transcript();
        let last = transcript.last().expect("a reply");
        assert_eq!((last.role, last.content.as_str(), &last.tool_calls), (Role::Assistant, answer, &reply.tool_calls));
        assert_eq!(last.reasoning.is_some(), !reply.thinking.is_empty());
    }
    // Without tools, marks of calls are text.
    let (told, _) = tell(&session(&model, false), "hi", "<tool_call>x</tool_call>");
    assert_eq!(told, ["text <tool_call>x</tool_call>"]);
}

#[test]
fn a_call_that_is_the_whole_reply_is_not_told_as_text() {
    let model = with_template("plain", PLAIN);
    let call = "{\"tool\": \"clock\", \"arguments\": {\"zone\": 1}}";
    for (text, expected) in [
        (call, "call clock {\"zone\":1};"),
        ("{\"a\": 1} is JSON", "text {\"a\": 1} is JSON"),
        ("It is noon.", "text It is noon."),
        (" `x` is code", "text  `x` is code"),
    ] {
        let (told, _) = tell(&session(&model, true), "hi", text);
        assert_eq!(told, [expected]);
    }
    let (told, reply) = tell(&session(&model, true), "hi", &format!("```json\n{call}\n```"));
    assert_eq!((told, reply.tool_calls.len()), (vec!["call clock {\"zone\":1};".to_owned()], 1));
}

#[test]
fn the_results_of_tools_are_answered_as_a_turn() {
    let model = with_template("results", TAGGED);
    let session = session(&model, true);
    let result = ToolResult { name: "clock".into(), call_id: None, content: "noon".into() };
    let results = Input::ToolResults(vec![result]);
    assert!(matches!(session.respond(results.clone(), &GenerationOptions::default()), Err(Error::Transcript { .. })));
    let (_, asked) = tell(&session, "time?", "<tool_call>{\"name\": \"clock\", \"arguments\": {}}</tool_call>");
    let (_, reply) = tell(&session, results, "It is noon.");
    assert_eq!(reply.text, "It is noon.");
    let roles: Vec<Role> = session.transcript().iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::Assistant]);
    assert!(reply.cached_tokens >= asked.prompt_tokens - 1, "the conversation so far was not read anew");
    // New tools change the prompt's beginning: nothing of the cache can stay.
    session.set_tools(vec![]).expect("idle");
    let (_, reply) = tell(&session, "and now?", "Still noon.");
    assert!(reply.cached_tokens <= 1, "{}", reply.cached_tokens);
}

#[test]
fn tools_that_a_template_would_ignore_are_refused() {
    let model = Arc::new(Model::open(SMALL().path()).expect("a good file"));
    let plain = session(&model, false);
    let tool = Tool { name: "x".into(), description: String::new(), parameters: serde_json::json!({}) };
    let refused = plain.set_tools(vec![tool.clone()]);
    assert!(matches!(refused, Err(Error::Chat(ChatError::NoTools))));
    let refused = Session::new(&model, SessionOptions { tools: vec![tool], ..SessionOptions::default() });
    assert!(matches!(refused.err(), Some(Error::Chat(ChatError::NoTools))));
}

#[test]
fn guesses_change_the_speed_and_nothing_else() {
    let model = Arc::new(Model::open(SMALL().path()).expect("a good file"));
    let text = "the cat sat on the mat and the dog sat on the log; the cat sat on the mat and the dog sat on the log; ";
    let mut guessed = 0;
    for seed in [None, Some(1), Some(2), Some(3)] {
        for penalty in [1.0, 1.3] {
            let replies = [true, false].map(|guess| {
                // Of three tokens alone, so that much of what comes has come before.
                let others = (0..320).filter(|id| !(97..100).contains(id));
                let sampler = SamplerOptions {
                    logit_bias: others.map(|id| (id, f32::NEG_INFINITY)).collect(),
                    temperature: if seed.is_some() { 0.7 } else { 0.0 },
                    seed,
                    repetition_penalty: penalty,
                    ..SamplerOptions::default()
                };
                let options = GenerationOptions { max_tokens: 90, sampler, guess, ..GenerationOptions::default() };
                let session = session(&model, false);
                let first = session.respond(text, &options).expect("there is room");
                let second = session.respond("again", &options).expect("there is room");
                (first, second)
            });
            let [(a, b), (c, d)] = &replies;
            assert_eq!((&a.text, &b.text), (&c.text, &d.text), "{seed:?} {penalty}");
            assert_eq!((a.stop, b.cached_tokens), (c.stop, d.cached_tokens));
            assert_eq!((c.guessed_tokens, d.guessed_tokens), (0, 0));
            guessed += a.guessed_tokens + b.guessed_tokens;
        }
    }
    // A reply that copies the prompt is guessed for the greater part.
    let session = session(&model, false);
    let forced = model.tokenizer().encode(text, SpecialTokens::AsText, false).expect("every byte has a token");
    let options = GenerationOptions { max_tokens: forced.len(), forced, ..GenerationOptions::default() };
    let copied = session.respond(text, &options).expect("there is room");
    assert_eq!(copied.text, text);
    println!(
        "{guessed} tokens guessed of random replies, {} of {} copied",
        copied.guessed_tokens, copied.generated_tokens
    );
    assert!(guessed > 0 && copied.guessed_tokens > 0);
}

#[test]
fn a_session_that_slides_forgets_whole_turns_and_keeps_its_instructions() {
    let model = Arc::new(Model::open(SMALL().path()).expect("a good file"));
    let options = SessionOptions {
        instructions: Some("be brief".into()),
        when_full: WhenFull::Slide,
        context: ContextOptions { max_positions: Some(160), ..context() },
        ..SessionOptions::default()
    };
    let session = Session::new(&model, options.clone()).expect("good options");
    let greedy =
        GenerationOptions { max_tokens: 20, sampler: SamplerOptions::greedy(), ..GenerationOptions::default() };
    let mut last = None;
    for i in 0..12 {
        last = Some(session.respond(format!("question {i}"), &greedy).expect("there is always room"));
    }
    let reply = last.expect("twelve turns");
    assert!(reply.messages_left_out >= 12, "{}", reply.messages_left_out);
    assert_eq!(session.transcript().len(), 25, "the transcript keeps all");
    // The same bits as in a conversation that never held them.
    let mut shown = session.transcript();
    shown.drain(1..1 + reply.messages_left_out);
    let fresh = Session::new(&model, options).expect("good options");
    fresh.set_transcript(shown).expect("idle");
    assert_eq!(fresh.respond(Input::Regenerate, &greedy).expect("there is room").text, reply.text);
    // A single message that does not fit is still an error.
    let long = session.respond("x".repeat(300), &greedy);
    assert!(matches!(long, Err(Error::ContextFull { .. })), "{long:?}");
}

#[test]
fn a_limit_on_memory_is_kept_and_trimming_gives_memory_back() {
    let options = sprat::OpenOptions { max_anonymous_bytes: Some(20 << 20), ..sprat::OpenOptions::default() };
    let model = Arc::new(Model::open_with(SMALL().path(), &options).expect("a good file"));
    let greedy =
        GenerationOptions { max_tokens: 20, sampler: SamplerOptions::greedy(), ..GenerationOptions::default() };
    let first = session(&model, false);
    let text = first.respond("hello", &greedy).expect("within the limit").text;
    assert!(model.anonymous_bytes() > 0 && model.anonymous_bytes() == first.memory().allocated);
    let mut others = Vec::new();
    let refused = loop {
        let other = session(&model, false);
        match other.respond("hello", &greedy) {
            Ok(reply) => assert_eq!(reply.text, text),
            Err(error) => break error,
        }
        others.push(other);
        assert!(others.len() < 100, "a limit there is");
    };
    assert!(matches!(refused, Error::OverBudget { limit, .. } if limit == 20 << 20), "{refused}");
    assert!(model.anonymous_bytes() <= 20 << 20);
    others.clear();
    let before = first.memory();
    first.trim(Trim::Buffers).expect("idle");
    assert_eq!((first.memory().scratch, first.memory().kv), (0, before.kv));
    first.trim(Trim::Pages).expect("idle");
    assert_eq!(model.anonymous_bytes(), 0);
    assert_eq!(first.respond(Input::Regenerate, &greedy).expect("it comes back").text, text);
}

#[test]
fn closing_a_model_stops_its_turns_and_lets_no_other_begin() {
    let model = Arc::new(Model::open(SMALL().path()).expect("a good file"));
    let session = session(&model, false);
    let stream = session.stream("hello", &GenerationOptions { max_tokens: 400, ..GenerationOptions::default() });
    model.close();
    assert!(matches!(stream.expect("idle").collect::<Result<Vec<_>, _>>(), Err(Error::Stopped)));
    assert!(matches!(session.respond("hello", &GenerationOptions::default()), Err(Error::Closed)));
}

#[test]
fn a_probe_says_from_the_header_what_opening_finds() {
    let path = SMALL().path();
    let bytes = std::fs::read(&path).expect("just written");
    let whole = Model::probe(&path).expect("supported");
    let header = &bytes[..whole.header_bytes as usize];
    let probe = sprat::Probe::of_header(header, bytes.len() as u64).expect("supported");
    let model = Model::open(&path).expect("a good file");
    assert_eq!(probe.family, model.info().family);
    assert_eq!(probe.kv_bytes(100), 100 * model.kv_bytes_per_position(KvFormat::F16) as u64);
    assert_eq!(probe.bytes_per_token, model.bytes_per_token());
    assert!((probe.max_tokens_per_s(1e9) * probe.bytes_per_token as f64 - 1e9).abs() < 1.0);
    let predicted = probe.predicted_tokens_per_s().expect("64 MB");
    assert_eq!(predicted, whole.predicted_tokens_per_s().expect("measured once"));
    println!("reads {:.1} GB/s", predicted * probe.bytes_per_token as f64 / 1e9);
    // From an emulator to the fastest memory there is.
    assert!((1e7..1e13).contains(&(predicted * probe.bytes_per_token as f64)), "{predicted}");
    assert!(matches!(sprat::Probe::of_header(&header[..1000], bytes.len() as u64), Err(Error::Gguf(_))));
    let mut other = header.to_vec();
    let at = other.windows(5).position(|part| part == b"llama").expect("the architecture");
    other[at..at + 5].copy_from_slice(b"mamba");
    assert!(matches!(sprat::Probe::of_header(&other, bytes.len() as u64), Err(Error::Architecture { .. })));
}
