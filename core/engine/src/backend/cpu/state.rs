//! What layers carry from token to token besides keys and values: one blob of floats for all layers, as it is now, as the
//! running pass leaves it, and as it was at a few checkpoints. A state only goes forward; going back takes a checkpoint.

use std::sync::Arc;

use super::ledger::{Charge, Ledger};
use super::shared::Shared;
use crate::error::Error;

/// Checkpoints that are kept. One is some 20 MB in a model with a gated delta net, and a conversation rarely goes back by
/// more than a turn or two.
const MAX_CHECKPOINTS: usize = 4;

/// The states of a sequence. Clones share the blobs.
#[derive(Default)]
pub struct States {
    now: Option<Arc<Blob>>,  // none before the first pass, where all are zero
    next: Option<Arc<Blob>>, // memory for the running pass to write; nobody else has it while one runs
    kept: Vec<Checkpoint>,   // by rising position
}

struct Blob {
    data: Shared<f32>,
    /// None where it lies in a file.
    charge: Option<Charge>,
}

#[derive(Clone)]
struct Checkpoint {
    position: usize,
    state: Option<Arc<Blob>>,
}

/// The state at one moment, to go back to when a series of passes fails.
pub struct Moment(Option<Arc<Blob>>);

impl Clone for States {
    fn clone(&self) -> Self {
        // What a pass will write is nobody's yet.
        Self { now: self.now.clone(), next: None, kept: self.kept.clone() }
    }
}

impl States {
    /// Most states that are held at once besides the one that is being written.
    pub const MOST: usize = MAX_CHECKPOINTS + 1;

    /// States that lie in a file, with the positions they belong to: checkpoints, and the last of them now.
    pub(super) fn of(blobs: Vec<(usize, Shared<f32>)>) -> Self {
        let checkpoint = |(position, data)| Checkpoint { position, state: Some(Arc::new(Blob { data, charge: None })) };
        let mut kept: Vec<Checkpoint> = blobs.into_iter().map(checkpoint).collect();
        Self { now: kept.pop().and_then(|last| last.state), next: None, kept }
    }

    /// All states that are held in a sequence of `len` tokens and the positions they belong to, as [`Self::of`] takes them.
    pub(super) fn held(&self, len: usize) -> impl Iterator<Item = (usize, &Shared<f32>)> {
        let kept = self.kept.iter().map(|checkpoint| (checkpoint.position, checkpoint.state.as_ref()));
        kept.chain([(len, self.now.as_ref())]).filter_map(|(position, state)| Some((position, &state?.data)))
    }

    /// Makes room for a pass over a model whose layers carry `len` floats, counted in `ledger`.
    pub fn reserve(&mut self, len: usize, ledger: &Arc<Ledger>) -> Result<(), Error> {
        let new = || {
            let (what, bytes) = ("state of the layers", 4 * len);
            let charge = Some(ledger.charge(what, bytes)?);
            let data = Shared::mapped_whole(len).ok_or(Error::OutOfMemory { what, bytes })?;
            Ok::<_, Error>(Some(Arc::new(Blob { data, charge })))
        };
        if len == 0 {
            return Ok(());
        }
        if self.now.is_none() {
            self.now = new()?;
        }
        if self.next.as_mut().and_then(Arc::get_mut).is_none_or(|next| next.charge.is_none()) {
            self.next = None;
            self.next = new()?;
        }
        Ok(())
    }

    /// The state before the running pass.
    pub fn now(&self) -> &Shared<f32> {
        &self.now.as_ref().expect("reserved before the pass").data
    }

    /// Where the running pass leaves the state after it. It writes all of it.
    pub fn next(&self) -> &Shared<f32> {
        &self.next.as_ref().expect("reserved before the pass").data
    }

    /// The pass went well: what it wrote is the state now.
    pub fn advance(&mut self) {
        std::mem::swap(&mut self.now, &mut self.next);
    }

    /// The state now.
    pub fn moment(&self) -> Moment {
        Moment(self.now.clone())
    }

    /// Goes back from wherever it is to the state of `moment`, at `position`.
    pub fn back_to(&mut self, moment: Moment, position: usize) {
        self.now = moment.0;
        self.kept.retain(|checkpoint| checkpoint.position <= position);
    }

