//! What the small files of each family hold: one row per kind of arithmetic, not one per family.

/// Names of the families that Metal's plan describes.
pub const ON_A_GPU: [&str; 11] =
    ["llama", "qwen2", "qwen3", "mistral3", "gemma2", "gemma3", "phi3", "smollm3", "granite", "olmo2", "hunyuan-dense"];

/// A family as its small file shows it.
#[derive(Debug)]
pub struct Family {
    /// Its name here.
    pub name: &'static str,
    /// `general.architecture`.
    pub architecture: &'static str,
    /// Layers: as many as its pattern of layers needs.
    pub layers: usize,
    /// What tokens meet in, layer by layer, from the beginning again after the last: `a` attention, `c` a short
    /// convolution, `d` a gated delta net, `m` a state space.
    pub mixers: &'static str,
    /// Key and value heads, of 4 query heads.
    pub kv_heads: usize,
    /// Size of a head.
    pub head_dim: usize,
    /// How many values of a head rotate.
    pub rotary: usize,
    /// Whether the head is the embedding again.
    pub tied: bool,
    /// Whether norms subtract the mean, and have a bias.
    pub layer_norm: Option<bool>,
    /// Norms of each layer, `[dim]`.
    pub norms: &'static [&'static str],
    /// Which projections have a bias: letters of q k v o u d, or f for a fused qkv, h for the head.
    pub bias: &'static str,
    /// Norms of queries and keys.
    pub head_norm: Option<HeadNorm>,
    /// Whether q, k and v are one tensor.
    pub fused: bool,
    /// The feed-forward part.
    pub feed_forward: FeedForward,
    /// What takes its place.
    pub experts: Option<Experts>,
    /// Whether each query head has a sink.
    pub sinks: bool,
    /// Layers with narrow heads and a window, size of those heads, and how many last layers have no keys and values.
    pub windows: Option<Windows>,
    /// Size of the input that each layer has of its own.
    pub per_layer: usize,
    /// Residual streams side by side; with several of them comes a path of low rank beside attention.
    pub streams: usize,
    /// Whether positions are embedded.
    pub positions: bool,
    /// Rotary factors for short and long contexts.
    pub long_rope: bool,
    /// Further metadata, without the architecture.
    pub keys: &'static [&'static [(&'static str, Key)]],
}

/// Shapes of a norm of queries or keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadNorm {
    /// `[head_dim]`.
    Shared,
    /// `[heads, head_dim]`.
    Each,
    /// `[heads * head_dim]`.
    Whole,
}

/// Kinds of feed-forward parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForward {
    /// Gate and up.
    Gated,
    /// Gate and up in one tensor.
    Fused,
    /// Up alone.
    Plain,
}

/// A mixture of 6 experts, of which a token goes through 2.
#[derive(Clone, Copy, Debug)]
pub struct Experts {
    /// Width of the part that every token goes through, with a weight of its own.
    pub shared: Option<usize>,
    /// Whether router and experts have biases.
    pub bias: bool,
    /// Layers before the first with experts.
    pub dense_layers: usize,
    /// Whether a bias takes part in the choice alone.
    pub choice_bias: bool,
    /// Whether a feed-forward part stands beside them, and each of the three reads the stream through a norm of its own.
    pub apart: bool,
}

/// Layers of two kinds.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Which have a window.
    pub pattern: &'static [bool],
    /// Size of a head of those.
    pub head_dim: usize,
    /// How many of the last layers use the keys and values of earlier ones.
    pub shared_kv: usize,
}

/// A metadata value.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// A count.
    Count(u32),
    /// A number.
    Number(f32),
    /// A switch.
    Switch(bool),
    /// A list of counts.
    Counts(&'static [u32]),
    /// A word.
    Word(&'static str),
}

type Keys = &'static [(&'static str, Key)];

