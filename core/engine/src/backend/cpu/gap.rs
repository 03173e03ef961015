//! Closes a gap in the cache: what stood behind it moves up, values as they are, keys turned back by the gap's length.
//!
//! A rotated key at position `p` is the unrotated one turned by `p` angles, so turning it by the difference gives the key
//! of the new position, up to the rounding of storing it once more. It still knows what stood in the gap, in all
//! layers but the first: that is what makes the cache approximate.

use std::ops::Range;
use std::sync::Arc;

use sprat_kernels::Isa;

use super::kv::{Change, KvCache, PAGE, Page, store_row};
use crate::config::{Config, LayerConfig, Rope};
use crate::error::Error;

impl KvCache {
    /// Forgets the positions of `gap` and all from `gap.end + behind` on; `behind` positions move to where the gap began.
    pub fn close_gap(
        &mut self,
        gap: Range<usize>,
        behind: usize,
        config: &Config,
        ropes: &[Rope],
    ) -> Result<(), Error> {
        assert!(config.state_len == 0 && gap.end + behind <= self.len, "moved positions are there");
        let len = gap.start + behind;
        let angles: Vec<_> = ropes.iter().map(|rope| rope.back_by(gap.len())).collect();
        let mut layers = Vec::new();
        for (old, layer) in self.layers.iter().zip(&config.layers) {
            let pages = if layer.has_kv() { len.div_ceil(PAGE) } else { 0 };
            let mut new = old[..pages.min(gap.start / PAGE)].to_vec();
            let turn = layer.rope.map(|rope| {
                let (cos, sin) = &angles[rope];
                |key: &mut [f32]| Isa::detect().rope(key, cos, sin, config.spec.pairing)
            });
            let turn = turn.as_ref().map(|turn| turn as &Change<'_>);
            for index in new.len()..pages {
                let page = Page::new(layer, self.format, &self.home)?;
                for position in (index * PAGE..len).take(PAGE) {
                    let is_behind = position >= gap.start;
                    let from = if is_behind { position + gap.len() } else { position };
                    move_position(
                        &old[from / PAGE],
                        from % PAGE,
                        &page,
                        position % PAGE,
                        layer,
                        turn.filter(|_| is_behind),
                    );
                }
                new.push(Arc::new(page));
            }
            layers.push(new);
        }
        (self.layers, self.len) = (layers, len);
        self.approximate_from = Some(self.approximate_from.map_or(gap.start, |from| from.min(gap.start)));
        Ok(())
    }
}

/// Copies keys and values of one position to a row of `page`, a new one, keys after `turn`.
fn move_position(old: &Page, old_row: usize, page: &Page, row: usize, layer: &LayerConfig, turn: Option<&Change<'_>>) {
    let part = |dim: usize| {
        let len = old.format.row_len(dim);
        old_row * len..(old_row + 1) * len
    };
    for head in 0..layer.n_kv_heads {
        // SAFETY: no pass writes the old page, and the new one is nobody else's yet.
        let (keys, values, key, value) = unsafe {
            let (keys, values) = (old.keys(head, layer), old.values(head, layer));
            (keys, values, page.key_mut(head, row, layer), page.value_mut(head, row, layer))
        };
        store_row((old.format, &keys[part(layer.head_dim)]), (page.format, key), layer.head_dim, turn);
        store_row((old.format, &values[part(layer.value_dim)]), (page.format, value), layer.value_dim, None);
    }
}
