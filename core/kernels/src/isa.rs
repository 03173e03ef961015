//! Which instruction sets this CPU has, and the one table of kernels for each.

use std::sync::OnceLock;

use crate::arch;
use crate::attention::AttentionOps;
use crate::choice;
use crate::float::FloatOps;
use crate::matmul::MatmulOps;

/// Everything one instruction set provides.
///
/// A new group of kernels is a sub-table: a struct of function pointers defined beside its safe doors, one field here,
/// and one static per set in `arch/`.
pub(crate) struct Table {
    /// As `SPRAT_ISA` spells it.
    pub name: &'static str,
    /// The set to use instead where timing shows that its batches are faster; one token costs the same with both.
    pub rival: Option<&'static str>,
    /// Quantizing and weight rows times activations.
    pub matmul: MatmulOps,
    /// Norms, activations and other work on plain floats.
    pub float: FloatOps,
    /// Attention over the KV cache.
    pub attention: AttentionOps,
}

/// An instruction set this CPU was seen to have: the safe doors to its kernels.
///
/// Values are only handed out by [`Isa::detect`] and [`Isa::available`], after the CPU's features were checked.
pub struct Isa {
    table: Table,
}

impl std::fmt::Debug for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Isa").field(&self.name()).finish()
    }
}

impl Isa {
    /// The best set this CPU has, between equals by a millisecond of timing. The environment variable `SPRAT_ISA`
    /// (scalar, avx2, avx-vnni, avx512, neon, neon-dotprod, neon-i8mm) asks for another one; what this CPU cannot run is
    /// ignored, so look at [`Isa::name`].
    pub fn detect() -> &'static Isa {
        static BEST: OnceLock<&'static Isa> = OnceLock::new();
        BEST.get_or_init(|| {
            let available = Self::available();
            let wanted = std::env::var("SPRAT_ISA").ok();
            let named = wanted.and_then(|name| available.iter().find(|isa| isa.name() == name));
            let best = *named.or(available.last()).expect("scalar is always available");
            // What was asked for by name stays.
            let rival = if named.is_some() { None } else { best.table.rival };
            match rival.and_then(|name| available.iter().find(|isa| isa.name() == name)) {
                Some(rival) => choice::faster(rival, best),
                None => best,
            }
        })
    }

    /// All sets this CPU can run, scalar first, best last.
    pub fn available() -> &'static [&'static Isa] {
        static AVAILABLE: OnceLock<Vec<&'static Isa>> = OnceLock::new();
        AVAILABLE.get_or_init(|| {
            let mut sets = vec![&SCALAR];
            add_native(&mut sets);
            sets
        })
    }

    /// The set's name, as `SPRAT_ISA` spells it.
    pub fn name(&self) -> &'static str {
        self.table.name
    }

    /// The kernels. To be called through the safe doors only.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }
}

static SCALAR: Isa = Isa {
    table: Table {
        name: "scalar",
        rival: None,
        matmul: arch::scalar::MATMUL,
        float: arch::scalar::float::FLOAT,
        attention: arch::scalar::attention::ATTENTION,
    },
};

/// Adds what this CPU has beyond scalar, in rising order.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn add_native(_sets: &mut Vec<&'static Isa>) {}

#[cfg(target_arch = "aarch64")]
static NEON: Isa = Isa {
    table: Table {
        name: "neon",
        rival: None,
        matmul: arch::neon::MATMUL,
        float: arch::neon::float::FLOAT,
        attention: arch::neon::attention::ATTENTION,
    },
};

#[cfg(target_arch = "aarch64")]
static NEON_DOTPROD: Isa = Isa {
    table: Table {
        name: "neon-dotprod",
        rival: None,
        matmul: arch::neon_dotprod::MATMUL,
        float: arch::neon::float::FLOAT,
        attention: arch::neon::attention::ATTENTION,
    },
};

#[cfg(target_arch = "aarch64")]
static NEON_I8MM: Isa = Isa {
    table: Table {
        name: "neon-i8mm",
        rival: Some("neon-dotprod"),
        matmul: arch::neon_i8mm::MATMUL,
        float: arch::neon::float::FLOAT,
        attention: arch::neon::attention::ATTENTION,
    },
};

/// Adds what this CPU has beyond scalar, in rising order.
#[cfg(target_arch = "aarch64")]
fn add_native(sets: &mut Vec<&'static Isa>) {
    use std::arch::is_aarch64_feature_detected as has;
    sets.push(&NEON);
    if has!("dotprod") {
        sets.push(&NEON_DOTPROD);
        if has!("i8mm") {
            sets.push(&NEON_I8MM);
        }
    }
}

#[cfg(target_arch = "x86_64")]
static AVX2: Isa = Isa {
    table: Table {
        name: "avx2",
        rival: None,
        matmul: arch::avx2::MATMUL,
        float: arch::avx2::float::FLOAT,
        attention: arch::avx2::attention::ATTENTION,
    },
};

#[cfg(target_arch = "x86_64")]
static AVX_VNNI: Isa = Isa {
    table: Table {
        name: "avx-vnni",
        rival: None,
        matmul: arch::avx2::MATMUL_VNNI,
        float: arch::avx2::float::FLOAT,
        attention: arch::avx2::attention::ATTENTION,
    },
};

#[cfg(target_arch = "x86_64")]
static AVX512: Isa = Isa {
    table: Table {
        name: "avx512",
        rival: None,
        matmul: arch::avx512::MATMUL,
        float: arch::avx512::float::FLOAT,
        attention: arch::avx512::attention::ATTENTION,
    },
};

/// Adds what this CPU has beyond scalar, in rising order.
#[cfg(target_arch = "x86_64")]
fn add_native(sets: &mut Vec<&'static Isa>) {
    use std::arch::is_x86_feature_detected as has;
    if has!("avx2") && has!("fma") && has!("f16c") {
        sets.push(&AVX2);
        if has!("avxvnni") {
            sets.push(&AVX_VNNI);
        }
        if has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq") && has!("avx512vnni") {
            sets.push(&AVX512);
        }
    }
}
