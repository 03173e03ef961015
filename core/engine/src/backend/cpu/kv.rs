//! The KV cache: pages of 64 positions per layer, shared by forks until one of them writes, and what layers without
//! attention carry instead.

use std::sync::Arc;

use sprat_kernels::{Isa, KvFormat, MAX_HEAD_DIM};

#[cfg(feature = "metal")]
use super::arena::Slot;
use super::home::Home;
use super::ledger::Charge;
use super::shared::Shared;
use super::state::{Moment, States};
use crate::config::{Config, LayerConfig};
use crate::error::Error;
use crate::file::SavedFile;

/// Positions of a page. Also the unit of the online softmax, so it must not change with anything.
pub const PAGE: usize = 64;

/// Keys and values of 64 positions of one layer, each stored as the format says: K `[n_kv_heads, 64, row_len(head_dim)]`, V
/// `[n_kv_heads, 64, row_len(value_dim)]`.
pub struct Page {
    pub(super) data: Shared<u16>,
    /// How they are stored.
    pub format: KvFormat,
    keys: usize,
    /// None where it lies in a file.
    charge: Option<Charge>,
    /// Its place in the arena, if it lies there.
    #[cfg(feature = "metal")]
    pub(super) slot: Option<Slot>,
}

impl Page {
    pub(super) fn new(layer: &LayerConfig, format: KvFormat, home: &Home) -> Result<Self, Error> {
        let len = Self::len(layer, format);
        let charge = home.ledger.charge("KV cache", 2 * len)?;
        #[cfg(feature = "metal")]
        if let Some((slot, data)) = home.arena.as_ref().and_then(|arena| arena.take(len)) {
            return Ok(Self { charge: Some(charge), slot: Some(slot), ..Self::of(data, layer, format) });
        }
        let data = Shared::mapped(len).ok_or(Error::OutOfMemory { what: "KV cache", bytes: 2 * len })?;
        Ok(Self { charge: Some(charge), ..Self::of(data, layer, format) })
    }

    /// A page whose values are in a file.
    pub(super) fn of(data: Shared<u16>, layer: &LayerConfig, format: KvFormat) -> Self {
        Self {
            data,
            format,
            keys: layer.n_kv_heads * PAGE * format.row_len(layer.head_dim),
            charge: None,
            #[cfg(feature = "metal")]
            slot: None,
        }
    }

    /// Length in `u16` of a layer's page.
    pub(super) fn len(layer: &LayerConfig, format: KvFormat) -> usize {
        layer.n_kv_heads * PAGE * (format.row_len(layer.head_dim) + format.row_len(layer.value_dim))
    }

    pub(super) fn copy(&self, layer: &LayerConfig, home: &Home) -> Result<Self, Error> {
        let mut page = Self::new(layer, self.format, home)?;
        // SAFETY: nobody writes a page while it is shared, and no pass is running on a cache that is being reserved.
        page.data.as_mut_slice().copy_from_slice(unsafe { self.data.get(0..self.data.len()) });
        Ok(page)
    }

    /// Stores all of it as `format` into `out`, as long as a page of that format.
    pub(super) fn store_as(&self, format: KvFormat, layer: &LayerConfig, out: &mut [u16]) {
        let mut at = (0, 0); // in `u16`, here and in `out`
        for dim in [layer.head_dim, layer.value_dim] {
            for _ in 0..layer.n_kv_heads * PAGE {
                let next = (at.0 + self.format.row_len(dim), at.1 + format.row_len(dim));
                // SAFETY: no pass runs on a cache that its owner lends out.
                let row = unsafe { self.data.get(at.0..next.0) };
                store_row((self.format, row), (format, &mut out[at.1..next.1]), dim, None);
                at = next;
            }
        }
    }

    /// Keys of one head, `[64, row_len(head_dim)]`.
    ///
    /// # Safety
    /// No worker writes this head's keys meanwhile.
    pub unsafe fn keys(&self, head: usize, layer: &LayerConfig) -> &[u16] {
        let size = PAGE * self.format.row_len(layer.head_dim);
        // SAFETY: passed on to the caller.
        unsafe { self.data.get(head * size..(head + 1) * size) }
    }

    /// Values of one head, `[64, row_len(value_dim)]`.
    ///
    /// # Safety
    /// No worker writes this head's values meanwhile.
    pub unsafe fn values(&self, head: usize, layer: &LayerConfig) -> &[u16] {
        let size = PAGE * self.format.row_len(layer.value_dim);
        // SAFETY: passed on to the caller.
        unsafe { self.data.get(self.keys + head * size..self.keys + (head + 1) * size) }
    }

    /// The place of one key, `[row_len(head_dim)]`.
    ///
    /// # Safety
    /// No other worker touches this head's keys meanwhile.
    #[expect(clippy::mut_from_ref, reason = "workers write disjoint heads of a page")]
    pub unsafe fn key_mut(&self, head: usize, row: usize, layer: &LayerConfig) -> &mut [u16] {
        let len = self.format.row_len(layer.head_dim);
        let start = (head * PAGE + row) * len;
        // SAFETY: passed on to the caller.
        unsafe { self.data.get_mut(start..start + len) }
    }

    /// The place of one value, `[row_len(value_dim)]`.
    ///
    /// # Safety
    /// No other worker touches this head's values meanwhile.
    #[expect(clippy::mut_from_ref, reason = "workers write disjoint heads of a page")]
    pub unsafe fn value_mut(&self, head: usize, row: usize, layer: &LayerConfig) -> &mut [u16] {
        let len = self.format.row_len(layer.value_dim);
        let start = self.keys + (head * PAGE + row) * len;
        // SAFETY: passed on to the caller.
        unsafe { self.data.get_mut(start..start + len) }
    }
}

