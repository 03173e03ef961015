//! A cache as a run of bytes in a file, and back from there without copying: the pages of each layer one after the other.

use std::ops::Range;
use std::sync::Arc;

use sprat_kernels::KvFormat;

use super::kv::{KvCache, PAGE, Page};
use super::shared::Shared;
use crate::config::LayerConfig;
use crate::file::SavedFile;

/// Pages in a file begin at multiples of it: one page of the system on every phone.
const FILE_ALIGN: usize = 16 * 1024;

/// Where the pages of a cache of some length lie in a file.
pub struct SavedPages {
    format: KvFormat,
    layers: Vec<(LayerConfig, usize, Vec<Range<usize>>)>, // (layer, length of a page in `u16`, bytes of each page)
    len: usize,
    len_bytes: usize,
}

impl SavedPages {
    /// The layout of `len` positions, stored as `format`.
    pub fn new(layers: &[LayerConfig], format: KvFormat, len: usize) -> Self {
        let mut at = 0;
        let mut place = |layer: &LayerConfig| {
            let values = Page::len(layer, format);
            let page = |_| {
                let start = at;
                at += (2 * values).next_multiple_of(FILE_ALIGN);
                start..start + 2 * values
            };
            let pages = if layer.has_kv() { len.div_ceil(PAGE) } else { 0 };
            (layer.clone(), values, (0..pages).map(page).collect())
        };
        let layers = layers.iter().map(&mut place).collect();
        Self { format, layers, len, len_bytes: at }
    }

    /// Bytes in all.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Hands the bytes of `cache` to `write` in order, padding included.
    pub fn each<E>(&self, cache: &KvCache, mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        // A cache that was never filled has no layers, and no pages to be written.
        for (pages, (_, _, places)) in cache.layers.iter().zip(&self.layers) {
            for (page, place) in pages.iter().zip(places) {
                // SAFETY: no pass runs on a cache that its owner lends out.
                write(unsafe { page.data.as_bytes() })?;
                write(&[0; FILE_ALIGN][..place.len().next_multiple_of(FILE_ALIGN) - place.len()])?;
            }
        }
        Ok(())
    }

    /// The cache whose bytes begin at `start_bytes` of a file. None if they do not fit into it.
    pub fn restore(&self, like: &KvCache, file: SavedFile, start_bytes: usize) -> Option<KvCache> {
        let mut cache = KvCache::empty(self.format, like.ledger.clone());
        for (layer, values, places) in &self.layers {
            let page = |place: &Range<usize>| {
                // SAFETY: nobody writes the mapping, since pages that are not counted in a ledger are copied before.
                let data = unsafe { Shared::part_of(file.map(), start_bytes + place.start, *values) }?;
                Some(Arc::new(Page::of(data, layer, self.format)))
            };
            cache.layers.push(places.iter().map(page).collect::<Option<_>>()?);
        }
        cache.len = self.len;
        cache.file = Some(Arc::new(file));
        Some(cache)
    }
}
