//! What a session takes of memory, and how it gives it back.

/// Memory of a session and its model, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Memory {
    /// Size of the mapped model file.
    pub mapped: u64,
    /// How much of it is in memory.
    pub resident: u64,
    /// The session's KV cache; forks count in full what they share.
    pub kv: u64,
    /// The session's buffers for computing.
    pub scratch: u64,
    /// What all sessions of the model have allocated together, nothing of it twice.
    pub allocated: u64,
    /// Anonymous bytes of the whole process, by the system's own word; 0 where it does not tell.
    pub anonymous: u64,
}

impl From<sprat::Memory> for Memory {
    fn from(memory: sprat::Memory) -> Self {
        Self {
            mapped: memory.mapped as u64,
            resident: memory.resident as u64,
            kv: memory.kv as u64,
            scratch: memory.scratch as u64,
            allocated: memory.allocated as u64,
            anonymous: memory.anonymous as u64,
        }
    }
}

/// How much a session gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Trim {
    /// The buffers for computing; the next turn takes them anew.
    Buffers,
    /// And the KV cache; the next turn reads the conversation anew.
    Cache,
    /// And the pages of the model's file that are in memory; they are read anew as they are needed.
    Pages,
}

impl From<Trim> for sprat::Trim {
    fn from(trim: Trim) -> Self {
        match trim {
            Trim::Buffers => Self::Buffers,
            Trim::Cache => Self::Cache,
            Trim::Pages => Self::Pages,
        }
    }
}
