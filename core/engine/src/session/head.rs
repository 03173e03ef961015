//! The head of a saved session as JSON, read without more memory than its length allows.
//!
//! A value of JSON takes 32 bytes in memory and may be one in the file. So token ids, which are many, are read as numbers, and
//! what else there is is counted before any of it is made.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

/// Values that any head may hold, and one more for this many bytes of it. The shortest messages take half as many bytes for
/// each value, so more than ten thousand of them fit. A list of values takes twice their 32 bytes while it grows: four times
/// the head and 1 MB.
const VALUES: u64 = 1 << 14;
const BYTES_PER_VALUE: u64 = 16;

/// Pairs of one object: they take more memory than values, and no object here has as many.
const PAIRS: u64 = 1 << 10;

/// The token ids, and everything else by its name.
pub(super) fn parse(head: &[u8]) -> Option<(Vec<u32>, Map<String, Json>)> {
    fits(head).then_some(())?;
    let Split::<Kept> { tokens, rest } = serde_json::from_slice(head).ok()?;
    Some((tokens, rest.0))
}

/// Whether a head is JSON, and not too many values.
pub(super) fn fits(head: &[u8]) -> bool {
    let counted: Result<Split<Count>, _> = serde_json::from_slice(head);
    counted.is_ok_and(|counted| counted.rest.0 <= VALUES + head.len() as u64 / BYTES_PER_VALUE)
}

/// What takes the pairs other than `tokens`.
trait Rest: Default {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error>;
}

#[derive(Default)]
struct Kept(Map<String, Json>);

impl Rest for Kept {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
        self.0.insert(key, map.next_value()?);
        Ok(())
    }
}

/// How many values there are.
#[derive(Default)]
struct Count(u64);

impl Rest for Count {
    fn take<'de, A: MapAccess<'de>>(&mut self, _key: String, map: &mut A) -> Result<(), A::Error> {
        self.0 += map.next_value::<Count>()?.0;
        Ok(())
    }
}

struct Split<T = Kept> {
    tokens: Vec<u32>,
    rest: T,
}

impl<'de, T: Rest> Deserialize<'de> for Split<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SplitVisitor(PhantomData))
    }
}

struct SplitVisitor<T>(PhantomData<T>);

impl<'de, T: Rest> Visitor<'de> for SplitVisitor<T> {
    type Value = Split<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with tokens")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Split<T>, A::Error> {
        let (mut tokens, mut rest) = (None, T::default());
        while let Some(key) = map.next_key::<String>()? {
            if key == "tokens" {
                tokens = Some(map.next_value()?);
            } else {
                rest.take(key, &mut map)?;
            }
        }
        Ok(Split { tokens: tokens.ok_or_else(|| A::Error::missing_field("tokens"))?, rest })
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count(1))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
        Ok(Count(1))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Count, E> {
        Ok(Count(1))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Count, E> {
        Ok(Count(1))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Count, E> {
        Ok(Count(1))
    }

    fn visit_str<E>(self, _: &str) -> Result<Count, E> {
        Ok(Count(1))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
        let mut count = 1;
        while let Some(Count(n)) = seq.next_element()? {
            count += n;
        }
        Ok(Count(count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
        let (mut count, mut pairs) = (1, 0);
        while let Some(IgnoredAny) = map.next_key()? {
            count += map.next_value::<Count>()?.0;
            pairs += 1;
            if pairs > PAIRS {
                return Err(A::Error::custom("too many pairs"));
            }
        }
        Ok(Count(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stand_apart_from_the_rest() {
        let head = br#"{"a": [1, null, {"b": "c"}], "tokens": [0, 4294967295], "d": -1.5}"#;
        let (tokens, rest) = parse(head).expect("a good head");
        assert_eq!(tokens, [0, u32::MAX]);
        assert_eq!(Json::from(rest), serde_json::json!({"a": [1, null, {"b": "c"}], "d": -1.5}));
        for wrong in ["[]", "{}", r#"{"tokens": [4294967296]}"#, r#"{"tokens": [1]"#, r#"{"tokens": {}}"#, ""] {
            assert!(parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_head_of_countless_values_is_refused_and_one_of_many_tokens_is_not() {
        let list = |n: usize| vec!["0"; n].join(",");
        assert!(!fits(format!(r#"{{"tokens":[],"a":[{}]}}"#, list(20_000)).as_bytes()));
        assert!(fits(format!(r#"{{"tokens":[{}],"a":[{}]}}"#, list(500_000), list(20_000)).as_bytes()));
        let pairs: Vec<String> = (0..2000).map(|i| format!(r#""{i}":0"#)).collect();
        assert!(!fits(format!(r#"{{"tokens":[],"a":{{{}}}}}"#, pairs.join(",")).as_bytes()));
        let messages = vec![r#"{"role":"user","content":"ok"}"#; 10_000].join(",");
        assert!(fits(format!(r#"{{"tokens":[],"messages":[{messages}]}}"#).as_bytes()));
    }
}
