//! One range of addresses for the pages of all sequences of a model, so that a GPU sees them as one buffer. Only what was
//! ever used of it takes memory, and what is given back is the system's again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};

use super::kv::{KvCache, Page};
use super::shared::Shared;
use crate::config::Config;
use crate::error::Error;

/// Slots of one size.
pub struct Arena {
    map: Arc<MmapRaw>,
    slot_bytes: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    /// Slots that were given back; the lowest are taken first.
    free: BinaryHeap<Reverse<usize>>,
    /// From here on none was ever taken.
    end: usize,
}

/// A slot that is taken, until this is dropped.
pub struct Slot {
    arena: Arc<Arena>,
    index: usize,
}

impl Arena {
    /// With so many slots; none where the system has no such range of addresses.
    pub fn new(slot_bytes: usize, slots: usize) -> Option<Arc<Self>> {
        let bytes = slot_bytes.checked_mul(slots).filter(|&bytes| bytes > 0)?;
        let map = MmapOptions::new().len(bytes).no_reserve_swap().map_anon().ok()?;
        Some(Arc::new(Self { map: Arc::new(map.into()), slot_bytes, used: Mutex::default() }))
    }

    /// The lowest free slot, the first `len` values of it zero; none if they do not fit or all are taken.
    pub fn take(self: &Arc<Self>, len: usize) -> Option<(Slot, Shared<u16>)> {
        if 2 * len > self.slot_bytes {
            return None;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let (index, is_new) = match used.free.pop() {
            Some(Reverse(index)) => (index, false),
            None if (used.end + 1) * self.slot_bytes > self.map.len() => return None,
            None => (used.end, true),
        };
        used.end = used.end.max(index + 1);
        drop(used);
        let slot = Slot { arena: self.clone(), index };
        if !is_new {
            #[cfg(target_vendor = "apple")]
            slot.advise(UncheckedAdvice::FreeReuse);
        }
        // SAFETY: nobody else has the slot.
        let mut data = unsafe { Shared::part_of(&self.map, index * self.slot_bytes, len) }?;
        if !is_new {
            data.as_mut_slice().fill(0);
        }
        Some((slot, data))
    }

    /// The range from its beginning on in which all slots lie that were ever taken, and a quarter more at most, so that it
    /// changes seldom.
    pub fn reached(&self) -> NonNull<[u8]> {
        let end = self.used.lock().unwrap_or_else(PoisonError::into_inner).end.max(1);
        let step = (end / 4).max(1);
        // A power of two not above the step, so that lengths repeat.
        let step = 1 << step.ilog2();
        let len = (end.next_multiple_of(step) * self.slot_bytes).min(self.map.len());
        let start = NonNull::new(self.map.as_mut_ptr()).expect("a mapping is not at address 0");
        NonNull::slice_from_raw_parts(start, len)
    }
}

impl Slot {
    /// Where it begins in its arena, in bytes.
    pub fn start_bytes(&self) -> usize {
        self.index * self.arena.slot_bytes
    }

    fn advise(&self, advice: UncheckedAdvice) {
        let Arena { map, slot_bytes, .. } = &*self.arena;
        // SAFETY: nobody reads or writes the slot: who had it is gone, who will have it is yet to come.
        let advised = unsafe { map.unchecked_advise_range(advice, self.start_bytes(), *slot_bytes) };
        if let Err(error) = advised {
            log::debug!("a slot's memory stays: {error}");
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        #[cfg(target_vendor = "apple")]
        self.advise(UncheckedAdvice::FreeReusable);
        #[cfg(not(target_vendor = "apple"))]
        self.advise(UncheckedAdvice::DontNeed);
        self.arena.used.lock().unwrap_or_else(PoisonError::into_inner).free.push(Reverse(self.index));
    }
}

impl KvCache {
    /// Brings pages that lie elsewhere into the arena, as those of a saved session. False if it has no room for one, or one is
    /// stored otherwise than new ones are: then the cache is as good as before, but no GPU can use it.
    pub fn adopt(&mut self, config: &Config) -> Result<bool, Error> {
        for (own, layer) in self.layers.iter_mut().zip(&config.layers).filter(|(_, layer)| layer.has_kv()) {
            for page in own.iter_mut().filter(|page| page.slot.is_none()) {
                if page.format != self.format {
                    return Ok(false);
                }
                let copy = page.copy(layer, &self.home)?;
                if copy.slot.is_none() {
                    return Ok(false);
                }
                *page = Arc::new(copy);
            }
        }
        Ok(true)
    }

    /// Where the pages of each layer begin in the arena, in bytes, those of a cache that was adopted.
    pub fn places(&self) -> impl Iterator<Item = impl Iterator<Item = usize>> {
        let place = |page: &Arc<Page>| page.slot.as_ref().map_or(0, Slot::start_bytes);
        self.layers.iter().map(move |pages| pages.iter().map(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_apart_zero_and_taken_again() {
        let arena = Arena::new(16384, 3).expect("address space");
        let (first, mut data) = arena.take(8192).expect("room");
        data.as_mut_slice().fill(7);
        let (second, mut other) = arena.take(100).expect("room");
        assert!(other.as_mut_slice().iter().all(|&x| x == 0));
        other.as_mut_slice().fill(9);
        assert_eq!((first.start_bytes(), second.start_bytes()), (0, 16384));
        assert!(data.as_mut_slice().iter().all(|&x| x == 7));
        assert!(arena.take(8193).is_none(), "longer than a slot");
        let third = arena.take(1).expect("room");
        assert!(arena.take(1).is_none(), "all are taken");
        drop((data, first));
        let (again, mut data) = arena.take(8192).expect("given back");
        assert_eq!(again.start_bytes(), 0);
        assert!(data.as_mut_slice().iter().all(|&x| x == 0));
        drop(third);
    }

    #[test]
    fn what_is_reached_grows_in_steps_and_not_beyond_the_whole() {
        let arena = Arena::new(16384, 37).expect("address space");
        assert_eq!(arena.reached().len(), 16384);
        let mut lens = Vec::new();
        let mut slots = Vec::new();
        while let Some(slot) = arena.take(1) {
            slots.push(slot);
            lens.push(arena.reached().len() / 16384);
        }
        assert!(lens.iter().zip(1..).all(|(&len, taken)| len >= taken && len <= taken + taken / 4), "{lens:?}");
        assert_eq!(lens.last(), Some(&37));
        lens.dedup();
        assert!(lens.len() < 20, "{lens:?}");
    }
}
