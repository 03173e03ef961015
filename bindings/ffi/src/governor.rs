//! What the platform tells of heat, battery, background and memory, and what it comes to.

use crate::error::FfiError;

/// How hot the device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Thermal {
    /// All is well.
    Nominal,
    /// The system would like less work.
    Fair,
    /// The system has begun to slow itself down.
    Serious,
    /// Parts are about to be switched off.
    Critical,
}

impl From<Thermal> for sprat::Thermal {
    fn from(thermal: Thermal) -> Self {
        match thermal {
            Thermal::Nominal => Self::Nominal,
            Thermal::Fair => Self::Fair,
            Thermal::Serious => Self::Serious,
            Thermal::Critical => Self::Critical,
        }
    }
}

/// How short of memory the device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum MemoryPressure {
    /// Nothing was heard.
    Normal,
    /// The system warned.
    Low,
    /// The app may be ended next.
    Critical,
}

impl From<MemoryPressure> for sprat::MemoryPressure {
    fn from(memory: MemoryPressure) -> Self {
        match memory {
            MemoryPressure::Normal => Self::Normal,
            MemoryPressure::Low => Self::Low,
            MemoryPressure::Critical => Self::Critical,
        }
    }
}

/// What the platform tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Conditions {
    /// Heat.
    pub thermal: Thermal,
    /// Whether the user asked to save the battery.
    pub battery_saver: bool,
    /// Whether the app is out of sight.
    pub background: bool,
    /// Memory.
    pub memory: MemoryPressure,
}

impl From<Conditions> for sprat::Conditions {
    fn from(told: Conditions) -> Self {
        let Conditions { thermal, battery_saver, background, memory } = told;
        Self { thermal: thermal.into(), battery_saver, background, memory: memory.into() }
    }
}

/// How fast turns may go, fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Pace {
    /// All workers.
    Full,
    /// Three quarters of them.
    Eased,
    /// One, and short batches.
    Slow,
    /// Nothing is computed until it changes.
    Paused,
}

impl From<sprat::Pace> for Pace {
    fn from(pace: sprat::Pace) -> Self {
        match pace {
            sprat::Pace::Full => Self::Full,
            sprat::Pace::Eased => Self::Eased,
            sprat::Pace::Slow => Self::Slow,
            sprat::Pace::Paused => Self::Paused,
        }
    }
}

/// How far a turn was held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Restraint {
    /// The slowest pace of the turn.
    pub slowest: Pace,
    /// How long it was paused, in milliseconds.
    pub paused_ms: u64,
}

impl From<sprat::Restraint> for Restraint {
    fn from(restraint: sprat::Restraint) -> Self {
        Self { slowest: restraint.slowest.into(), paused_ms: restraint.paused_ms }
    }
}

/// Tells all sessions of the process what the platform tells; at every change, from any thread.
#[uniffi::export]
pub fn set_conditions(conditions: Conditions) -> Result<(), FfiError> {
    sprat::governor().set(conditions.into());
    Ok(())
}

/// How fast a turn may go now.
#[uniffi::export]
pub fn pace() -> Result<Pace, FfiError> {
    Ok(sprat::governor().pace().into())
}
