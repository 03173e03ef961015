//! Which type each tensor gets.
//!
//! A quantized file is a mixture: what costs quality most gets more bits. The rules are those of llama.cpp (facts read in
//! `llama-quant.cpp` as of llama-cpp-python 0.3.36), so that a file made here has the size and the types that its name
//! promises. Left out: its rules for importance matrices, for 70B models and for kinds of models that Sprat does not run.

use sprat_gguf::{Tensor, TensorKind};

/// A mixture by the name that files bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the field knows these mixtures by these names")]
pub enum Mixture {
    /// No blocks, half precision.
    F16,
    /// 8 bits everywhere.
    Q8_0,
    /// 6 bits everywhere.
    Q6_K,
    /// 5 bits, 6 where they help.
    Q5_K_M,
    /// 4 bits, 6 where they help.
    Q4_K_M,
    /// 4 bits, 6 for the output.
    Q4_0,
}

/// What the choice depends on beside names and shapes.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// `general.architecture`.
    pub architecture: &'a str,
    /// `block_count`.
    pub n_layers: u64,
    /// `expert_count`; 0 in dense models.
    pub n_experts: u64,
}

impl Mixture {
    const ALL: [(Self, &'static str, TensorKind, u32); 6] = [
        // The last column is `enum llama_ftype` in llama.h.
        (Self::F16, "F16", TensorKind::F16, 1),
        (Self::Q8_0, "Q8_0", TensorKind::Q8_0, 7),
        (Self::Q6_K, "Q6_K", TensorKind::Q6_K, 18),
        (Self::Q5_K_M, "Q5_K_M", TensorKind::Q5_K, 17),
        (Self::Q4_K_M, "Q4_K_M", TensorKind::Q4_K, 15),
        (Self::Q4_0, "Q4_0", TensorKind::Q4_0, 2),
    ];

    fn row(self) -> &'static (Self, &'static str, TensorKind, u32) {
        Self::ALL.iter().find(|row| row.0 == self).expect("ALL has every mixture")
    }

    /// The mixture of a name, in capitals or not.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|row| row.1.eq_ignore_ascii_case(name)).map(|row| row.0)
    }

    /// The type of most tensors.
    fn base(self) -> TensorKind {
        self.row().2
    }

    /// The value of `general.file_type`.
    pub fn file_type(self) -> u32 {
        self.row().3
    }
}

/// The parts of a layer that the rules tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Output,
    Embedding,
    /// Attention's values, alone or fused with others.
    Value,
    Key,
    AttentionOutput,
    Down,
    Other,
}

impl Part {
    fn of(name: &str) -> Self {
        let has = |part: &str| name.contains(part);
        match name {
            "output.weight" => Self::Output,
            "token_embd.weight" | "per_layer_token_embd.weight" => Self::Embedding,
            _ if has("attn_v.weight") || has("attn_qkv.weight") || has("attn_kv_b.weight") => Self::Value,
            _ if has("attn_k.weight") => Self::Key,
            _ if has("attn_output.weight") => Self::AttentionOutput,
            _ if has("ffn_down") => Self::Down,
            _ => Self::Other,
        }
    }
}

/// Parts of names of matrices that stay floats: norms, routers and convolutions are small, and steer.
const FLOATS: [&str; 4] = ["_norm.weight", "ffn_gate_inp.weight", "ssm_conv1d", "shortconv.conv.weight"];

/// Parts of names of matrices that stay as they are.
const KEPT: [&str; 4] = ["altup", "laurel", "per_layer_model_proj", "position_embd"];

/// The type of a tensor that is not to be quantized; none for those that are.
fn unquantized(tensor: &Tensor) -> Option<TensorKind> {
    let has = |parts: &[&str]| parts.iter().any(|part| tensor.name.contains(part));
    let is_matrix = tensor.shape.iter().skip(1).any(|&d| d > 1) && tensor.name.ends_with("weight");
    if !is_matrix || has(&FLOATS) {
        // Converters to GGUF write these in F32, and llama.cpp wants norms so.
        let half = matches!(tensor.kind, TensorKind::F16 | TensorKind::BF16);
        return Some(if half { TensorKind::F32 } else { tensor.kind });
    }
    has(&KEPT).then_some(tensor.kind)
}

