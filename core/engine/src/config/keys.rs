//! Typed, range-checked access to `architecture.key` metadata.

use std::fmt::Display;

use sprat_gguf::{Contents, Value};

use super::rope::{RopeConfig, Scaling};
use super::spec::{Cap, Factor, Sizes};
use super::{Temperature, limits};
use crate::error::Error;

pub struct Keys<'a> {
    contents: &'a Contents,
    file: &'a [u8],
    architecture: &'a str,
}

impl<'a> Keys<'a> {
    pub fn new(contents: &'a Contents, file: &'a [u8], architecture: &'a str) -> Self {
        Self { contents, file, architecture }
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    pub fn missing(&self, key: &str) -> Error {
        Error::MissingKey { key: self.full(key) }
    }

    pub fn bad(&self, key: &str, value: impl Display, reason: &'static str) -> Error {
        Error::BadKey { key: self.full(key), value: value.to_string(), reason }
    }

    pub fn require(&self, key: &str, value: impl Display, good: bool, reason: &'static str) -> Result<(), Error> {
        if good { Ok(()) } else { Err(self.bad(key, value, reason)) }
    }

    /// A count from 1 to `limit`.
    pub fn dimension(&self, key: &str, limit: usize) -> Result<usize, Error> {
        self.optional(key, limit)?.ok_or_else(|| self.missing(key))
    }

    /// A count from 1 to `limit`, or `default` where the file has none.
    pub fn dimension_or(&self, key: &str, default: usize, limit: usize) -> Result<usize, Error> {
        Ok(self.optional(key, limit)?.unwrap_or(default))
    }

    /// A count from 1 to `limit`, if the file has it.
    pub fn optional(&self, key: &str, limit: usize) -> Result<Option<usize>, Error> {
        let count = self.count(key, limit)?;
        self.require(key, 0, count != Some(0), "outside the accepted range")?;
        Ok(count)
    }

    /// A count from 0 to `limit`.
    pub fn count(&self, key: &str, limit: usize) -> Result<Option<usize>, Error> {
        let Some(value) = self.contents.u64(&self.full(key))? else { return Ok(None) };
        let count = usize::try_from(value).ok().filter(|&count| count <= limit);
        self.require(key, value, count.is_some(), "outside the accepted range")?;
        Ok(count)
    }

    /// A count from 0 to `limit` for each of `layers` layers, where the file has one for each or one for all.
    pub fn count_per_layer(&self, key: &str, layers: usize, limit: usize) -> Result<Option<Vec<usize>>, Error> {
        let full = self.full(key);
        let Some(Value::Array(array)) = self.contents.get(&full) else {
            return Ok(self.count(key, limit)?.map(|count| vec![count; layers]));
        };
        let counts = self.one_for_each(key, array.u32s(self.file).map(|count| count as usize), layers)?;
        for &count in &counts {
            self.require(key, count, count <= limit, "outside the accepted range")?;
        }
        Ok(Some(counts))
    }

    /// The part of a list that the first `layers` layers have; those left out behind them may be listed or not.
    fn one_for_each<T>(&self, key: &str, list: impl Iterator<Item = T>, layers: usize) -> Result<Vec<T>, Error> {
        // A list longer than any model has layers is wrong: no more of it is read, and nothing as large as the file is built.
        let mut list: Vec<T> = list.take(limits::LAYERS + 1).collect();
        let all = self.count("block_count", limits::LAYERS)?;
        let fits = list.len() == layers || Some(list.len()) == all;
        self.require(key, list.len(), fits && list.len() >= layers, "not one for each layer")?;
        list.truncate(layers);
        Ok(list)
    }

    /// A number for each of `layers` layers, where the file has such a list.
    pub fn f32_per_layer(&self, key: &str, layers: usize) -> Result<Option<Vec<f32>>, Error> {
        let Some(array) = self.contents.array(&self.full(key))? else { return Ok(None) };
        self.one_for_each(key, array.f32s(self.file), layers).map(Some)
    }

    /// A switch for each of `layers` layers, where the file has such a list.
    pub fn switches(&self, key: &str, layers: usize) -> Result<Option<Vec<bool>>, Error> {
        let Some(array) = self.contents.array(&self.full(key))? else { return Ok(None) };
        self.one_for_each(key, array.bools(self.file), layers).map(Some)
    }

    pub fn bool_or(&self, key: &str, default: bool) -> Result<bool, Error> {
        Ok(self.contents.bool(&self.full(key))?.unwrap_or(default))
    }

    pub fn f32(&self, key: &str) -> Result<Option<f32>, Error> {
        Ok(self.contents.f32(&self.full(key))?)
    }

    /// A positive number, or `default`.
    fn positive_or(&self, key: &str, default: f64) -> Result<f64, Error> {
        let value = self.f32(key)?.map_or(default, f64::from);
        self.require(key, value, value.is_finite() && value > 0.0, "not a positive number")?;
        Ok(value)
    }

    /// A factor that the family has.
    pub fn factor(&self, factor: Factor, sizes: &Sizes) -> Result<f32, Error> {
        match factor {
            Factor::Fixed(factor) => Ok(factor(sizes)),
            Factor::Key { key, inverse, default } => {
                let Some(value) = self.f32(key)? else { return Ok(default(sizes)) };
                self.require(key, value, value.is_finite() && value != 0.0, "not a usable factor")?;
                Ok(if inverse { 1.0 / value } else { value })
            }
        }
    }

    /// A soft cap that the family has.
    pub fn cap(&self, cap: Cap) -> Result<Option<f32>, Error> {
        let Cap::Key { key, default } = cap else { return Ok(None) };
        let Some(value) = self.f32(key)? else { return Ok(default) };
        self.require(key, value, value.is_finite() && value >= 0.0, "not a usable cap")?;
        // Files say 0 for none.
        Ok(Some(value).filter(|&cap| cap > 0.0))
    }

    /// The temperature of queries, where the family and the file have one.
    pub fn temperature(&self, of_family: bool, original_context: usize) -> Result<Option<Temperature>, Error> {
        let key = "attention.temperature_scale";
        let Some(scale) = self.f32(key)?.filter(|_| of_family) else { return Ok(None) };
        self.require(key, scale, scale.is_finite(), "not a number")?;
        Ok(Some(Temperature { scale: f64::from(scale), period: original_context }).filter(|t| t.scale != 0.0))
    }

    /// A base of rotary frequencies.
    pub fn rope_base(&self, key: &str) -> Result<f64, Error> {
        let base = self.positive_or(key, 10000.0)?;
        self.require(key, base, base > 1.0, "not above 1")?;
        Ok(base)
    }

    /// The rotary embedding that `rope.*` describes.
    pub fn rope(&self, head_dim: usize, context_length: usize) -> Result<RopeConfig, Error> {
        let dims = self.dimension_or("rope.dimension_count", head_dim, head_dim)?;
        self.require("rope.dimension_count", dims, dims % 2 == 0, "values rotate in pairs")?;
        let base = self.rope_base("rope.freq_base")?;
        // The second key is that of the first files.
        let factor = self.positive_or("rope.scaling.factor", self.positive_or("rope.scale_linear", 1.0)?)?;
        let original_context =
            self.dimension_or("rope.scaling.original_context_length", context_length, limits::CONTEXT)?;
        let kind = self.contents.str(&self.full("rope.scaling.type"))?.unwrap_or("linear");
        let scaling = match kind {
            "yarn" if factor > 1.0 => Scaling::Yarn {
                factor,
                beta_fast: self.positive_or("rope.scaling.yarn_beta_fast", 32.0)?,
                beta_slow: self.positive_or("rope.scaling.yarn_beta_slow", 1.0)?,
                log_multiplier: f64::from(self.f32("rope.scaling.yarn_log_multiplier")?.unwrap_or(0.0)),
            },
            "none" => Scaling::Linear { factor: 1.0 },
            "linear" | "yarn" | "longrope" => Scaling::Linear { factor },
            other => {
                let key = self.full("rope.scaling.type");
                return Err(Error::BadKey { key, value: other.to_owned(), reason: "unknown kind of scaling" });
            }
        };
        let magnitude = self.positive_or("rope.scaling.attn_factor", 1.0)?;
        Ok(RopeConfig { dims, base, scaling, original_context, magnitude, factors: true })
    }
}
