//! Passes that a model's GPU does in place of the CPU.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Context;
use crate::backend::cpu::Head;
use crate::backend::gpu::{Fault, Left, Pass, Side, Work};
use crate::error::Error;
use crate::governor::governor;

impl Context {
    /// Lets the GPU do a pass for which there is room in the cache; tells whether it did. If not, the cache is as before and
    /// the pass is the CPU's.
    pub(super) fn pass_on_gpu(
        &mut self,
        tokens: &[u32],
        wanted: usize,
        head: Option<&dyn Head>,
        stop: &AtomicBool,
    ) -> Result<bool, Error> {
        let model = self.model.clone();
        let Some(gpu) = model.gpu.as_ref().filter(|gpu| gpu.takes(self.kv_format())) else { return Ok(false) };
        // iOS ends what an app sends to the GPU from the background.
        if governor().conditions().background {
            return Ok(false);
        }
        // A prompt's passes want the logits of its last token at most; a few tokens that all want theirs are guesses.
        let guesses = wanted > 1 && tokens.len() < sprat_metal::MATMAT_TOKENS as usize;
        let work = if tokens.len() == 1 || guesses { Work::Writing } else { Work::Reading };
        if gpu.choice.side(work) == Side::Cpu || !self.cache.adopt(&model.config)? {
            return Ok(false);
        }
        governor().admit(&mut self.restraint, || stop.load(Ordering::Relaxed));
        if head.is_none() {
            self.prepare(self.len() + tokens.len(), wanted.max(1))?;
        }
        let started = Instant::now();
        let Self { cache, ropes, scratch, .. } = self;
        let likeliest = head.and_then(|head| head.likeliest());
        let pass = Pass { tokens, wanted, likeliest, cache, ropes, ledger: &model.home.ledger, stop };
        let done = gpu.pass(&pass, |left| match (left, head, scratch) {
            (Left::Likeliest(tokens), Some(head), _) => head.take_likeliest(&tokens),
            (Left::Logits(logits), Some(head), _) => head.take(0, 0, logits),
            (Left::Logits(logits), None, Some(scratch)) => {
                scratch.logits.as_mut_slice()[..logits.len()].copy_from_slice(logits);
            }
            _ => {}
        });
        // Zeros may have been computed with.
        model.file.check()?;
        match done {
            Ok(()) => gpu.choice.served(),
            Err(Fault::Stopped) => return Err(Error::Stopped),
            Err(Fault::Refused(reason)) => {
                log::warn!("the CPU goes on: {reason}");
                gpu.choice.refused();
                return Ok(false);
            }
        }
        if tokens.len() == 1 {
            gpu.choice.observe(Side::Gpu, started.elapsed());
        }
        self.cache.advance(tokens.len());
        self.computed.gpu_tokens += tokens.len();
        Ok(true)
    }
}