/// The layer in `blk.N.…`.
fn layer(name: &str) -> Option<u64> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// Whether a layer is among those that gain most from more bits: the first and last eighth, and every third between.
fn gains(layer: u64, n_layers: u64) -> bool {
    let eighth = n_layers / 8;
    layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2
}

/// The type of each tensor in a mixture, in the order given.
pub fn kinds(mixture: Mixture, facts: &Facts<'_>, tensors: &[Tensor]) -> Vec<TensorKind> {
    let mut kinds: Vec<TensorKind> = tensors.iter().map(|tensor| tensor.kind).collect();
    // Tensors are counted by layer and name, whatever their order in the file: hybrids have attention in some layers only.
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&i| (layer(&tensors[i].name), &tensors[i].name));
    let n_values = tensors.iter().filter(|tensor| Part::of(&tensor.name) == Part::Value).count() as u64;
    let tied = !tensors.iter().any(|tensor| Part::of(&tensor.name) == Part::Output);
    let (mut values, mut downs) = (0, 0);
    for i in order {
        let tensor = &tensors[i];
        if let Some(kind) = unquantized(tensor) {
            kinds[i] = kind;
            continue;
        }
        let mut kind = mixture.base();
        if mixture != Mixture::F16 {
            let part = match Part::of(&tensor.name) {
                Part::Embedding if tied => Part::Output,
                part => part,
            };
            // Which of how many.
            let place = match part {
                Part::Value => (values, n_values),
                // A layer of experts may have several such tensors.
                Part::Down if facts.n_experts > 1 => (layer(&tensor.name).unwrap_or(downs), facts.n_layers),
                _ => (downs, facts.n_layers),
            };
            values += u64::from(part == Part::Value);
            downs += u64::from(part == Part::Down);
            kind = choose(mixture, facts, part, place, tensor.shape[0]);
        }
        kinds[i] = fitting(kind, tensor.shape[0]);
    }
    kinds
}

/// The rules proper. `place`: which one it is of how many of its kind; `width`: length of a row.
fn choose(mixture: Mixture, facts: &Facts<'_>, part: Part, place: (u64, u64), width: u64) -> TensorKind {
    let base = mixture.base();
    let falcon = facts.architecture == "falcon";
    let k_m = matches!(mixture, Mixture::Q4_K_M | Mixture::Q5_K_M);
    match part {
        Part::Output if falcon || !width.is_multiple_of(base.block_len()) || base == TensorKind::Q8_0 => {
            TensorKind::Q8_0
        }
        Part::Output => TensorKind::Q6_K,
        // With eight experts attention is a small share of the file.
        Part::Value | Part::Key if facts.n_experts == 8 => TensorKind::Q8_0,
        Part::AttentionOutput if facts.n_experts == 8 && mixture == Mixture::Q4_K_M && !falcon => TensorKind::Q5_K,
        Part::Down if falcon && mixture == Mixture::Q4_K_M => match place {
            (i, n) if i < n / 16 => TensorKind::Q6_K,
            (i, n) if gains(i, n) => TensorKind::Q5_K,
            _ => base,
        },
        Part::Value | Part::Down if k_m && gains(place.0, place.1) => TensorKind::Q6_K,
        _ => base,
    }
}

/// The type nearest to `kind` whose blocks fit rows of `width` values.
fn fitting(kind: TensorKind, width: u64) -> TensorKind {
    let fits = |kind: TensorKind| width.is_multiple_of(kind.block_len());
    let narrow = match kind {
        _ if fits(kind) => return kind,
        TensorKind::Q4_K => TensorKind::Q5_0,
        TensorKind::Q5_K => TensorKind::Q5_1,
        TensorKind::Q6_K => TensorKind::Q8_0,
        _ => TensorKind::F16,
    };
    if fits(narrow) { narrow } else { TensorKind::F16 }
}

#[cfg(test)]
mod tests;
