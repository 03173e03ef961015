//! Typed, range-checked access to `architecture.key` metadata.

use std::fmt::Display;

use sprat_gguf::Contents;

use super::rope::{RopeConfig, Scaling};
use crate::error::Error;

pub struct Keys<'a> {
    contents: &'a Contents,
    architecture: &'a str,
}

impl<'a> Keys<'a> {
    pub fn new(contents: &'a Contents, architecture: &'a str) -> Self {
        Self { contents, architecture }
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    pub fn missing(&self, key: &str) -> Error {
        Error::MissingKey { key: self.full(key) }
    }

    pub fn require(&self, key: &str, value: impl Display, good: bool, reason: &'static str) -> Result<(), Error> {
        if good { Ok(()) } else { Err(Error::BadKey { key: self.full(key), value: value.to_string(), reason }) }
    }

    /// A count from 1 to `limit`.
    pub fn dimension(&self, key: &str, limit: usize) -> Result<usize, Error> {
        self.optional(key, limit)?.ok_or_else(|| self.missing(key))
    }

    /// A count from 1 to `limit`, or `default` where the file has none.
    pub fn dimension_or(&self, key: &str, default: usize, limit: usize) -> Result<usize, Error> {
        Ok(self.optional(key, limit)?.unwrap_or(default))
    }

    fn optional(&self, key: &str, limit: usize) -> Result<Option<usize>, Error> {
        let Some(value) = self.contents.u64(&self.full(key))? else { return Ok(None) };
        let dimension = usize::try_from(value).ok().filter(|v| (1..=limit).contains(v));
        self.require(key, value, dimension.is_some(), "outside the accepted range")?;
        Ok(dimension)
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

    /// The rotary embedding that `rope.*` describes.
    pub fn rope(&self, head_dim: usize, context_length: usize) -> Result<RopeConfig, Error> {
        let dims = self.dimension_or("rope.dimension_count", head_dim, head_dim)?;
        self.require("rope.dimension_count", dims, dims % 2 == 0, "values rotate in pairs")?;
        let base = self.positive_or("rope.freq_base", 10000.0)?;
        self.require("rope.freq_base", base, base > 1.0, "not above 1")?;
        let factor = self.positive_or("rope.scaling.factor", 1.0)?;
        let kind = self.contents.str(&self.full("rope.scaling.type"))?.unwrap_or("linear");
        let scaling = match kind {
            "yarn" if factor > 1.0 => Scaling::Yarn {
                factor,
                original_context: self.positive_or("rope.scaling.original_context_length", context_length as f64)?,
                beta_fast: self.positive_or("rope.scaling.yarn_beta_fast", 32.0)?,
                beta_slow: self.positive_or("rope.scaling.yarn_beta_slow", 1.0)?,
                log_multiplier: f64::from(self.f32("rope.scaling.yarn_log_multiplier")?.unwrap_or(0.0)),
            },
            "none" => Scaling::Linear { factor: 1.0 },
            "linear" | "yarn" => Scaling::Linear { factor },
            other => {
                let key = self.full("rope.scaling.type");
                return Err(Error::BadKey { key, value: other.to_owned(), reason: "unknown kind of scaling" });
            }
        };
        let magnitude = self.positive_or("rope.scaling.attn_factor", 1.0)?;
        Ok(RopeConfig { dims, base, scaling, magnitude })
    }
}
