//! How the mapped file becomes buffers without a copy: overlapping views, each within what the device takes.

use std::ops::Range;

/// A range of the mapped file that becomes one buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Bytes of the mapping, from one page of the system to another; the last one may end behind the file, within its last
    /// page.
    pub range: Range<u64>,
}

impl View {
    /// Where `range` of the file lies in this view; none if it does not lie in it as a whole.
    pub fn find(&self, range: &Range<u64>) -> Option<u64> {
        (self.range.start <= range.start && range.end <= self.range.end).then(|| range.start - self.range.start)
    }
}

/// Covers a mapping of `len` bytes with views of at most `max` bytes such that every range of `tensors` lies in one of them.
/// Views begin and end at multiples of `page`. None if a tensor with the pages around it is longer than `max`.
pub fn views(len: u64, max: u64, page: u64, tensors: &[Range<u64>]) -> Option<Vec<View>> {
    let up = |x: u64| x.next_multiple_of(page);
    let end = up(len);
    let mut sorted: Vec<&Range<u64>> = tensors.iter().collect();
    sorted.sort_by_key(|tensor| tensor.start);
    let max = max / page * page;
    let mut list: Vec<View> = Vec::new();
    let mut start = 0;
    while start < end {
        let stop = end.min(start.saturating_add(max));
        if stop <= start {
            return None;
        }
        list.push(View { range: start..stop });
        if stop == end {
            break;
        }
        // The next view begins with the first tensor that this one does not hold as a whole.
        let next = sorted.iter().find(|t| t.start >= start && t.end > stop).map_or(stop, |t| t.start / page * page);
        let next = next.min(stop);
        if next <= start {
            return None;
        }
        start = next;
    }
    let held = |tensor: &Range<u64>| list.iter().any(|view| view.find(tensor).is_some());
    tensors.iter().all(held).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 16384;

    /// Tensors of given lengths behind a header, 32-byte aligned as GGUF aligns them.
    fn tensors(lens: &[u64]) -> Vec<Range<u64>> {
        let mut at = 5000u64;
        let next = |len: &u64| {
            let start = at.next_multiple_of(32);
            at = start + len;
            start..at
        };
        lens.iter().map(next).collect()
    }

    #[test]
    fn a_file_that_fits_is_one_view_of_whole_pages() {
        let list = views(100_000, 1 << 30, PAGE, &tensors(&[40_000, 50_000])).expect("it fits");
        assert_eq!(list, [View { range: 0..7 * PAGE }]);
    }

    #[test]
    fn every_tensor_lies_in_a_view_and_every_view_within_the_limit() {
        let lens: Vec<u64> = (0..60).map(|i| 10_000 + 7919 * (i * i % 23)).collect();
        let tensors = tensors(&lens);
        let len = tensors.last().expect("some").end;
        for max in [200_000, 262_144, 300_001, 1_000_000, 10_000_000] {
            let list = views(len, max, PAGE, &tensors).expect("tensors are below the limit");
            assert_eq!((list[0].range.start, list.last().expect("some").range.end), (0, len.next_multiple_of(PAGE)));
            for pair in list.windows(2) {
                assert!(pair[1].range.start <= pair[0].range.end && pair[1].range.start > pair[0].range.start);
            }
            for view in &list {
                assert!(view.range.start % PAGE == 0 && view.range.end % PAGE == 0);
                assert!(view.range.end - view.range.start <= max);
            }
            for tensor in &tensors {
                let view = list.iter().find_map(|view| view.find(tensor).map(|at| view.range.start + at));
                assert_eq!(view, Some(tensor.start));
            }
        }
    }

    #[test]
    fn a_tensor_longer_than_the_limit_is_refused() {
        assert_eq!(views(1 << 20, 65_536, PAGE, &tensors(&[80_000])), None);
        assert_eq!(views(1 << 20, 100, PAGE, &[]), None);
    }

    #[test]
    fn an_empty_file_has_no_views() {
        assert_eq!(views(0, 1 << 20, PAGE, &[]), Some(Vec::new()));
    }
}
