//! Where the stages of a forward pass are computed.

pub mod cpu;
#[cfg(feature = "metal")]
pub mod gpu;

/// What computes a model's passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// The GPU reads prompts, and writes where it was faster at a model's first tokens. The CPU does whatever it cannot: all of
    /// it where there is no GPU for the model, and always while the app is in the background.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU, and the CPU only where it refuses and while the app is in the background. Opening fails where there is no GPU
    /// for the model.
    Gpu,
}
