//! Random operations on sessions against a plain model that computes everything anew from the transcript: the same bits,
//! nothing left behind, no deadlock. A process to itself, because it looks at the memory of the whole process.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use sprat::chat::{Chat, Message, Role};
use sprat::sampler::Sampler;
use sprat::{
    Context, ContextOptions, Error, Event, GenerationOptions, Input, KvFormat, Model, SamplerOptions, Session,
    SessionOptions, SpecialTokens, StopReason, Trim, WhenFull, process_anonymous_bytes,
};
use sprat_gguf::TensorKind;
use sprat_tests::scenario;
use sprat_tests::scratch;
use sprat_tests::small::{Random, Small};

/// A model, and how much is done with it.
#[derive(Clone)]
struct Plan {
    model: Arc<Model>,
    /// Operations of the single-threaded run, and of each of four threads.
    operations: usize,
    operations_of_four: usize,
    /// Positions of the smallest context; others have up to 80 more.
    least_context: usize,
    instructions: &'static str,
    words: &'static [&'static str],
}

/// Operations with the bundled model, for longer runs than every day's:
/// `SPRAT_MACHINE_OPERATIONS=5000 cargo test -p sprat-tests --test machine -- --nocapture`.
const OPERATIONS: &str = "SPRAT_MACHINE_OPERATIONS";

/// Other CPUs are tested under emulation: twenty times slower, and the process's memory is the emulator's.
const EMULATED: bool = !cfg!(target_arch = "x86_64");

/// Makes glibc give memory back when it is freed; read when a process starts.
const GIVE_BACK: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "32768"), ("MALLOC_TRIM_THRESHOLD_", "65536")];

fn plans() -> [Plan; 2] {
    let open = |path: PathBuf| Arc::new(Model::open(path).expect("a good file"));
    let small = Small { layers: 1, ..Small::new("llama", TensorKind::Q8_0) };
    let asked = std::env::var(OPERATIONS).ok().map(|n| n.parse::<usize>().expect("a number of operations"));
    let operations = asked.unwrap_or(if EMULATED { 30 } else { 300 });
    [
        Plan {
            model: open(small.path()),
            operations: if EMULATED { 60 } else { 1500 },
            operations_of_four: if EMULATED { 20 } else { 300 },
            least_context: 120,
            instructions: "be brief",
            words: &["the ", "cat ", "sat ", "on ", "a mat ", "\u{e9}t\u{e9} ", "why? "],
        },
        Plan {
            model: open(scenario::bundled()),
            operations,
            operations_of_four: operations.div_ceil(5),
            least_context: 80,
            instructions: scenario::BUNDLED_INSTRUCTIONS,
            words: &[
                "set a timer ",
                "for five minutes ",
                "wake me up ",
                "at seven ",
                "tomorrow ",
                "\u{e9}t\u{e9} ",
                "7:15 ",
            ],
        },
    ]
}

/// A conversation as plain data, and what a reply to it is by the book: render, tokenize, feed all, choose.
#[derive(Clone, Debug)]
struct Book {
    messages: Vec<Message>,
    left_out: usize,
    limit: usize,
    slides: bool,
    kv_format: KvFormat,
}

struct Answer {
    message: Message,
    prompt_tokens: usize,
    generated: usize,
    left_out: usize,
    /// Whether it came to its end before the context did.
    complete: bool,
}

impl Book {
    fn start(&self) -> usize {
        usize::from(self.messages.first().is_some_and(|first| first.role == Role::System))
    }

    fn shown(&self, left_out: usize) -> Vec<Message> {
        let (instructions, rest) = self.messages.split_at(self.start());
        [instructions, &rest[left_out..]].concat()
    }

    fn ids(&self, model: &Model, left_out: usize) -> Vec<u32> {
        let shown = self.shown(left_out);
        let tokenizer = model.tokenizer();
        let token = |id: Option<u32>| id.map(|id| tokenizer.text(&[id]).expect("an id of the vocabulary"));
        let (bos, eos) = (token(tokenizer.bos()), token(tokenizer.eos()));
        let chat = Chat { bos_token: bos.as_deref(), eos_token: eos.as_deref(), ..Chat::new(&shown) };
        let text = model.template().expect("the file has one").render(&chat).expect("plain messages");
        let adds_bos = tokenizer.adds_bos() && bos.is_none_or(|bos| bos.is_empty() || !text.starts_with(&bos));
        tokenizer.encode(&text, SpecialTokens::Parse, adds_bos).expect("every byte has a token")
    }

