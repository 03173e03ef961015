//! The attention stage: a single token's pages are shared out by head and page, a batch by head and tokens.

use std::ops::Range;
use std::sync::atomic::Ordering;

use sprat_kernels::{Attend, KvFormat, State};

use super::buffers::{Local, QUERY_BLOCK};
use super::kv::{PAGE, Page};
use super::pass::{CHUNK_BYTES, Pass, Worker};
use crate::config::{Config, LayerConfig};
use crate::error::Error;

impl Worker<'_> {
    /// Stage 2: attention over the cache.
    pub fn attention(&mut self, index: usize) -> Result<(), Error> {
        let dims = &self.pass.config.layers[index];
        if dims.recurrent.is_some() {
            return Ok(());
        }
        if self.single() {
            self.attention_of_one(index, dims);
        } else {
            let blocks = self.rows.len().div_ceil(QUERY_BLOCK);
            while let Some(chunk) = self.team.chunk(dims.n_kv_heads * blocks, 1) {
                for item in chunk {
                    let first = self.rows.start + item % blocks * QUERY_BLOCK;
                    let rows = first..(first + QUERY_BLOCK).min(self.rows.end);
                    self.attention_of_block(index, dims, item / blocks, rows);
                }
            }
        }
        self.team.barrier()
    }

    /// First position that a query at `position` sees.
    fn first_seen(dims: &LayerConfig, position: usize) -> usize {
        dims.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// One item for each page and kv head, as they lie in memory; who finishes a head's last page merges them, in ascending order.
    fn attention_of_one(&mut self, index: usize, dims: &LayerConfig) {
        let Pass { cache, .. } = *self.pass;
        let position = cache.len() + self.rows.start;
        let first = Self::first_seen(dims, position);
        let pages = first / PAGE..position / PAGE + 1;
        let page_bytes = 2 * PAGE * (dims.head_dim + dims.value_dim);
        let size = (CHUNK_BYTES / page_bytes).max(1);
        let items = pages.len() * dims.n_kv_heads;
        while let Some(chunk) = self.team.chunk(items, size) {
            for item in chunk {
                let place = |item: usize| (pages.start + item / dims.n_kv_heads, item % dims.n_kv_heads);
                let (page, head) = place(item);
                let seen = visible(page, first, position);
                self.attention_of_page(index, dims, (page, head), place((item + 1).min(items - 1)), seen);
                let done = &self.pass.buffers.partials.done[head];
                // Acquire and release: the last one sees what the others wrote.
                if done.fetch_add(1, Ordering::AcqRel) + 1 == pages.len() {
                    done.store(0, Ordering::Relaxed);
                    self.merge_pages(index, dims, head, pages.clone());
                }
            }
        }
    }

    /// A page and kv head, and which will be next.
    fn attention_of_page(
        &mut self,
        index: usize,
        dims: &LayerConfig,
        (page, head): (usize, usize),
        next: (usize, usize),
        seen: (u32, u32),
    ) {
        let Pass { isa, config, cache, buffers, .. } = *self.pass;
        let group = dims.group();
        let start = (head * buffers.rows + self.rows.start) * group * dims.head_dim;
        self.local.ranges[..group].fill(seen);
        let memory = cache.pages(dims.kv_of.unwrap_or(index));
        // SAFETY: this worker has the item in its chunk; queries and cache come from the stage before.
        let (mut state, q, kv, next) = unsafe {
            let state = buffers.partials.state(page * dims.n_heads + head * group, group, dims.value_dim);
            let q = buffers.q.get(start..start + group * dims.head_dim);
            (state, q, Kv::of(&memory[page], head, dims), memory[next.0].keys(next.1, dims))
        };
        state.reset();
        let attend = Attend { next, ..attend_args(config, dims, q, &self.local.ranges[..group], kv) };
        isa.attend(&attend, &mut state, &mut self.local.scratch);
    }

    /// Merges the pages of one kv head's queries into the first, and leaves the result as the token's attention.
    fn merge_pages(&mut self, index: usize, dims: &LayerConfig, head: usize, pages: Range<usize>) {
        let Pass { isa, buffers, .. } = *self.pass;
        let group = dims.group();
        let slot = |page: usize| page * dims.n_heads + head * group;
        // SAFETY: the head's pages are all done, and only this worker saw the last one being done.
        unsafe {
            let mut state = buffers.partials.state(slot(pages.start), group, dims.value_dim);
            for page in pages.start + 1..pages.end {
                isa.merge(&mut state, &buffers.partials.state(slot(page), group, dims.value_dim));
            }
            let start = (self.rows.start * dims.n_heads + head * group) * dims.value_dim;
            isa.finish(
                &state,
                self.pass.sinks(index, head, group),
                buffers.attended.get_mut(start..start + group * dims.value_dim),
            );
        }
    }

    /// Some tokens of a batch and one kv head, all pages in order.
    fn attention_of_block(&mut self, index: usize, dims: &LayerConfig, head: usize, rows: Range<usize>) {
        let Pass { isa, config, cache, buffers, .. } = *self.pass;
        let group = dims.group();
        let queries = rows.len() * group;
        let start = (head * buffers.rows + rows.start) * group * dims.head_dim;
        let Local { m, l, acc, ranges, scratch, .. } = &mut *self.local;
        let (m, l, acc) = (&mut m[..queries], &mut l[..queries], &mut acc[..queries * dims.value_dim]);
        let mut state = State { m, l, acc };
        state.reset();
        let position = |row: usize| cache.len() + row;
        let first = Self::first_seen(dims, position(rows.start));
        for page in first / PAGE..position(rows.end - 1) / PAGE + 1 {
            for (row, ranges) in rows.clone().zip(ranges.chunks_exact_mut(group)) {
                ranges.fill(visible(page, Self::first_seen(dims, position(row)), position(row)));
            }
            let memory = &cache.pages(dims.kv_of.unwrap_or(index))[page];
            // SAFETY: queries and cache come from the stage before.
            let (q, kv) = unsafe {
                let q = buffers.q.get(start..start + queries * dims.head_dim);
                (q, Kv::of(memory, head, dims))
            };
            isa.attend(&attend_args(config, dims, q, &ranges[..queries], kv), &mut state, scratch);
        }
        let width = dims.n_heads * dims.value_dim;
        for (i, row) in rows.enumerate() {
            let part = row * width + head * group * dims.value_dim;
            // SAFETY: these heads of these tokens are this worker's item.
            let out = unsafe { buffers.attended.get_mut(part..part + group * dims.value_dim) };
            let (heads, values) = (i * group..(i + 1) * group, i * group * dims.value_dim);
            let own = State {
                m: &mut state.m[heads.clone()],
                l: &mut state.l[heads],
                acc: &mut state.acc[values..values + group * dims.value_dim],
            };
            isa.finish(&own, self.pass.sinks(index, head, group), out);
        }
    }
}

