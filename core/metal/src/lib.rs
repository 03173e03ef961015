//! The stages of a forward pass on Apple GPUs.
//!
//! [`Model::pass`] lists the dispatches of a pass as plain data: kernel, buffers with offsets, constants, grid, bytes moved. It
//! builds and runs on every system. A [`Player`] plays the list: on Apple `device` over candle's Metal device, in tests on Linux an
//! emulator that runs the shaders as C++.

mod attention;
mod attention_mat;
mod cache;
#[cfg(target_vendor = "apple")]
pub mod device;
mod dispatch;
mod embed;
mod formats;
mod heads;
mod matmat;
mod matvec;
mod model;
mod norm;
mod plan;
mod player;
mod top_k;
mod views;

pub use attention::slices;
pub use dispatch::{Binding, Buffer, Dispatch, Kernel};
pub use formats::Format;
pub use matmat::FEWEST_TOKENS as MATMAT_TOKENS;
pub use matvec::{Finish, Norm, Product};
pub use model::{Activation, Cache, Layer, Matrix, Model, Projection, QkNorm, Temperature, Unsupported};
pub use norm::add_normed;
pub use plan::Pass;
pub use player::{PAGE_BYTES, Player, Refused};
pub use top_k::{CHUNK as TOP_K_CHUNK, MAX_K};
pub use views::{View, views};

/// The shaders in the order in which they are compiled, one text behind the other: (file, text).
pub const SHADERS: [(&str, &str); 10] = [
    ("formats.metal", include_str!("../shaders/formats.metal")),
    ("matvec.metal", include_str!("../shaders/matvec.metal")),
    ("matmat.metal", include_str!("../shaders/matmat.metal")),
    ("norm.metal", include_str!("../shaders/norm.metal")),
    ("heads.metal", include_str!("../shaders/heads.metal")),
    ("cache.metal", include_str!("../shaders/cache.metal")),
    ("attention.metal", include_str!("../shaders/attention.metal")),
    ("attention_mat.metal", include_str!("../shaders/attention_mat.metal")),
    ("embed.metal", include_str!("../shaders/embed.metal")),
    ("top_k.metal", include_str!("../shaders/top_k.metal")),
];