    /// The longest part of the conversation that leaves room, by trying each beginning in turn.
    fn fit(&self, model: &Model, left_out: usize, generated: usize, room: usize) -> Option<usize> {
        let needs = |left_out| self.ids(model, left_out).len() + generated;
        if needs(left_out) + room <= self.limit {
            return Some(left_out);
        }
        let rest = &self.messages[self.start()..];
        let users = rest.iter().enumerate().filter(|(_, message)| message.role == Role::User).map(|(i, _)| i);
        let later: Vec<usize> = users.filter(|&i| i > left_out).collect();
        let mut best = left_out;
        if self.slides {
            let enough = later.iter().find(|&&turn| needs(turn) <= self.limit / 2);
            best = *enough.or(later.last()).unwrap_or(&left_out);
        }
        (needs(best) < self.limit).then_some(best)
    }

    /// None where the context is too small even for its beginning.
    fn answer(&self, model: &Arc<Model>, options: &GenerationOptions) -> Option<Answer> {
        let never = AtomicBool::new(false);
        let context = context_options(self.limit, self.kv_format);
        let room = if self.slides { options.max_tokens.min(self.limit / 4) } else { 1 };
        let mut left_out = self.fit(model, self.left_out, 0, room)?;
        let mut ids = self.ids(model, left_out);
        let prompt_tokens = ids.len();
        let mut sampler = Sampler::new(options.sampler.clone(), model.config().vocabulary).expect("good options");
        ids.iter().for_each(|&id| sampler.accept(id));
        let context_of = |ids: &[u32]| {
            let mut fresh = Context::new(model.clone(), &context).expect("good options");
            fresh.feed(ids, &never).expect("it fits").to_vec()
        };
        let (mut generated, mut bytes, mut complete) = (Vec::new(), Vec::new(), true);
        while generated.len() < options.max_tokens {
            if ids.len() > self.limit {
                let Some(fitting) = self.fit(model, left_out, generated.len(), 1) else {
                    complete = false;
                    break;
                };
                left_out = fitting;
                ids = [self.ids(model, left_out), generated.clone()].concat();
            }
            let id = sampler.sample(&mut context_of(&ids)).expect("some token is possible");
            generated.push(id);
            if model.tokenizer().is_end(id) {
                break;
            }
            sampler.accept(id);
            model.tokenizer().token_bytes(id, &mut bytes).expect("an id of the vocabulary");
            ids.push(id);
        }
        let message = Message::new(Role::Assistant, String::from_utf8_lossy(&bytes));
        Some(Answer { message, prompt_tokens, generated: generated.len(), left_out, complete })
    }

    /// What an input makes of the conversation; none where it does not fit.
    fn with(&self, input: &Input) -> Option<Self> {
        let mut next = self.clone();
        match input {
            Input::Text(text) => next.messages.push(Message::new(Role::User, text.clone())),
            Input::Regenerate => {
                next.messages.pop_if(|last| last.role == Role::Assistant);
                next.messages.last().filter(|last| last.role == Role::User)?;
            }
            Input::Edit { index, text } => {
                next.messages.get(*index).filter(|message| message.role == Role::User)?;
                next.messages.truncate(*index);
                next.messages.push(Message::new(Role::User, text.clone()));
            }
            Input::ToolResults(_) => unreachable!("there are no tools"),
        }
        next.show_last();
        Some(next)
    }

    fn show_last(&mut self) {
        let rest = &self.messages[self.start()..];
        let last = rest.iter().rposition(|message| message.role == Role::User).unwrap_or(0);
        self.left_out = self.left_out.min(last);
    }
}

/// A session and what it should be.
struct Pair {
    session: Session,
    book: Book,
}

/// One run of random operations.
struct Run {
    plan: Plan,
    random: Random,
    pairs: Vec<Pair>,
    file: PathBuf,
    replies: usize,
    cancels: usize,
    refused: usize,
}

fn context_options(limit: usize, kv_format: KvFormat) -> ContextOptions {
    ContextOptions { threads: Some(1), max_positions: Some(limit), kv_format, ..ContextOptions::default() }
}

fn session_options(limit: usize, slides: bool, kv_format: KvFormat) -> SessionOptions {
    SessionOptions {
        when_full: if slides { WhenFull::Slide } else { WhenFull::Fail },
        context: context_options(limit, kv_format),
        ..SessionOptions::default()
    }
}

