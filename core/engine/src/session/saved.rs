//! A saved session as a file: a head that says everything but the cache, and the cache's pages behind it.
//!
//! ```text
//! 0   magic "SPRATSES"         24  bytes of the head
//! 8   version, u32             32  where the cache begins: a multiple of 16 KB
//! 12  zero, u32                40  length of the file
//! 16  the model's fingerprint  48  checksum of the head, 56 of the cache, 64 of the 64 bytes before it
//! 72  the head, JSON; zeros; the cache: pages of each layer, then states, each at a multiple of 64
//! ```
//! Numbers are little-endian, values of the cache as this machine computes with them, which is the same.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use sprat_kernels::KvFormat;

use super::conversation::Conversation;
use super::head;
use crate::chat::{Message, Role, Tool, ToolCall};
use crate::error::{Error, SavedFault};
use crate::file::{Checksum, SavedFile};
use crate::model::{Model, SavedShape};

const MAGIC: &[u8; 8] = b"SPRATSES";

/// Changes whenever a cache of before would not be one of now: its layout, or any bit of the arithmetic that fills it.
const VERSION: u32 = 2;

const HEADER_BYTES: usize = 72;

/// Where a cache begins: with a page of the system.
pub(super) const ALIGN: usize = 16 * 1024;

/// The fixed part of the file.
pub(super) struct Header {
    pub fingerprint: u64,
    pub head_bytes: u64,
    pub cache_start: u64,
    pub file_bytes: u64,
    pub head_sum: u64,
    pub cache_sum: u64,
}

impl Header {
    pub const BYTES: u64 = HEADER_BYTES as u64;

    /// Where the cache of a file with such a head begins.
    pub fn cache_start(head_bytes: usize) -> usize {
        (HEADER_BYTES + head_bytes).next_multiple_of(ALIGN)
    }

    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let numbers =
            [self.fingerprint, self.head_bytes, self.cache_start, self.file_bytes, self.head_sum, self.cache_sum];
        for (place, number) in bytes[16..64].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let sum = Checksum::of(&bytes[..64]);
        bytes[64..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Self, SavedFault> {
        if !bytes.starts_with(MAGIC) {
            return Err(SavedFault::NotASession);
        }
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(SavedFault::Truncated { found: bytes.len() as u64, expected: HEADER_BYTES as u64 });
        };
        let version = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if version != VERSION {
            return Err(SavedFault::Version { found: version, supported: VERSION });
        }
        let number = |at: usize| {
            let bytes = header[at..].first_chunk::<8>().expect("numbers lie inside the header");
            u64::from_le_bytes(*bytes)
        };
        if number(64) != Checksum::of(&header[..64]) {
            return Err(SavedFault::Damaged { part: "header" });
        }
        Ok(Self {
            fingerprint: number(16),
            head_bytes: number(24),
            cache_start: number(32),
            file_bytes: number(40),
            head_sum: number(48),
            cache_sum: number(56),
        })
    }
}

/// A saved session that was read as far as its transcript. It can be taken up by the model it was made with
/// ([`super::Session::restore`]), and its transcript by any.
#[derive(Debug)]
pub struct SavedSession {
    pub(super) path: PathBuf,
    pub(super) file: SavedFile,
    pub(super) cache_start: usize,
    pub(super) conversation: Conversation,
    pub(super) tokens: Vec<u32>,
    pub(super) made_for: MadeFor,
    pub(super) shape: SavedShape,
    cache_sum: u64,
    fingerprint: u64,
}

/// What the context was that filled the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MadeFor {
    /// What it was made to hold.
    pub positions: usize,
    /// How it stores keys and values.
    pub format: KvFormat,
}

/// What the head says.
type Head = (Conversation, Vec<u32>, MadeFor, SavedShape);

impl SavedSession {
    /// Maps the file and checks everything but the cache.
    ///
    /// # Errors
    /// [`Error::Open`], or [`Error::Saved`] with what is wrong with it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let file = SavedFile::open(&path)?;
        Self::parse(&path, file).map_err(|fault| Error::Saved { path, fault })
    }

    fn parse(path: &Path, file: SavedFile) -> Result<Self, SavedFault> {
        let map = file.bytes();
        let header = Header::parse(map)?;
        let found = map.len() as u64;
        if header.file_bytes != found {
            return Err(SavedFault::Truncated { found, expected: header.file_bytes });
        }
        let damaged = SavedFault::Damaged { part: "header" };
        let head_end = usize::try_from(header.head_bytes).ok().and_then(|len| len.checked_add(HEADER_BYTES));
        let cache_start = usize::try_from(header.cache_start).ok().filter(|&start| start <= map.len());
        let (Some(head_end), Some(cache_start)) = (head_end, cache_start) else { return Err(damaged) };
        if head_end > cache_start || !cache_start.is_multiple_of(ALIGN) {
            return Err(damaged);
        }
        let head = &map[HEADER_BYTES..head_end];
        if Checksum::of(head) != header.head_sum {
            return Err(SavedFault::Damaged { part: "transcript" });
        }
        let (conversation, tokens, made_for, shape) =
            parse_head(head).ok_or(SavedFault::Damaged { part: "transcript" })?;
        let (cache_sum, fingerprint) = (header.cache_sum, header.fingerprint);
        Ok(Self {
            path: path.to_owned(),
            file,
            cache_start,
            conversation,
            tokens,
            made_for,
            shape,
            cache_sum,
            fingerprint,
        })
    }

    /// The messages, instructions first.
    pub fn transcript(&self) -> &[Message] {
        &self.conversation.messages
    }

    /// Whether it was made with this very model file.
    pub fn is_of(&self, model: &Model) -> bool {
        self.fingerprint == model.fingerprint()
    }

    /// Whether the cache is only near what computing gives, because it was saved more coarsely than the session stores
    /// it ([`super::Session::save_as`]) or was so before: what goes on from it may differ from what would have come.
    pub fn is_lossy(&self) -> bool {
        self.shape.approximate_from.is_some()
    }

    /// Compares the cache with its checksum.
    pub(super) fn check_cache(&self) -> Result<(), SavedFault> {
        let sum = Checksum::of(&self.file.bytes()[self.cache_start..]);
        if sum == self.cache_sum { Ok(()) } else { Err(SavedFault::Damaged { part: "cache" }) }
    }
}