/// What is done to the values of a key before they are stored again.
pub(super) type Change<'a> = dyn Fn(&mut [f32]) + 'a;

/// Stores a key or value of `dim` values as another format, after `change` if there is any.
pub(super) fn store_row(
    (from, row): (KvFormat, &[u16]),
    (to, out): (KvFormat, &mut [u16]),
    dim: usize,
    change: Option<&Change<'_>>,
) {
    if from == to && change.is_none() {
        return out.copy_from_slice(row);
    }
    // All sets give the same bits.
    let (isa, mut values) = (Isa::detect(), [0.0; MAX_HEAD_DIM]);
    let values = &mut values[..dim];
    isa.load_kv(from, row, values);
    if let Some(change) = change {
        change(values);
    }
    isa.store_kv(to, values, out);
}

/// What a sequence of tokens left in each layer. Cloning shares the pages.
#[derive(Clone)]
pub struct KvCache {
    pub(super) format: KvFormat,
    pub(super) layers: Vec<Vec<Arc<Page>>>, // [layer][page]
    pub(super) states: States,
    pub(super) len: usize,
    /// From this position on it holds other values than computing the tokens gives.
    pub(super) approximate_from: Option<usize>,
    pub(super) home: Home,
    /// The saved session that pages lie in, as long as there may be such pages.
    pub(super) file: Option<Arc<SavedFile>>,
}

/// A place in a sequence to come back to, as long as only more tokens follow.
pub struct Mark {
    len: usize,
    state: Moment,
}

impl KvCache {
    /// An empty cache that stores as `format` says, and whose pages come from `home`.
    ///
    /// # Errors
    /// A head of some layer cannot be stored so.
    pub fn new(format: KvFormat, layers: &[LayerConfig], home: Home) -> Result<Self, Error> {
        Self::check_format(format, layers)?;
        Ok(Self::empty(format, home))
    }

    /// Whether all heads can be stored as `format` says.
    pub fn check_format(format: KvFormat, layers: &[LayerConfig]) -> Result<(), Error> {
        let attending = layers.iter().filter(|layer| layer.has_kv());
        let mut dims = attending.flat_map(|layer| [layer.head_dim, layer.value_dim]);
        let odd = dims.find(|dim| !dim.is_multiple_of(format.multiple()));
        odd.map_or(Ok(()), |head_dim| Err(Error::KvFormat { format, head_dim }))
    }

    /// An empty cache of a format that was checked.
    pub(super) fn empty(format: KvFormat, home: Home) -> Self {
        Self { format, layers: Vec::new(), states: States::default(), len: 0, approximate_from: None, home, file: None }
    }

    /// How new pages store keys and values.
    #[cfg(feature = "metal")]
    pub fn format(&self) -> KvFormat {
        self.format
    }

    /// Positions that are filled.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it holds other values than computing the tokens gives: from a file that stores them more coarsely, or moved.
    pub fn is_approximate(&self) -> bool {
        self.approximate_from.is_some()
    }

    /// The pages of one layer.
    pub fn pages(&self, layer: usize) -> &[Arc<Page>] {
        &self.layers[layer]
    }

    /// What layers without attention carry.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// Makes room for a pass over `extra` positions after the filled ones, and copies the page that they begin in if a
    /// fork shares it or it lies in a file.
    pub fn reserve(&mut self, extra: usize, config: &Config) -> Result<(), Error> {
        let pages = (self.len + extra).div_ceil(PAGE);
        self.states.reserve(config.state_len, &self.home.ledger)?;
        self.layers.resize_with(config.layers.len(), Vec::new);
        for (own, layer) in self.layers.iter_mut().zip(&config.layers).filter(|(_, layer)| layer.has_kv()) {
            if let Some(page) = own.get_mut(self.len / PAGE)
                && Arc::get_mut(page).is_none_or(|page| page.charge.is_none())
            {
                *page = Arc::new(page.copy(layer, &self.home)?);
            }
            while own.len() < pages {
                own.push(Arc::new(Page::new(layer, self.format, &self.home)?));
            }
        }
        Ok(())
    }

    /// Counts the `n` positions of a pass that went well as filled.
    pub fn advance(&mut self, n: usize) {
        self.len += n;
        self.states.advance();
    }

    /// Where it is now.
    pub fn mark(&self) -> Mark {
        Mark { len: self.len, state: self.states.moment() }
    }

    /// Goes back to a mark from what followed it.
    pub fn back_to(&mut self, mark: Mark) {
        self.states.back_to(mark.state, mark.len);
        self.cut(mark.len);
    }

    /// Makes [`KvCache::rewind`] to this very position possible later.
    pub fn checkpoint(&mut self) {
        self.states.keep(self.len);
    }

    /// Forgets all positions from `len` on, and as many before it as it takes to find the layers' states kept: all of
    /// them at worst. Tells how many positions remain. Layers without states never cost any.
    pub fn rewind(&mut self, len: usize) -> usize {
        let len = self.states.rewind(self.len, len);
        self.cut(len);
        len
    }

    /// Asks whether pages are gone with the file that they lie in.
    pub fn is_lost(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.is_lost())
    }

    /// Whether pages are known to be gone.
    pub fn was_lost(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.was_lost())
    }

    fn cut(&mut self, len: usize) {
        self.len = len;
        if len == 0 {
            self.file = None;
        }
        self.approximate_from = self.approximate_from.filter(|&from| from < len);
        let pages = len.div_ceil(PAGE);
        self.layers.iter_mut().for_each(|own| own.truncate(pages));
    }

    /// Bytes of its pages and states; shared ones are counted in full.
    pub fn bytes(&self) -> usize {
        self.layers.iter().flatten().map(|page| page.data.bytes()).sum::<usize>() + self.states.bytes()
    }
}
