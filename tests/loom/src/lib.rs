//! The engine's worker pool, the same source, over loom's threads, locks and atomics: `tests/models.rs` runs it in every
//! order that C++'s memory model allows. What is around it is here as plain as it can be.

/// The faults of the pool.
pub mod error {
    /// As the engine's.
    #[derive(Debug)]
    pub enum Error {
        /// As the engine's.
        Stopped,
        /// As the engine's.
        Internal {
            /// Which part.
            what: &'static str,
        },
        /// As the engine's.
        NoThread {
            /// What the system said.
            source: std::io::Error,
        },
    }
}

pub mod cpu;