/// A window that bites within the tests' tokens.
const WINDOW: Keys = &[("attention.sliding_window", Key::Count(16))];
/// What Gemma 4 says about heads in layers with a window, and the soft cap of its logits.
const NARROW: Keys = &[
    ("attention.key_length_swa", Key::Count(64)),
    ("attention.value_length_swa", Key::Count(64)),
    ("rope.dimension_count_swa", Key::Count(64)),
    ("rope.freq_base_swa", Key::Number(500.0)),
    ("final_logit_softcapping", Key::Number(6.0)),
];
/// Granite's factors.
const SCALES: Keys = &[
    ("embedding_scale", Key::Number(3.0)),
    ("residual_scale", Key::Number(0.4)),
    ("attention.scale", Key::Number(0.2)),
    ("logit_scale", Key::Number(0.7)),
];

const BEFORE: &[&str] = &["attn_norm", "ffn_norm"];
const AFTER: &[&str] = &["post_attention_norm", "post_ffw_norm"];
const AROUND: &[&str] = &["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"];

const LLAMA: Family = Family {
    name: "llama",
    architecture: "llama",
    layers: 2,
    mixers: "a",
    kv_heads: 2,
    head_dim: 64,
    rotary: 64,
    tied: false,
    layer_norm: None,
    norms: BEFORE,
    bias: "",
    head_norm: None,
    fused: false,
    feed_forward: FeedForward::Gated,
    experts: None,
    sinks: false,
    windows: None,
    per_layer: 0,
    streams: 1,
    positions: false,
    long_rope: false,
    keys: &[],
};

const QWEN2: Family = Family { name: "qwen2", architecture: "qwen2", tied: true, bias: "qkv", ..LLAMA };

const GEMMA2: Family = Family {
    name: "gemma2",
    architecture: "gemma2",
    tied: true,
    norms: AROUND,
    keys: &[&[
        ("attention.sliding_window", Key::Count(16)),
        ("attn_logit_softcapping", Key::Number(5.0)),
        ("final_logit_softcapping", Key::Number(6.0)),
    ]],
    ..LLAMA
};

const PHI2: Family = Family {
    name: "phi2",
    architecture: "phi2",
    kv_heads: 4,
    rotary: 32,
    layer_norm: Some(true),
    norms: &["attn_norm"],
    bias: "foudh",
    fused: true,
    feed_forward: FeedForward::Plain,
    ..LLAMA
};

const EXPERTS: Experts = Experts { shared: None, bias: false, dense_layers: 0, choice_bias: false, apart: false };

