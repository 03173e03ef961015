//! A cache as a run of bytes in a file, and back from there without copying: the pages of each layer one after the other, then
//! the states of layers without attention.

use std::ops::Range;
use std::sync::Arc;

use sprat_kernels::KvFormat;

use super::kv::{KvCache, PAGE, Page};
use super::shared::Shared;
use super::state::States;
use crate::config::{Config, LayerConfig};
use crate::file::SavedFile;

/// Pages in a file begin at multiples of it: a line of the CPU's cache. They are never written where they lie.
const FILE_ALIGN: usize = 64;

/// What a cache in a file holds: how many tokens, and how they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedShape {
    /// Positions.
    pub len: usize,
    /// How each page of 64 positions is stored.
    pub formats: Vec<KvFormat>,
    /// The positions whose states are there, the last of them `len`; empty in models without states.
    pub states: Vec<usize>,
    /// From which position on the values are others than computing the tokens gives.
    pub approximate_from: Option<usize>,
}

impl SavedShape {
    /// `cache` as it is, or with all pages as `format`.
    pub fn of(cache: &KvCache, format: Option<KvFormat>) -> Self {
        let own = |page: &Arc<Page>| page.format;
        // Layers without attention have no pages.
        let pages = cache.layers.iter().find(|pages| !pages.is_empty()).map_or(&[][..], Vec::as_slice);
        let formats: Vec<KvFormat> = pages.iter().map(own).map(|own| format.unwrap_or(own)).collect();
        let changed = pages.iter().zip(&formats).position(|(page, format)| page.format != *format);
        let approximate_from = changed.map(|page| page * PAGE).into_iter().chain(cache.approximate_from).min();
        let states = cache.states.held(cache.len).map(|(position, _)| position).collect();
        Self { len: cache.len, formats, states, approximate_from }
    }

    /// Whether a cache of a model of `config` can be so.
    pub fn fits(&self, config: &Config) -> bool {
        let pages = if config.layers.iter().any(LayerConfig::has_kv) { self.len.div_ceil(PAGE) } else { 0 };
        let last = if config.state_len == 0 || self.len == 0 { None } else { Some(&self.len) };
        self.formats.len() == pages
            && self.formats.iter().all(|&format| KvCache::check_format(format, &config.layers).is_ok())
            && self.states.last() == last
            && self.states.is_sorted()
            && self.states.len() <= States::MOST
    }
}

/// Where the parts of such a cache lie in a file.
pub struct SavedPages {
    shape: SavedShape,
    layers: Vec<(LayerConfig, Vec<Range<usize>>)>, // (layer, bytes of each page)
    states: Vec<Range<usize>>,                     // bytes of each
    len_bytes: usize,
}

impl SavedPages {
    /// The layout of a cache of a model of `config`, which it fits.
    pub fn new(config: &Config, shape: SavedShape) -> Self {
        let mut at = 0;
        let mut place = |bytes: usize| {
            let start = at;
            at += bytes.next_multiple_of(FILE_ALIGN);
            start..start + bytes
        };
        let mut pages = |layer: &LayerConfig| {
            let formats = if layer.has_kv() { &shape.formats[..] } else { &[] };
            (layer.clone(), formats.iter().map(|&format| place(2 * Page::len(layer, format))).collect())
        };
        let layers = config.layers.iter().map(&mut pages).collect();
        let states = shape.states.iter().map(|_| place(4 * config.state_len)).collect();
        Self { shape, layers, states, len_bytes: at }
    }

    /// Bytes in all.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Hands the bytes of `cache`, of the same shape but for the formats, to `write` in order, padding included.
    pub fn each<E>(&self, cache: &KvCache, mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut padded = |bytes: &[u8]| {
            write(bytes)?;
            write(&[0; FILE_ALIGN][..bytes.len().next_multiple_of(FILE_ALIGN) - bytes.len()])
        };
        // A cache that was never filled has no layers, and no pages to be written.
        for (pages, (layer, _)) in cache.layers.iter().zip(&self.layers) {
            for (page, &format) in pages.iter().zip(&self.shape.formats) {
                if page.format == format {
                    // SAFETY: no pass runs on a cache that its owner lends out.
                    padded(unsafe { page.data.as_bytes() })?;
                } else {
                    let mut stored = vec![0; Page::len(layer, format)];
                    page.store_as(format, layer, &mut stored);
                    padded(&stored.iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<_>>())?;
                }
            }
        }
        for (_, state) in cache.states.held(self.shape.len) {
            // SAFETY: no pass runs on a cache that its owner lends out.
            padded(unsafe { state.as_bytes() })?;
        }
        Ok(())
    }

    /// The cache whose bytes begin at `start_bytes` of a file. None if they do not fit into it.
    pub fn restore(&self, like: &KvCache, file: SavedFile, start_bytes: usize) -> Option<KvCache> {
        let mut cache = KvCache::empty(like.format, like.home.clone());
        for (layer, places) in &self.layers {
            let page = |(place, &format): (&Range<usize>, &KvFormat)| {
                // SAFETY: nobody writes the mapping, since what is not counted in a ledger is copied or replaced before.
                let data = unsafe { Shared::part_of(file.map(), start_bytes + place.start, place.len() / 2) }?;
                Some(Arc::new(Page::of(data, layer, format)))
            };
            cache.layers.push(places.iter().zip(&self.shape.formats).map(page).collect::<Option<_>>()?);
        }
        let state = |(place, &position): (&Range<usize>, &usize)| {
            // SAFETY: as above.
            let data = unsafe { Shared::part_of(file.map(), start_bytes + place.start, place.len() / 4) }?;
            Some((position, data))
        };
        cache.states = States::of(self.states.iter().zip(&self.shape.states).map(state).collect::<Option<_>>()?);
        (cache.len, cache.approximate_from) = (self.shape.len, self.shape.approximate_from);
        cache.file = Some(Arc::new(file));
        Some(cache)
    }
}