/// Everything but the cache.
pub(super) fn head(conversation: &Conversation, tokens: &[u32], made_for: MadeFor, shape: &SavedShape) -> Vec<u8> {
    let messages: Vec<Json> = conversation.messages.iter().map(message_to_json).collect();
    let tool = |tool: &Tool| json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
    let tools: Vec<Json> = conversation.tools.iter().map(tool).collect();
    let Conversation { left_out, random, .. } = conversation;
    let head = json!({
        "messages": messages,
        "tools": tools,
        "left_out": left_out,
        "random": random,
        "cache_type": format!("{:?}", made_for.format),
        "positions": made_for.positions,
        "tokens": tokens,
        "page_types": shape.formats.iter().map(|format| format!("{format:?}")).collect::<Vec<_>>(),
        "states": shape.states,
        "approximate_from": shape.approximate_from,
    });
    head.to_string().into_bytes()
}

fn parse_head(head: &[u8]) -> Option<Head> {
    let (tokens, head) = head::parse(head)?;
    let format = |name: &Json| {
        let formats = [KvFormat::F16, KvFormat::Q8_0, KvFormat::Q4_0];
        formats.into_iter().find(|known| Some(format!("{known:?}").as_str()) == name.as_str())
    };
    let number = |number: &Json| usize::try_from(number.as_u64()?).ok();
    let list = |name: &str| head.get(name)?.as_array();
    let tool = |tool: &Json| {
        Some(Tool {
            name: text(tool, "name")?,
            description: text(tool, "description")?,
            parameters: tool.get("parameters")?.clone(),
        })
    };
    let conversation = Conversation {
        messages: list("messages")?.iter().map(message_from_json).collect::<Option<_>>()?,
        tools: list("tools")?.iter().map(tool).collect::<Option<_>>()?,
        left_out: number(head.get("left_out")?)?,
        random: head.get("random")?.as_u64()?,
    };
    let made_for = MadeFor { positions: number(head.get("positions")?)?, format: format(head.get("cache_type")?)? };
    let shape = SavedShape {
        len: tokens.len(),
        formats: list("page_types")?.iter().map(format).collect::<Option<_>>()?,
        states: list("states")?.iter().map(number).collect::<Option<_>>()?,
        approximate_from: number(head.get("approximate_from")?),
    };
    Some((conversation, tokens, made_for, shape))
}

fn text(object: &Json, key: &str) -> Option<String> {
    object.get(key)?.as_str().map(str::to_owned)
}

fn message_to_json(message: &Message) -> Json {
    let mut object = Map::new();
    object.insert("role".into(), message.role.as_str().into());
    object.insert("content".into(), message.content.clone().into());
    let optional =
        [("reasoning", &message.reasoning), ("name", &message.name), ("tool_call_id", &message.tool_call_id)];
    for (key, value) in optional {
        if let Some(value) = value {
            object.insert(key.into(), value.clone().into());
        }
    }
    if !message.tool_calls.is_empty() {
        let call = |call: &ToolCall| json!({"id": call.id, "name": call.name, "arguments": call.arguments});
        object.insert("tool_calls".into(), message.tool_calls.iter().map(call).collect());
    }
    object.into()
}

fn message_from_json(object: &Json) -> Option<Message> {
    let role = match object.get("role")?.as_str()? {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => return None,
    };
    let call = |call: &Json| {
        Some(ToolCall { id: text(call, "id"), name: text(call, "name")?, arguments: call.get("arguments")?.clone() })
    };
    let calls = object.get("tool_calls").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    Some(Message {
        reasoning: text(object, "reasoning"),
        tool_calls: calls.iter().map(call).collect::<Option<_>>()?,
        name: text(object, "name"),
        tool_call_id: text(object, "tool_call_id"),
        ..Message::new(role, text(object, "content")?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_as_it_was() {
        let call = ToolCall { id: None, name: "clock".into(), arguments: json!({"zone": ["a", 1.5, null]}) };
        let answer = Message {
            reasoning: Some("hm".into()),
            tool_calls: vec![call.clone(), ToolCall { id: Some("7".into()), ..call }],
            ..Message::new(Role::Assistant, "")
        };
        let result = Message { tool_call_id: Some("7".into()), ..Message::tool_result("clock", "noon \u{1f55b}\0") };
        let conversation = Conversation {
            messages: vec![Message::new(Role::System, "s"), Message::new(Role::User, "u\n\""), answer, result],
            tools: vec![Tool {
                name: "clock".into(),
                description: "tells".into(),
                parameters: json!({"type": "object"}),
            }],
            left_out: 3,
            random: u64::MAX,
        };
        let tokens = vec![0, 1, u32::MAX];
        let made_for = MadeFor { positions: 9, format: KvFormat::F16 };
        for approximate_from in [None, Some(2)] {
            let (formats, states) = (vec![KvFormat::Q8_0, KvFormat::Q4_0], vec![1, 3]);
            let shape = SavedShape { len: 3, formats, states, approximate_from };
            let head = head(&conversation, &tokens, made_for, &shape);
            assert_eq!(parse_head(&head), Some((conversation.clone(), tokens.clone(), made_for, shape)));
        }
    }
}
