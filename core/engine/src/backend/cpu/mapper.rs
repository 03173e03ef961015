//! The pages of the weights enter the page tables a layer ahead of the first pass, on a thread of its own: the system takes 0.07 ms
//! for a megabyte of a file that is in memory already, half of an eight-token prompt's time, and much more where it is not.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crate::threads;

/// Bytes mapped at a time, so that who closes the model waits for no more than these.
const PIECE: usize = 2 << 20;

/// Enough for a loop and a call of the system.
const STACK_BYTES: usize = 64 << 10;

/// Bytes of one part of the file.
pub type Place = (usize, Range<usize>);

/// The thread, until the model is closed. It ends by itself behind the last layer.
pub struct Mapper {
    reached: Arc<Reached>,
    thread: Option<JoinHandle<()>>, // taken when it is joined
}

/// What the thread is told.
#[derive(Default)]
struct Reached {
    /// The last layer that may be mapped.
    layer: AtomicUsize,
    stop: AtomicBool,
}

impl Mapper {
    /// Begins with layer 0. `map` maps some bytes and says whether to go on. None where no thread is to be had: then pages are
    /// mapped as they are read.
    pub fn start(layers: Vec<Vec<Place>>, map: impl Fn(Place) -> bool + Send + 'static) -> Option<Self> {
        let reached = Arc::new(Reached::default());
        let told = reached.clone();
        let thread = threads::spawn("sprat-map", STACK_BYTES, Box::new(move || told.map_all(layers, map))).ok()?;
        Some(Self { reached, thread: Some(thread) })
    }

    /// A pass has come to `layer`: the one behind it may be mapped.
    pub fn reach(&self, layer: usize) {
        if self.reached.layer.load(Ordering::Relaxed) <= layer {
            self.reached.layer.store(layer + 1, Ordering::Release);
            self.thread.iter().for_each(|thread| thread.thread().unpark());
        }
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        self.reached.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It cannot have panicked but in `map`; then nothing more is mapped ahead, which is no fault.
            let _ = thread.join();
        }
    }
}

impl Reached {
    fn map_all(&self, layers: Vec<Vec<Place>>, map: impl Fn(Place) -> bool) {
        for (layer, places) in layers.into_iter().enumerate() {
            while self.layer.load(Ordering::Acquire) < layer {
                if self.stop.load(Ordering::Acquire) {
                    return;
                }
                thread::park();
            }
            for (part, bytes) in places {
                for from in bytes.clone().step_by(PIECE) {
                    if self.stop.load(Ordering::Acquire) || !map((part, from..bytes.end.min(from + PIECE))) {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    fn mapper(layers: usize) -> (Mapper, Receiver<Place>) {
        let (sender, receiver) = channel();
        let places = (0..layers).map(|layer| vec![(layer, 10..10 + PIECE + 1)]).collect();
        (Mapper::start(places, move |place| sender.send(place).is_ok()).expect("a thread"), receiver)
    }

    fn next(receiver: &Receiver<Place>) -> Place {
        receiver.recv_timeout(Duration::from_secs(60)).expect("mapped within a minute")
    }

    #[test]
    fn each_layer_is_mapped_in_pieces_when_the_one_before_is_reached_and_no_sooner() {
        let (mapper, mapped) = mapper(3);
        for layer in 0..3 {
            assert_eq!(next(&mapped), (layer, 10..10 + PIECE));
            assert_eq!(next(&mapped), (layer, 10 + PIECE..11 + PIECE));
            assert!(mapped.recv_timeout(Duration::from_millis(30)).is_err(), "beyond layer {layer}");
            mapper.reach(layer);
        }
        assert!(mapped.recv().is_err(), "behind the last layer the thread has ended by itself");
        mapper.reach(7);
    }

    #[test]
    fn closing_ends_the_wait_for_a_layer() {
        let (mapper, mapped) = mapper(2);
        next(&mapped);
        drop(mapper);
        assert!(mapped.iter().all(|(layer, _)| layer == 0));
    }
}
