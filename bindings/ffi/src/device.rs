//! What the device computes with, and the guard that an app may ask for.

use crate::error::FfiError;

/// What the engine found out about the device.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Device {
    /// Names of the instruction sets that there are kernels for, slowest first; the last is what is used.
    pub instruction_sets: Vec<String>,
    /// Worker threads, where a session names none.
    pub threads: u32,
}

/// What the engine found out about the device.
#[uniffi::export]
pub fn device() -> Result<Device, FfiError> {
    let instruction_sets = sprat::instruction_sets().map(str::to_owned).collect();
    Ok(Device { instruction_sets, threads: sprat::default_workers() as u32 })
}

/// From now on a model file that is shortened, or whose storage goes away, in the middle of a pass ends the turn and not the
/// process. It installs a handler of SIGBUS, for good; what is not about a model's file goes to the handler before it.
#[uniffi::export]
pub fn guard_mapped_files() -> Result<(), FfiError> {
    Ok(sprat::guard_mapped_files()?)
}