    /// Keeps the state now, at `position`. The first and the latest checkpoints stay longest.
    pub fn keep(&mut self, position: usize) {
        if self.now.is_none() || self.kept.last().is_some_and(|last| last.position == position) {
            return;
        }
        if self.kept.len() == MAX_CHECKPOINTS {
            self.kept.remove(1);
        }
        self.kept.push(Checkpoint { position, state: self.now.clone() });
    }

    /// Goes back from `from` to `to` or, where there is no checkpoint, to the last one before it, and tells to where.
    pub fn rewind(&mut self, from: usize, to: usize) -> usize {
        if to >= from || self.now.is_none() {
            return to.min(from);
        }
        self.kept.retain(|checkpoint| checkpoint.position <= to);
        let last = self.kept.last().cloned();
        let Checkpoint { position, state } = last.unwrap_or(Checkpoint { position: 0, state: None });
        self.now = state;
        position
    }

    /// Bytes of it; what is shared counts in full.
    pub fn bytes(&self) -> usize {
        let kept = self.kept.iter().filter_map(|checkpoint| checkpoint.state.as_ref());
        self.now.iter().chain(&self.next).chain(kept).map(|state| state.data.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pass over `tokens` tokens whose state is how many there were.
    fn pass(states: &mut States, tokens: usize) {
        states.reserve(1, &Arc::default()).expect("memory");
        // SAFETY: no other thread has these.
        unsafe {
            let before = states.now().get(0..1)[0];
            states.next().get_mut(0..1)[0] = before + tokens as f32;
        }
        states.advance();
    }

    fn value(states: &States) -> f32 {
        // SAFETY: nobody writes it.
        states.now.as_ref().map_or(0.0, |now| unsafe { now.data.get(0..1)[0] })
    }

    #[test]
    fn a_pass_that_fails_leaves_the_state_as_it_was() {
        let mut states = States::default();
        pass(&mut states, 5);
        states.reserve(1, &Arc::default()).expect("memory");
        // SAFETY: no other thread has it.
        unsafe { states.next().get_mut(0..1)[0] = 99.0 };
        assert_eq!(value(&states), 5.0);
        pass(&mut states, 2);
        assert_eq!(value(&states), 7.0);
    }

    #[test]
    fn a_clone_and_a_moment_do_not_see_what_comes_after() {
        let mut states = States::default();
        pass(&mut states, 5);
        let (mut fork, moment) = (states.clone(), states.moment());
        (0..3).for_each(|_| pass(&mut states, 1));
        pass(&mut fork, 10);
        assert_eq!((value(&states), value(&fork)), (8.0, 15.0));
        states.back_to(moment, 5);
        assert_eq!(value(&states), 5.0);
        pass(&mut states, 1);
        assert_eq!((value(&states), value(&fork)), (6.0, 15.0));
    }

    #[test]
    fn going_back_ends_at_a_checkpoint() {
        let mut states = States::default();
        for position in 1..=20 {
            pass(&mut states, 1);
            if position % 5 == 0 {
                states.keep(position);
            }
        }
        assert_eq!(states.rewind(20, 25), 20);
        assert_eq!((states.rewind(20, 19), value(&states)), (15, 15.0));
        pass(&mut states, 1);
        assert_eq!((states.rewind(16, 15), value(&states)), (15, 15.0));
        assert_eq!((states.rewind(15, 9), value(&states)), (5, 5.0));
        assert_eq!((states.rewind(5, 4), value(&states)), (0, 0.0));
        pass(&mut states, 3);
        assert_eq!(value(&states), 3.0, "zero is a state too");
    }

    #[test]
    fn old_checkpoints_make_room_but_the_first_stays() {
        let mut states = States::default();
        for position in 1..=10 {
            pass(&mut states, 1);
            states.keep(position);
            states.keep(position);
        }
        let positions: Vec<usize> = states.kept.iter().map(|checkpoint| checkpoint.position).collect();
        assert_eq!(positions, [1, 8, 9, 10]);
        // Now, next and four checkpoints, of one float each; now is also the last checkpoint.
        assert_eq!(states.bytes(), 6 * 4);
    }

    #[test]
    fn a_model_without_states_goes_back_anywhere() {
        let mut states = States::default();
        states.reserve(0, &Arc::default()).expect("nothing to reserve");
        states.keep(7);
        assert_eq!((states.rewind(10, 6), states.bytes()), (6, 0));
    }
}