impl Run {
    fn new(plan: &Plan, seed: u64) -> Self {
        let file = scratch::file(&format!("machine-{seed}"));
        let random = Random(seed);
        let mut run = Self { plan: plan.clone(), random, pairs: vec![], file, replies: 0, cancels: 0, refused: 0 };
        run.pairs = vec![run.new_pair(), run.new_pair()];
        run
    }

    fn new_pair(&mut self) -> Pair {
        let (limit, slides) = (self.plan.least_context + self.random.below(80), self.random.below(2) == 0);
        let kv_format = [KvFormat::F16, KvFormat::Q8_0, KvFormat::Q4_0][self.random.below(3)];
        let instructions = Some(self.plan.instructions.to_owned());
        let options = SessionOptions { instructions, ..session_options(limit, slides, kv_format) };
        let session = Session::new(&self.plan.model, options).expect("good options");
        Pair { book: Book { messages: session.transcript(), left_out: 0, limit, slides, kv_format }, session }
    }

    fn text(&mut self) -> String {
        let words = self.plan.words;
        (0..1 + self.random.below(5)).map(|_| words[self.random.below(words.len())]).collect()
    }

    fn generation(&mut self) -> GenerationOptions {
        let seeded = SamplerOptions { seed: Some(self.random.bits()), ..SamplerOptions::default() };
        let penalties = SamplerOptions { repetition_penalty: 1.2, ..seeded.clone() };
        let choices = [SamplerOptions::greedy(), SamplerOptions::greedy(), seeded, penalties];
        let sampler = choices[self.random.below(choices.len())].clone();
        GenerationOptions { max_tokens: 1 + self.random.below(12), sampler, ..GenerationOptions::default() }
    }

    fn input(&mut self, book: &Book) -> Input {
        match self.random.below(5) {
            0 => Input::Regenerate,
            1 => Input::Edit { index: self.random.below(book.messages.len() + 1), text: self.text() },
            _ => Input::Text(self.text()),
        }
    }

    fn step(&mut self) {
        let at = self.random.below(self.pairs.len());
        let Pair { session, mut book } = self.pairs.swap_remove(at);
        let mut session = session;
        match self.random.below(16) {
            0..6 => self.respond(&session, &mut book),
            6..9 => self.cancel(&session, &mut book),
            9 => {
                let undone = session.undo().expect("idle");
                let last = book.messages.iter().rposition(|message| message.role == Role::User);
                assert_eq!(undone.is_some(), last.is_some());
                book.messages.truncate(last.unwrap_or(book.messages.len()));
                book.show_last();
            }
            10 if self.pairs.len() < 4 => {
                let fork = Pair { session: session.fork().expect("idle"), book: book.clone() };
                self.pairs.push(fork);
            }
            11 => {
                session.save(&self.file).expect("there is room on the disk");
                let options = session_options(book.limit, book.slides, book.kv_format);
                session = Session::restore(&self.plan.model, &self.file, options).expect("just written");
            }
            12 => {
                let levels = [Trim::Buffers, Trim::Cache, Trim::Pages];
                session.trim(levels[self.random.below(3)]).expect("idle");
            }
            13 => {
                let text = (self.random.below(3) > 0).then(|| self.text());
                session.set_instructions(text.as_deref()).expect("idle");
                book.messages.splice(..book.start(), text.map(|text| Message::new(Role::System, text)));
            }
            14 if self.pairs.len() > 1 => {
                session.close();
                assert!(matches!(session.respond("x", &GenerationOptions::default()), Err(Error::Closed)));
                return;
            }
            _ => {
                let new = self.new_pair();
                if self.pairs.len() < 4 {
                    self.pairs.push(new);
                }
            }
        }
        assert_eq!(session.transcript(), book.messages);
        self.pairs.push(Pair { session, book });
    }

    fn respond(&mut self, session: &Session, book: &mut Book) {
        let (input, options) = (self.input(book), self.generation());
        let expected =
            book.with(&input).map(|next| (next.answer(&self.plan.model, &options).filter(|a| a.complete), next));
        match (session.respond(input.clone(), &options), expected) {
            (Ok(reply), Some((Some(answer), next))) => {
                let found = (reply.text.as_str(), reply.prompt_tokens, reply.generated_tokens, reply.messages_left_out);
                let Answer { message, prompt_tokens, generated, left_out, .. } = answer;
                let due = (message.content.as_str(), prompt_tokens, generated, left_out);
                assert_eq!(found, due, "{input:?} {options:?} {book:?}");
                *book = Book { left_out, ..next };
                book.messages.push(message);
                self.replies += 1;
            }
            (Err(Error::ContextFull { .. }), Some((None, _))) | (Err(Error::Transcript { .. }), None) => {
                self.refused += 1;
            }
            (found, expected) => panic!("{found:?}, expected {:?}", expected.map(|(answer, _)| answer.is_some())),
        }
    }