impl<'a> Pass<'a> {
    /// The sinks of the query heads that share key head `head`.
    fn sinks(&self, index: usize, head: usize, group: usize) -> Option<&'a [f32]> {
        let sinks = self.weights.layers[index].attention()?.sinks.as_ref()?;
        Some(&sinks.get(self.file)[head * group..(head + 1) * group])
    }
}

/// One head's part of a page.
struct Kv<'a> {
    format: KvFormat,
    k: &'a [u16],
    v: &'a [u16],
}

impl<'a> Kv<'a> {
    /// # Safety
    /// No worker writes this head's keys or values meanwhile.
    unsafe fn of(page: &'a Page, head: usize, dims: &LayerConfig) -> Self {
        // SAFETY: passed on to the caller.
        unsafe { Self { format: page.format, k: page.keys(head, dims), v: page.values(head, dims) } }
    }
}

fn attend_args<'a>(
    config: &Config,
    dims: &LayerConfig,
    q: &'a [f32],
    ranges: &'a [(u32, u32)],
    Kv { format, k, v }: Kv<'a>,
) -> Attend<'a> {
    let (dk, dv, scale, soft_cap) = (dims.head_dim, dims.value_dim, config.attention_scale, config.attention_cap);
    Attend { q, ranges, format, k, v, next: k, dk, dv, scale, soft_cap }
}

/// The part of a page that a query at `position` sees when it sees from `first` on.
fn visible(page: usize, first: usize, position: usize) -> (u32, u32) {
    let start = page * PAGE;
    let clip = |p: usize| p.clamp(start, start + PAGE) - start;
    (clip(first) as u32, clip(position + 1) as u32)
}