/// Every family there is a small file of.
pub static FAMILIES: &[Family] = &[
    LLAMA,
    QWEN2,
    Family {
        name: "qwen3",
        architecture: "qwen3",
        head_dim: 128,
        rotary: 128,
        bias: "",
        head_norm: Some(HeadNorm::Shared),
        ..QWEN2
    },
    Family {
        name: "mistral3",
        architecture: "mistral3",
        keys: &[&[
            ("rope.scaling.type", Key::Word("yarn")),
            ("rope.scaling.factor", Key::Number(4.0)),
            ("rope.scaling.original_context_length", Key::Count(16)),
            ("rope.scaling.yarn_beta_fast", Key::Number(2.0)),
            ("rope.scaling.yarn_beta_slow", Key::Number(0.25)),
            ("rope.scaling.yarn_log_multiplier", Key::Number(1.0)),
            ("attention.temperature_scale", Key::Number(0.1)),
        ]],
        ..LLAMA
    },
    GEMMA2,
    Family {
        name: "gemma3",
        architecture: "gemma3",
        layers: 6,
        kv_heads: 1,
        head_norm: Some(HeadNorm::Shared),
        keys: &[&[
            ("attention.sliding_window", Key::Count(16)),
            ("rope.freq_base_swa", Key::Number(500.0)),
            ("rope.scaling.type", Key::Word("linear")),
            ("rope.scaling.factor", Key::Number(8.0)),
        ]],
        ..GEMMA2
    },
    PHI2,
    Family {
        name: "phi3",
        architecture: "phi3",
        rotary: 48,
        fused: true,
        feed_forward: FeedForward::Fused,
        long_rope: true,
        keys: &[&[
            ("rope.scaling.original_context_length", Key::Count(32)),
            ("rope.scaling.attn_factor", Key::Number(1.19)),
        ]],
        ..LLAMA
    },
    Family { name: "smollm3", architecture: "smollm3", layers: 4, tied: true, ..LLAMA },
    Family { name: "granite", architecture: "granite", tied: true, keys: &[SCALES], ..LLAMA },
    Family {
        name: "olmo2",
        architecture: "olmo2",
        layers: 4,
        norms: AFTER,
        head_norm: Some(HeadNorm::Whole),
        keys: &[&[
            ("attention.sliding_window", Key::Count(16)),
            ("rope.scaling.type", Key::Word("yarn")),
            ("rope.scaling.factor", Key::Number(4.0)),
            ("rope.scaling.original_context_length", Key::Count(64)),
        ]],
        ..LLAMA
    },
    Family {
        name: "stablelm",
        architecture: "stablelm",
        rotary: 16,
        layer_norm: Some(true),
        norms: &["attn_norm"],
        head_norm: Some(HeadNorm::Each),
        keys: &[&[("use_parallel_residual", Key::Switch(true))]],
        ..LLAMA
    },
    Family {
        name: "cohere2",
        architecture: "cohere2",
        layers: 4,
        tied: true,
        layer_norm: Some(false),
        norms: &["attn_norm"],
        keys: &[&[("attention.sliding_window", Key::Count(16)), ("logit_scale", Key::Number(0.8))]],
        ..LLAMA
    },
    Family {
        name: "hunyuan-dense",
        architecture: "hunyuan-dense",
        bias: "",
        head_norm: Some(HeadNorm::Shared),
        ..QWEN2
    },
    Family {
        name: "falcon",
        architecture: "falcon",
        kv_heads: 2,
        rotary: 64,
        norms: &["attn_norm", "attn_norm_2"],
        bias: "",
        ..PHI2
    },
    Family {
        name: "gptneox",
        architecture: "gptneox",
        norms: BEFORE,
        rotary: 16,
        bias: "foud",
        keys: &[&[("use_parallel_residual", Key::Switch(true))]],
        ..PHI2
    },
    Family { name: "llama-moe", experts: Some(EXPERTS), ..LLAMA },
    Family {
        name: "qwen2moe",
        architecture: "qwen2moe",
        tied: false,
        experts: Some(Experts { shared: Some(256), ..EXPERTS }),
        keys: &[&[("expert_shared_feed_forward_length", Key::Count(256))]],
        ..QWEN2
    },
    Family {
        name: "gpt-oss",
        architecture: "gpt-oss",
        norms: &["attn_norm", "post_attention_norm"],
        bias: "qkvo",
        experts: Some(Experts { bias: true, ..EXPERTS }),
        sinks: true,
        keys: &[WINDOW],
        ..LLAMA
    },
    Family {
        name: "lfm2moe",
        architecture: "lfm2moe",
        layers: 4,
        mixers: "ccac",
        bias: "",
        head_norm: Some(HeadNorm::Shared),
        experts: Some(Experts { dense_layers: 2, choice_bias: true, ..EXPERTS }),
        keys: &[&[
            ("shortconv.l_cache", Key::Count(3)),
            ("leading_dense_block_count", Key::Count(2)),
            ("expert_gating_func", Key::Count(2)),
        ]],
        ..QWEN2
    },
    Family {
        name: "qwen35",
        architecture: "qwen35",
        layers: 4,
        mixers: "ddda",
        rotary: 32,
        norms: &["attn_norm", "post_attention_norm"],
        bias: "",
        head_norm: Some(HeadNorm::Shared),
        keys: &[&[
            ("ssm.conv_kernel", Key::Count(4)),
            ("ssm.state_size", Key::Count(64)),
            ("ssm.group_count", Key::Count(2)),
            ("ssm.time_step_rank", Key::Count(4)),
            ("ssm.inner_size", Key::Count(256)),
            ("full_attention_interval", Key::Count(4)),
            ("rope.dimension_sections", Key::Counts(&[6, 5, 5, 0])),
        ]],
        ..QWEN2
    },
    Family {
        name: "granitehybrid",
        architecture: "granitehybrid",
        layers: 3,
        mixers: "mam",
        tied: true,
        keys: &[
            SCALES,
            &[
                ("rope.scaling.finetuned", Key::Switch(false)),
                ("ssm.conv_kernel", Key::Count(4)),
                ("ssm.state_size", Key::Count(64)),
                ("ssm.group_count", Key::Count(2)),
                ("ssm.time_step_rank", Key::Count(8)),
                ("ssm.inner_size", Key::Count(512)),
            ],
        ],
        ..LLAMA
    },
    Family {
        name: "gemma4",
        architecture: "gemma4",
        layers: 4,
        head_dim: 128,
        rotary: 128,
        head_norm: Some(HeadNorm::Shared),
        windows: Some(Windows { pattern: &[true, false, true, false], head_dim: 64, shared_kv: 2 }),
        per_layer: 256,
        keys: &[
            WINDOW,
            NARROW,
            &[("attention.shared_kv_layers", Key::Count(2)), ("embedding_length_per_layer_input", Key::Count(256))],
        ],
        ..GEMMA2
    },
    Family {
        name: "gemma3n",
        architecture: "gemma3n",
        // From number 20 on layers use the keys and values of number 18 (a window) or 19 (none), of which 24 is the first.
        layers: 25,
        kv_heads: 1,
        head_norm: Some(HeadNorm::Shared),
        per_layer: 256,
        streams: 4,
        keys: &[&[
            ("attention.sliding_window", Key::Count(16)),
            ("rope.freq_base_swa", Key::Number(500.0)),
            ("embedding_length_per_layer_input", Key::Count(256)),
            ("altup.num_inputs", Key::Count(4)),
            ("altup.active_idx", Key::Count(0)),
        ]],
        ..GEMMA2
    },
    Family {
        name: "gemma4-moe",
        architecture: "gemma4",
        norms: &[
            "attn_norm",
            "post_attention_norm",
            "ffn_norm",
            "post_ffw_norm_1",
            "pre_ffw_norm_2",
            "post_ffw_norm_2",
            "post_ffw_norm",
        ],
        head_norm: Some(HeadNorm::Shared),
        experts: Some(Experts { apart: true, ..EXPERTS }),
        windows: Some(Windows { pattern: &[true, false], head_dim: 64, shared_kv: 0 }),
        keys: &[
            WINDOW,
            NARROW,
            &[("attention.shared_kv_layers", Key::Count(0)), ("embedding_length_per_layer_input", Key::Count(0))],
        ],
        ..GEMMA2
    },
    Family { name: "gpt2", architecture: "gpt2", tied: true, norms: BEFORE, bias: "foud", positions: true, ..PHI2 },
];

impl Family {
    /// What tokens meet in, in one layer.
    pub fn mixer(&self, layer: usize) -> char {
        char::from(self.mixers.as_bytes()[layer % self.mixers.len()])
    }

    /// Size of a head in one layer.
    pub fn head_dim(&self, layer: usize) -> usize {
        self.windows.filter(|windows| windows.pattern[layer]).map_or(self.head_dim, |windows| windows.head_dim)
    }

    /// Whether a layer has keys and values of its own.
    pub fn has_kv(&self, layer: usize) -> bool {
        self.windows.is_none_or(|windows| layer + windows.shared_kv < self.layers)
    }

    /// A count among its keys.
    pub fn count(&self, key: &str) -> usize {
        match self.keys.iter().copied().flatten().find(|(name, _)| *name == key) {
            Some((_, Key::Count(count))) => *count as usize,
            _ => panic!("{} has no count {key}", self.name),
        }
    }
}

/// The family of a name.
pub fn family(name: &str) -> &'static Family {
    FAMILIES.iter().find(|family| family.name == name).expect("a family in the table")
}