    /// A turn that is stopped, dropped or kept after some events.
    fn cancel(&mut self, session: &Session, book: &mut Book) {
        let (input, mut options) = (self.input(book), self.generation());
        let Some(next) = book.with(&input) else { return };
        let how = self.random.below(3);
        options.keep_partial = how == 0;
        let mut stream = session.stream(input, &options).expect("idle");
        for _ in 0..self.random.below(6) {
            if !matches!(stream.next(), Some(Ok(Event::Text(_)))) {
                break;
            }
        }
        self.cancels += 1;
        if how == 2 {
            drop(stream);
            // Whether the turn had ended before is not known: the transcript tells, and it is whole either way.
            session.trim(Trim::Buffers).expect("waits until it has ended");
        } else {
            session.stop();
            let mut last = None;
            for event in stream {
                last = Some(event);
            }
            if how == 0
                && let Some(Ok(Event::Done(reply))) = &last
            {
                assert!(reply.stop != StopReason::StopString);
            }
        }
        let transcript = session.transcript();
        if transcript == book.messages {
            return;
        }
        // Committed: what is there is the beginning of what would have come, or all of it.
        let answer = next.answer(&self.plan.model, &options).expect("it began");
        let (kept, before) = transcript.split_last().expect("not empty");
        assert_eq!(before, next.messages);
        let whole = answer.complete && kept.content == answer.message.content;
        let kept_part = kept.content.trim_end_matches('\u{fffd}');
        assert!(whole || options.keep_partial && answer.message.content.starts_with(kept_part), "{kept:?}");
        // A part may have been written before the conversation slid on: only the session knows.
        let left_out = if whole { answer.left_out } else { session.messages_left_out() };
        *book = Book { messages: transcript, left_out, ..next };
    }
}

/// Four threads with sessions of their own, all on one model.
fn four_at_once(plan: &Plan, operations: usize, first_seed: u64) {
    std::thread::scope(|scope| {
        for seed in first_seed..first_seed + 4 {
            scope.spawn(move || {
                let mut run = Run::new(plan, seed);
                (0..operations).for_each(|_| run.step());
                assert!(run.replies > operations / 8);
                // It may never have been saved.
                let _removed = std::fs::remove_file(&run.file);
            });
        }
    });
    assert_eq!(plan.model.anonymous_bytes(), 0, "every page and buffer was given back");
}

#[test]
fn random_operations_give_the_bits_of_a_conversation_computed_anew() {
    if !EMULATED && std::env::var_os(GIVE_BACK[0].0).is_none() {
        let own = std::env::current_exe().expect("this program");
        let again = std::process::Command::new(own).arg("--nocapture").envs(GIVE_BACK).status();
        return assert!(again.expect("this program starts again").success());
    }
    plans().iter().for_each(run_plan);
}

fn run_plan(plan: &Plan) {
    let (operations, start) = (plan.operations, Instant::now());
    four_at_once(plan, plan.operations_of_four / 2, 100);
    let before = process_anonymous_bytes();
    let mut run = Run::new(plan, 1);
    for _ in 0..operations {
        run.step();
    }
    println!("{operations} operations: {} replies, {} cancels, {} refused", run.replies, run.cancels, run.refused);
    assert!(run.replies > operations / 8 && run.cancels > operations / 10 && run.refused > operations / 50);
    // It may never have been saved.
    let _removed = std::fs::remove_file(&run.file);
    drop(run);
    assert_eq!(plan.model.anonymous_bytes(), 0, "every page and buffer was given back");
    four_at_once(plan, plan.operations_of_four, 2);
    let grown = process_anonymous_bytes().saturating_sub(before);
    let seconds = start.elapsed().as_secs();
    println!("four times {} at once; anonymous bytes grew by {grown}; {seconds} s", plan.operations_of_four);
    // What small pieces that are left in between keep of the heap; a page of each turn's cache would be 80 MB.
    assert!(EMULATED || grown < 4 << 20, "{grown}");
}
