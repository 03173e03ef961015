//! The table of model families: one `Spec` each.

use sprat_kernels::{Activation, Pairing};

use super::experts::{ExpertsSpec, Routing};
use super::recurrent::RecurrentKind;
use super::spec::{
    Block, Cap, Factor, NormKind, NormNames, Rotation, SharedKv, Sizes, Sparsity, Spec, WindowRope, Windows,
};
use crate::error::Error;

/// Norms before each block, rotated neighbours, SiLU: what most families share.
const LLAMA: Spec = Spec {
    name: "llama",
    norm: NormKind::Rms,
    norms: NormNames::BEFORE,
    block: Block::Sequential,
    qk_norm_after_rope: false,
    pairing: Pairing::Adjacent,
    rotation: Rotation::All,
    windows: None,
    temperature: false,
    activation: Activation::Silu,
    clamped_gate: false,
    recurrent: None,
    value_norm: false,
    shared_kv: None,
    sparsity: None,
    parallel_streams: false,
    gated_attention: false,
    experts: ExpertsSpec::USUAL,
    embedding_scale: Factor::ONE,
    residual_scale: Factor::ONE,
    attention_scale: Factor::Fixed(Sizes::inverse_root_of_head),
    logit_scale: Factor::ONE,
    attention_cap: Cap::None,
    logit_cap: Cap::None,
};

/// The same with halves of a head rotated against each other.
const QWEN2: Spec = Spec { name: "qwen2", pairing: Pairing::Halves, ..LLAMA };

const GEMMA: Spec = Spec {
    name: "gemma",
    activation: Activation::GeluTanh,
    embedding_scale: Factor::Fixed(|s| (s.dim as f32).sqrt()),
    ..QWEN2
};

/// Layer norms with bias, the feed-forward part beside attention where there is no norm for it, GELU.
const FALCON: Spec = Spec {
    name: "falcon",
    norm: NormKind::Layer,
    block: Block::ParallelWithoutNorm,
    activation: Activation::GeluTanh,
    ..QWEN2
};

const COMMAND_R: Spec = Spec {
    name: "command-r",
    norm: NormKind::Layer,
    block: Block::ParallelWithoutNorm,
    logit_scale: key("logit_scale", |_| 1.0),
    ..LLAMA
};

/// Embedded positions and not rotated ones.
const GPT2: Spec = Spec { name: "gpt2", block: Block::Sequential, rotation: Rotation::None, ..FALCON };

const GRANITE: Spec = Spec {
    name: "granite",
    rotation: Rotation::BySwitch,
    embedding_scale: key("embedding_scale", |_| 1.0),
    residual_scale: key("residual_scale", |_| 1.0),
    attention_scale: key("attention.scale", Sizes::inverse_root_of_head),
    logit_scale: Factor::Key { key: "logit_scale", inverse: true, default: |_| 1.0 },
    ..LLAMA
};

/// The defaults are those of the first files, which had no keys for them. (llama.cpp 0.3.36 has the same, but divides by that
/// of the logits; the model's own code multiplies by `dim_model_base / hidden_size`, which is 256 / dim.)
const MINICPM: Spec = Spec {
    name: "minicpm",
    embedding_scale: key("embedding_scale", |_| 12.0),
    residual_scale: key("residual_scale", |s| 1.4 / (s.layers as f32).sqrt()),
    logit_scale: Factor::Key { key: "logit_scale", inverse: true, default: |s| 256.0 / s.dim as f32 },
    ..LLAMA
};

/// The weights of a token's experts are what the softmax over all experts says.
const UNSCALED: ExpertsSpec = ExpertsSpec { normalized: false, ..ExpertsSpec::USUAL };

const LFM2: Spec = Spec { name: "lfm2", recurrent: Some(RecurrentKind::Convolution), ..QWEN2 };

/// Their `post_attention_norm` norms the stream for the feed-forward part.
const FEED_FORWARD_AFTER_POST_ATTENTION: NormNames =
    NormNames { before_feed_forward: Some("post_attention_norm"), ..NormNames::BEFORE };

/// Every second layer sees a window, of the width that the file states.
const EVERY_SECOND: Windows =
    Windows { period: 2, default_width: None, rope: WindowRope::Same, listed: false, only_with_layers: None };

