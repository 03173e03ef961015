//! What is made ready while the GPU works, and what need not be read back from it.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use sprat::{Backend, Context, GenerationOptions, Model, SamplerOptions, Session, SessionOptions};
use sprat_gguf::TensorKind;
use sprat_metal::{Buffer, Dispatch, Player, Refused};
use sprat_tests::small::Small;

use crate::players::{context, foreground, gpu, greedy, open, tokens};

/// What the engine asked of a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// A list made ready: whether it leaves the likeliest tokens.
    Encode {
        likeliest: bool,
    },
    Start,
    Wait,
}

type Log = Arc<Mutex<Vec<Asked>>>;

/// The GPU there is, and what it was asked. Where a list leaves the likeliest tokens, all logits are lost.
struct Logged {
    gpu: Box<dyn Player>,
    log: Log,
    logits: Option<NonNull<[u8]>>,
    ready: bool,
    runs: bool,
}

// SAFETY: an address that whoever binds it lets players use from any thread.
unsafe impl Send for Logged {}

impl Logged {
    fn note(&self, asked: Asked) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    }
}

impl Player for Logged {
    unsafe fn bind(&mut self, buffer: Buffer, memory: NonNull<[u8]>, tensors: &[Range<u64>]) -> Result<(), Refused> {
        if buffer == Buffer::Logits {
            self.logits = Some(memory);
        }
        // SAFETY: passed on to the caller.
        unsafe { self.gpu.bind(buffer, memory, tensors) }
    }

    fn release(&mut self, buffer: Buffer) {
        self.gpu.release(buffer);
    }

    fn encode(&mut self, list: &[Dispatch]) -> Result<(), Refused> {
        self.ready = list.iter().any(|dispatch| dispatch.kernel.stem == "top_k");
        self.note(Asked::Encode { likeliest: self.ready });
        self.gpu.encode(list)
    }

    fn start(&mut self) -> Result<(), Refused> {
        self.runs = self.ready;
        self.note(Asked::Start);
        self.gpu.start()
    }

    fn wait(&mut self) -> Result<(), Refused> {
        self.note(Asked::Wait);
        self.gpu.wait()?;
        if let Some(mut logits) = self.logits.filter(|_| self.runs) {
            // SAFETY: bound, and no list runs.
            unsafe { logits.as_mut() }.fill(0xff);
        }
        Ok(())
    }
}

fn logged() -> (Arc<Model>, Log) {
    let log = Log::default();
    let player = Logged { gpu: gpu(), log: log.clone(), logits: None, ready: false, runs: false };
    let path = Small { layers: 1, ..Small::new("llama", TensorKind::F16) }.path();
    (open(Box::new(player), path, Backend::Gpu), log)
}

fn taken(log: &Log) -> Vec<Asked> {
    std::mem::take(&mut log.lock().unwrap_or_else(PoisonError::into_inner))
}

fn feed(context: &mut Context, tokens: &[u32]) -> Vec<f32> {
    context.feed(tokens, &AtomicBool::new(false)).expect("it runs").to_vec()
}

#[test]
fn the_next_token_is_encoded_while_the_gpu_runs_and_its_logits_are_the_same() {
    let _foreground = foreground();
    let (model, log) = logged();
    let (prompt, reply) = (tokens(10), tokens(6));
    let [encode, start, wait] = [Asked::Encode { likeliest: false }, Asked::Start, Asked::Wait];

    let mut ahead = context(&model);
    let mut expected = vec![feed(&mut ahead, &prompt)];
    expected.extend(reply.iter().map(|&id| feed(&mut ahead, &[id])));
    // The prompt's list is encoded before it can start. From then on a list is ready when its token is known, and the one behind
    // it is encoded before anybody waits.
    let each = [start, encode, wait];
    assert_eq!(taken(&log), [&[encode][..], &each.repeat(1 + reply.len())].concat());

    // Nothing is ready where the buffers were given back before.
    let mut late = context(&model);
    let mut found = vec![feed(&mut late, &prompt)];
    taken(&log);
    for &id in &reply {
        late.release_scratch();
        found.push(feed(&mut late, &[id]));
        assert_eq!(taken(&log), [encode, start, encode, wait]);
    }
    assert_eq!(found, expected);
}

