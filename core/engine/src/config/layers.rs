//! What each layer of a model sees and how it rotates.

use super::keys::Keys;
use super::limits;
use super::recurrent::RecurrentConfig;
use super::rope::{RopeConfig, Scaling};
use super::spec::{Rotation, SharedKv, Spec, WindowRope, Windows};
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
    /// Width of the feed-forward part that every token goes through.
    pub feed_forward: usize,
    /// How many standard deviations above their mean gates must be to pass; none where all do.
    pub sparsity: Option<f32>,
    /// The layer whose keys and values it uses; none where it has its own.
    pub kv_of: Option<usize>,
    /// What stands for attention in a recurrent layer.
    pub recurrent: Option<RecurrentConfig>,
}

impl LayerConfig {
    /// Whether it has keys and values of its own.
    pub fn has_kv(&self) -> bool {
        self.n_kv_heads > 0 && self.kv_of.is_none()
    }

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
    let listed = windows.filter(|(windows, _)| windows.listed).map(|_| {
        let size = |key, of_others, limit| keys.dimension_or(key, of_others, limit);
        let head_dim = size("attention.key_length_swa", layer.head_dim, limits::HEAD_DIM)?;
        let value_dim = size("attention.value_length_swa", layer.value_dim, limits::HEAD_DIM)?;
        for (key, value) in [("attention.key_length_swa", head_dim), ("attention.value_length_swa", value_dim)] {
            keys.require(key, value, value.is_multiple_of(8), "head sizes are multiples of 8")?;
        }
        let key = "attention.sliding_window_pattern";
        let pattern = keys.switches(key, n_layers)?.ok_or_else(|| keys.missing(key))?;
        Ok::<_, Error>((pattern, LayerConfig { head_dim, value_dim, ..layer.clone() }))
    });
    let listed = listed.transpose()?;
    let layers = (0..n_layers).map(|index| {
        if let (Some((pattern, narrow)), Some((_, width))) = (&listed, windows) {
            let of_window = LayerConfig { window: Some(width), rope: Some(of_windows), ..narrow.clone() };
            return if pattern[index] { of_window } else { layer.clone() };
        }
        let left_out = matches!(spec.rotation, Rotation::Except { period } if index % period == period - 1);
        let (window, rope) = match windows {
            Some((windows, width)) if index % windows.period != windows.period - 1 => (Some(width), Some(of_windows)),
            Some((windows, _)) if windows.rope == WindowRope::Alone => (None, None),
            _ => (None, Some(0)),
        };
        LayerConfig { window, rope: rope.filter(|_| rotates && !left_out), ..layer.clone() }
    });
    let layers: Vec<_> = layers.collect();
    // Heads of layers with a window have a size of their own, and what they rotate comes from another key or from the other layers.
    for (rope, head_dim) in layers.iter().filter_map(|layer| Some((layer.rope?, layer.head_dim))) {
        let dims = ropes[rope].dims;
        keys.require("rope.dimension_count_swa", dims, dims <= head_dim, "more than a head has")?;
    }
    Ok((layers, ropes))
}

/// The rotary embedding of layers with a window, where it is not that of the others.
fn window_rope(windows: &Windows, keys: &Keys<'_>, rope: &RopeConfig) -> Result<Option<RopeConfig>, Error> {
    let plain = RopeConfig { scaling: Scaling::Linear { factor: 1.0 }, ..rope.clone() };
    Ok(match windows.rope {
        WindowRope::Same | WindowRope::Alone => None,
        WindowRope::Plain => Some(plain),
        WindowRope::OwnBase => {
            let dims = keys.dimension_or("rope.dimension_count_swa", rope.dims, limits::HEAD_DIM)?;
            keys.require("rope.dimension_count_swa", dims, dims.is_multiple_of(2), "values rotate in pairs")?;
            Some(RopeConfig { base: keys.rope_base("rope.freq_base_swa")?, dims, factors: false, ..plain })
        }
    })
}

/// Lets the last layers use the keys and values of earlier ones, where the family says so.
pub fn share_kv(spec: &Spec, keys: &Keys<'_>, layers: &mut [LayerConfig]) -> Result<(), Error> {
    let own = match spec.shared_kv {
        None => layers.len(),
        Some(SharedKv::ByKey) => {
            let key = "attention.shared_kv_layers";
            layers.len() - keys.count(key, layers.len())?.unwrap_or(0)
        }
        Some(SharedKv::From(first)) => first.min(layers.len()),
    };
    for index in own..layers.len() {
        let is_windowed = layers[index].window.is_some();
        let of = layers[..own].iter().rposition(|layer| layer.window.is_some() == is_windowed);
        let LayerConfig { head_dim, value_dim, n_kv_heads, .. } = layers[index];
        let fits = |of: usize| {
            let other = &layers[of];
            (other.head_dim, other.value_dim, other.n_kv_heads) == (head_dim, value_dim, n_kv_heads)
        };
        keys.require("attention.shared_kv_layers", layers.len() - own, of.is_some_and(fits), "no layer fits")?;
        layers[index].kv_of = of;
    }
    Ok(())
}

/// Lets only large gates pass in the layers for which the family, or the file, says so.
pub fn make_sparse(spec: &Spec, keys: &Keys<'_>, layers: &mut [LayerConfig]) -> Result<(), Error> {
    let Some(usual) = spec.sparsity else { return Ok(()) };
    let key = "activation_sparsity_scale";
    let listed = keys.f32_per_layer(key, layers.len())?;
    for (index, layer) in layers.iter_mut().enumerate() {
        let deviations = match &listed {
            Some(listed) => listed[index],
            None => {
                if index < usual.layers {
                    usual.deviations
                } else {
                    0.0
                }
            }
        };
        keys.require(key, deviations, deviations.is_finite() && deviations >= 0.0, "not a number of deviations")?;
        layer.sparsity = Some(deviations).filter(|&deviations| deviations > 0.0);
    }
    Ok(())
}

/// Turns the layers that the family says are recurrent into such, lays out their states and returns the floats of all.
pub fn make_recurrent(spec: &Spec, keys: &Keys<'_>, dim: usize, layers: &mut [LayerConfig]) -> Result<usize, Error> {
    let Some(kind) = spec.recurrent else { return Ok(0) };
    let mut state_len = 0;
    let listed = keys.switches("attention.recurrent_layers", layers.len())?;
    for (index, layer) in layers.iter_mut().enumerate() {
        let is_recurrent = match &listed {
            Some(listed) => listed[index],
            None => RecurrentConfig::is_at(kind, keys, index, layer.n_kv_heads)?,
        };
        keys.require("attention.head_count_kv", 0, is_recurrent || layer.n_kv_heads > 0, "attention needs heads")?;
        if is_recurrent {
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