/// Every family, in the order in which error messages list them.
static FAMILIES: &[Spec] = &[
    LLAMA,
    Spec { name: "mistral3", temperature: true, ..LLAMA },
    QWEN2,
    Spec { name: "qwen3", ..QWEN2 },
    Spec { name: "qwen2moe", experts: UNSCALED, ..QWEN2 },
    Spec { name: "qwen3moe", ..QWEN2 },
    Spec { name: "olmoe", experts: UNSCALED, ..QWEN2 },
    Spec {
        name: "qwen35",
        norms: FEED_FORWARD_AFTER_POST_ATTENTION,
        recurrent: Some(RecurrentKind::DeltaNet),
        gated_attention: true,
        ..QWEN2
    },
    LFM2,
    Spec { name: "lfm2moe", experts: ExpertsSpec { routing: Routing::Sigmoid, normalized: true }, ..LFM2 },
    GEMMA,
    Spec {
        name: "gemma2",
        norms: NormNames::AROUND,
        windows: Some(Windows { default_width: Some(4096), ..EVERY_SECOND }),
        attention_scale: Factor::Fixed(|s| gemma_scale(s, 46)),
        attention_cap: Cap::Key { key: "attn_logit_softcapping", default: Some(50.0) },
        logit_cap: Cap::Key { key: "final_logit_softcapping", default: Some(30.0) },
        ..GEMMA
    },
    Spec {
        name: "gemma3",
        norms: NormNames::AROUND,
        windows: Some(Windows { period: 6, rope: WindowRope::OwnBase, ..EVERY_SECOND }),
        attention_scale: Factor::Fixed(|s| gemma_scale(s, 62)),
        logit_cap: Cap::Key { key: "final_logit_softcapping", default: None },
        ..GEMMA
    },
    Spec {
        name: "gemma3n",
        norms: NormNames::AROUND,
        windows: Some(Windows { period: 5, rope: WindowRope::OwnBase, ..EVERY_SECOND }),
        value_norm: true,
        shared_kv: Some(SharedKv::From(20)),
        // 95 % of normally distributed gates become 0.
        sparsity: Some(Sparsity { layers: 10, deviations: 1.644_853_6 }),
        parallel_streams: true,
        attention_scale: Factor::ONE,
        logit_cap: Cap::Key { key: "final_logit_softcapping", default: Some(30.0) },
        ..GEMMA
    },
    Spec {
        name: "gemma4",
        norms: NormNames::AROUND,
        windows: Some(Windows { listed: true, rope: WindowRope::OwnBase, ..EVERY_SECOND }),
        value_norm: true,
        shared_kv: Some(SharedKv::ByKey),
        attention_scale: Factor::ONE,
        logit_cap: Cap::Key { key: "final_logit_softcapping", default: None },
        ..GEMMA
    },
    Spec { name: "phi2", ..FALCON },
    Spec { name: "phi3", ..QWEN2 },
    Spec { name: "chatglm", ..LLAMA },
    Spec { name: "glm4", norms: NormNames::AROUND, ..LLAMA },
    Spec { name: "smollm3", rotation: Rotation::Except { period: 4 }, ..LLAMA },
    GRANITE,
    Spec { name: "granitemoe", ..GRANITE },
    Spec { name: "granitehybrid", recurrent: Some(RecurrentKind::StateSpace), ..GRANITE },
    Spec {
        name: "olmo2",
        norms: NormNames::AFTER,
        windows: Some(Windows { period: 4, rope: WindowRope::Plain, ..EVERY_SECOND }),
        ..QWEN2
    },
    Spec { name: "stablelm", activation: Activation::Silu, ..FALCON },
    Spec { name: "internlm2", ..LLAMA },
    MINICPM,
    Spec { name: "exaone", ..QWEN2 },
    Spec {
        name: "exaone4",
        norms: NormNames::AFTER,
        windows: Some(Windows {
            period: 4,
            rope: WindowRope::Alone,
            default_width: Some(4096),
            only_with_layers: Some(64),
            listed: false,
        }),
        ..QWEN2
    },
    Spec { name: "starcoder2", block: Block::Sequential, ..FALCON },
    COMMAND_R,
    Spec {
        name: "cohere2",
        windows: Some(Windows { period: 4, rope: WindowRope::Alone, ..EVERY_SECOND }),
        ..COMMAND_R
    },
    Spec { name: "ernie4_5", ..LLAMA },
    Spec { name: "hunyuan-dense", qk_norm_after_rope: true, ..QWEN2 },
    Spec { name: "seed_oss", norms: FEED_FORWARD_AFTER_POST_ATTENTION, ..QWEN2 },
    FALCON,
    Spec {
        name: "gpt-oss",
        norms: FEED_FORWARD_AFTER_POST_ATTENTION,
        windows: Some(EVERY_SECOND),
        clamped_gate: true,
        experts: ExpertsSpec { routing: Routing::SoftmaxOfChosen, normalized: false },
        ..QWEN2
    },
    Spec { name: "gptneox", block: Block::ParallelByKey, ..FALCON },
    GPT2,
    Spec { name: "starcoder", ..GPT2 },
];

const fn key(key: &'static str, default: fn(&Sizes) -> f32) -> Factor {
    Factor::Key { key, inverse: false, default }
}

/// The size of Gemma 2 and 3 with so many layers (27B) has a scale of its own.
fn gemma_scale(sizes: &Sizes, layers_of_27b: usize) -> f32 {
    if sizes.layers == layers_of_27b {
        1.0 / ((sizes.dim / sizes.n_heads) as f32).sqrt()
    } else {
        sizes.inverse_root_of_head()
    }
}

/// The family of an architecture name.
pub fn find(name: &str) -> Result<&'static Spec, Error> {
    FAMILIES.iter().find(|f| f.name == name).ok_or_else(|| Error::Architecture {
        name: name.to_owned(),
        supported: FAMILIES.iter().map(|f| f.name).collect::<Vec<_>>().join(", "),
    })
}
