//! What each layer of a model sees and how it rotates.

use super::keys::Keys;
use super::limits;
use super::recurrent::RecurrentConfig;
use super::rope::{RopeConfig, Scaling};
use super::spec::{Rotation, Spec, WindowRope, Windows};
use crate::error::Error;

/// One layer's dimensions.
#[derive(Clone, Debug)]
pub struct LayerConfig {
    /// Query heads; 0 in a recurrent layer.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`, or 0 in a recurrent layer.
    pub n_kv_heads: usize,
    /// Size of a query or key head; a multiple of 8.
    pub head_dim: usize,
    /// Size of a value head; a multiple of 8.
    pub value_dim: usize,
    /// How far back a query sees, itself included; none for all the way.
    pub window: Option<usize>,
    /// Index into [`Config::ropes`](super::Config::ropes); none where positions are not rotated.
    pub rope: Option<usize>,
    /// What stands for attention in a recurrent layer.
    pub recurrent: Option<RecurrentConfig>,
}

impl LayerConfig {
    /// Query heads that share a key head.
    pub fn group(&self) -> usize {
        self.n_heads.checked_div(self.n_kv_heads).unwrap_or(0)
    }

    /// Size of what attention, or what stands for it, puts out before its last projection.
    pub fn mixed_width(&self) -> usize {
        self.recurrent.as_ref().map_or(self.n_heads * self.value_dim, RecurrentConfig::width)
    }
}

/// The layers, each like `layer` but for its window and its rotation, and their distinct rotary embeddings, of which
/// `rope` is the one without windows.
pub fn plan(
    spec: &Spec,
    keys: &Keys<'_>,
    layer: &LayerConfig,
    n_layers: usize,
    rope: RopeConfig,
) -> Result<(Vec<LayerConfig>, Vec<RopeConfig>), Error> {
    let windows = spec.windows.filter(|windows| windows.only_with_layers.is_none_or(|n| n == n_layers));
    let window = match windows {
        Some(windows) => keys.count("attention.sliding_window", limits::CONTEXT)?.or(windows.default_width),
        None => None,
    };
    let windows = windows.zip(window.filter(|&width| width > 0));
    let rotates = match spec.rotation {
        Rotation::None => false,
        Rotation::BySwitch => keys.bool_or("rope.scaling.finetuned", true)?,
        Rotation::All | Rotation::Except { .. } => true,
    };
    let mut ropes = vec![rope];
    if let Some((windows, _)) = windows {
        ropes.extend(window_rope(&windows, keys, &ropes[0])?);
    }
    let of_windows = ropes.len() - 1;
    let layers = (0..n_layers).map(|index| {
        let left_out = matches!(spec.rotation, Rotation::Except { period } if index % period == period - 1);
        let (window, rope) = match windows {
            Some((windows, width)) if index % windows.period != windows.period - 1 => (Some(width), Some(of_windows)),
            Some((windows, _)) if windows.rope == WindowRope::Alone => (None, None),
            _ => (None, Some(0)),
        };
        LayerConfig { window, rope: rope.filter(|_| rotates && !left_out), ..layer.clone() }
    });
    Ok((layers.collect(), ropes))
}

/// The rotary embedding of layers with a window, where it is not that of the others.
fn window_rope(windows: &Windows, keys: &Keys<'_>, rope: &RopeConfig) -> Result<Option<RopeConfig>, Error> {
    let plain = RopeConfig { scaling: Scaling::Linear { factor: 1.0 }, ..rope.clone() };
    Ok(match windows.rope {
        WindowRope::Same | WindowRope::Alone => None,
        WindowRope::Plain => Some(plain),
        WindowRope::OwnBase => Some(RopeConfig { base: keys.rope_base("rope.freq_base_swa")?, ..plain }),
    })
}

/// Turns the layers that the family says are recurrent into such, lays out their states and returns the floats of all.
pub fn make_recurrent(spec: &Spec, keys: &Keys<'_>, dim: usize, layers: &mut [LayerConfig]) -> Result<usize, Error> {
    let mut state_len = 0;
    for (index, layer) in layers.iter_mut().enumerate() {
        let Some(kind) = spec.recurrent else { continue };
        if RecurrentConfig::is_at(spec, keys, index, layer.n_kv_heads)? {
            let recurrent = RecurrentConfig { state_at: state_len, ..RecurrentConfig::read(kind, keys, dim)? };
            state_len = recurrent.state_end();
            *layer = LayerConfig {
                n_heads: 0,
                n_kv_heads: 0,
                window: None,
                rope: None,
                recurrent: Some(recurrent),
                ..layer.clone()
            };
        }
    }
    Ok(state_len)
}
