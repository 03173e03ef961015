//! Memory for what is as large as an input: an error where the system has none.

use super::Error;

/// Room for `more` elements behind those of `values`.
pub(crate) fn make_room<T>(values: &mut Vec<T>, more: usize, what: &'static str) -> Result<(), Error> {
    let bytes = values.len().saturating_add(more).saturating_mul(size_of::<T>());
    values.try_reserve(more).map_err(|_| Error::OutOfMemory { what, bytes })
}

/// An empty vector with room for `len` elements.
pub(crate) fn room<T>(len: usize, what: &'static str) -> Result<Vec<T>, Error> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(len)
        .map_err(|_| Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<T>()) })?;
    Ok(values)
}

/// A copy of `values`.
pub(crate) fn copied<T: Copy>(values: &[T], what: &'static str) -> Result<Vec<T>, Error> {
    let mut copy = room(values.len(), what)?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// Whether the system has `bytes` at this moment: asked before work whose many small allocations cannot be refused one by one.
pub(crate) fn expect_room(bytes: usize, what: &'static str) -> Result<(), Error> {
    room::<u8>(bytes, what).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_any_machine_has_is_an_error() {
        for len in [usize::MAX, usize::MAX / 8, 1 << 60] {
            assert!(matches!(room::<u64>(len, "x"), Err(Error::OutOfMemory { what: "x", .. })), "{len}");
            assert!(matches!(make_room(&mut vec![1u64], len, "x"), Err(Error::OutOfMemory { .. })), "{len}");
            assert!(matches!(expect_room(len, "x"), Err(Error::OutOfMemory { .. })), "{len}");
        }
        assert_eq!(copied(&[1, 2], "x").expect("eight bytes"), [1, 2]);
    }
}