#[test]
fn what_was_made_ready_for_another_token_does_no_harm() {
    let _foreground = foreground();
    let (model, _) = logged();
    let prompt = tokens(12);
    let reply = tokens(5);
    let mut alone = context(&model);
    let mut expected = vec![feed(&mut alone, &prompt)];
    expected.extend(reply.iter().map(|&id| feed(&mut alone, &[id])));
    // Sequences in turn, of one length and of another; then back, and a few tokens at once.
    let [mut same, mut other] = [(); 2].map(|()| context(&model));
    assert_eq!(feed(&mut same, &prompt), expected[0]);
    feed(&mut other, &prompt[..9]);
    let mut twin = context(&model);
    feed(&mut twin, &prompt[2..]);
    feed(&mut twin, &prompt[..2]);
    for (i, &id) in reply.iter().enumerate() {
        assert_eq!(feed(&mut same, &[id]), expected[1 + i]);
        feed(&mut twin, &[prompt[i]]);
        feed(&mut other, &[id]);
    }
    assert_eq!(same.rewind(prompt.len()), prompt.len());
    assert_eq!(feed(&mut same, &reply[..1]), expected[1]);
    same.feed_all(&reply[1..4], &AtomicBool::new(false)).expect("it runs");
    for i in 0..3 {
        assert_near(same.row(i).expect("a row"), &expected[2 + i]);
    }
    assert_near(&feed(&mut same, &reply[4..]), &expected[5]);
}

/// Other kernels compute a few tokens at once, in f32 as those of single ones.
fn assert_near(found: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0.0, |m: f32, x| m.max(x.abs()));
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off <= 1e-3 * largest, "off by {off:e} of {largest:e}");
}

/// A reply, and how many of its lists left the likeliest tokens.
fn reply(model: &Arc<Model>, log: &Log, sampler: SamplerOptions) -> (String, usize, usize) {
    taken(log);
    let options = GenerationOptions { sampler, ..greedy(10) };
    let session = Session::new(model, SessionOptions::default()).expect("good options");
    let reply = session.respond("hi", &options).expect("there is room");
    let likeliest = taken(log).into_iter().filter(|asked| *asked == Asked::Encode { likeliest: true }).count();
    (reply.text, reply.generated_tokens, likeliest)
}

#[test]
fn the_gpu_s_likeliest_tokens_give_the_reply_that_all_logits_give() {
    let _foreground = foreground();
    let (model, log) = logged();
    let plain = SamplerOptions { seed: Some(3), ..SamplerOptions::default() };
    let cases = [
        SamplerOptions::greedy(),
        plain.clone(),
        SamplerOptions { top_k: 1, ..plain.clone() },
        SamplerOptions { temperature: 2.0, top_k: 256, top_p: 1.0, min_p: 0.0, ..plain.clone() },
        SamplerOptions { temperature: 1.5, top_k: 100, typical_p: 0.7, seed: Some(9), ..plain.clone() },
    ];
    for sampler in cases {
        let (text, tokens, likeliest) = reply(&model, &log, sampler.clone());
        assert!(likeliest >= tokens, "{sampler:?}: {likeliest} lists of {tokens} tokens");
        // A bias of nothing changes nothing, but then all logits are looked at.
        let all = SamplerOptions { logit_bias: vec![(5, 0.0)], ..sampler.clone() };
        assert_eq!(reply(&model, &log, all), (text, tokens, 0), "{sampler:?}");
    }
    // Penalties, and more tokens than a GPU keeps.
    for sampler in
        [SamplerOptions { repetition_penalty: 1.3, ..plain.clone() }, SamplerOptions { top_k: 257, ..plain.clone() }]
    {
        assert_eq!(reply(&model, &log, sampler).2, 0);
    }
}
