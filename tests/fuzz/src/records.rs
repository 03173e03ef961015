//! Records of the library that apps link, read from an input's bytes.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use sprat_ffi::{
    Backend, Conditions, GenerationOptions, Input, KvFormat, LogitBias, MemoryPressure, Message, OpenOptions, Role,
    SessionOptions, Source, TemplateChoice, Thermal, Tool, ToolCall, ToolResult, Trim, WhenFull,
};

use crate::bytes::Bytes;
use crate::models;

pub fn good_source() -> Source {
    Source::Path { path: models::path().to_string_lossy().into_owned() }
}

/// A model's file by its path or by a descriptor, whole, cut or with numbers that lie.
pub fn source(bytes: &mut Bytes<'_>) -> Source {
    static FILE: OnceLock<(File, u64)> = OnceLock::new();
    let (file, len_bytes) = FILE.get_or_init(|| {
        let file = File::open(models::path()).expect("just written");
        let len = file.metadata().expect("it is open").len();
        (file, len)
    });
    let (descriptor, len_bytes) = (file.as_raw_fd(), *len_bytes);
    match bytes.byte() % 8 {
        0..=3 => good_source(),
        4 => Source::Descriptor { descriptor, offset_bytes: 0, len_bytes },
        5 => Source::Descriptor { descriptor, offset_bytes: bytes.number().into(), len_bytes: bytes.number().into() },
        6 => Source::Descriptor { descriptor: bytes.pick(&[-1, i32::MIN, i32::MAX]), offset_bytes: 0, len_bytes },
        _ => Source::Parts { parts: vec![good_source(); usize::from(bytes.byte() % 3)] },
    }
}

pub fn open_options(bytes: &mut Bytes<'_>) -> OpenOptions {
    let ways = bytes.byte();
    // Where there is no GPU, asking for it ends at once: rarely.
    let backend = [None, Some(Backend::Auto), Some(Backend::Cpu), Some(Backend::Gpu)][usize::from(ways) / 64 % 4]
        .filter(|backend| *backend != Backend::Gpu || ways % 4 == 3);
    let template = match ways % 8 {
        0 => Some(TemplateChoice::Text { text: bytes.text() }),
        1 => Some(TemplateChoice::Builtin { name: bytes.pick(&["qwen", "gemma", "nosuch"]).into() }),
        _ => None,
    };
    let max_anonymous_bytes = bytes.byte().is_multiple_of(8).then(|| bytes.number().into());
    OpenOptions { template, max_anonymous_bytes, backend }
}

pub fn kv_format(bytes: &mut Bytes<'_>) -> KvFormat {
    bytes.pick(&[KvFormat::F16, KvFormat::Q8_0, KvFormat::Q4_0])
}

pub fn session_options(bytes: &mut Bytes<'_>) -> SessionOptions {
    let flags = bytes.byte();
    let ways = bytes.byte();
    SessionOptions {
        instructions: (flags & 1 != 0).then(|| bytes.text()),
        tools: if flags & 2 != 0 { vec![tool(bytes)] } else { Vec::new() },
        template: (flags & 4 != 0).then(|| bytes.pick(&["chatml", "qwen", "nosuch"]).into()),
        thinking: [None, Some(false), Some(true)][usize::from(flags >> 4) % 3],
        when_full: [None, Some(WhenFull::Fail), Some(WhenFull::Slide), Some(WhenFull::SlideCached)]
            [usize::from(ways) % 4],
        seed: (ways & 4 != 0).then_some(7),
        context_tokens: Some(if flags & 8 != 0 { u32::from(bytes.byte()) } else { 128 }),
        // Seldom two: where they must wait for a core, a pass takes a hundred times as long.
        threads: Some(if flags >> 4 == 15 { 2 } else { 1 }),
        batch: Some([16, 1, 7, 300][usize::from(ways >> 3) % 4]),
        kv_format: (ways & 32 != 0).then(|| kv_format(bytes)),
        instruction_set: (ways >> 6 == 3).then(|| bytes.pick(&["scalar", "nosuch"]).into()),
    }
}

pub fn generation_options(bytes: &mut Bytes<'_>) -> GenerationOptions {
    let flags = bytes.byte();
    let mut options = GenerationOptions { max_tokens: Some(u32::from(flags % 6)), ..GenerationOptions::default() };
    if flags & 16 != 0 {
        options.temperature = Some(bytes.float());
        options.top_k = Some(bytes.number() % 1000);
        options.logit_bias = vec![LogitBias { token: bytes.number() % 512, bias: bytes.float() }];
        options.repetition_penalty = Some(bytes.float());
        options.penalty_window = Some(bytes.number());
    }
    if flags & 32 != 0 {
        options.stop = vec![bytes.text()];
        options.seed = Some(bytes.number().into());
    }
    if flags & 128 != 0 {
        // What was said before comes again, so that there is something to guess.
        options.guess = Some(!bytes.byte().is_multiple_of(4));
        options.max_tokens = Some(12);
        options.forced = bytes.part().iter().take(12).map(|&byte| u32::from(byte) % 3 + 60).collect();
    }
    options.keep_partial = flags & 64 != 0;
    options
}

pub fn input(bytes: &mut Bytes<'_>) -> Input {
    match bytes.byte() % 5 {
        0 | 1 => Input::Text { text: bytes.text() },
        2 => Input::ToolResults {
            results: vec![ToolResult { name: bytes.text(), call_id: None, content: bytes.text() }],
        },
        3 => Input::Regenerate,
        _ => Input::Edit { index: u32::from(bytes.byte()), text: bytes.text() },
    }
}

pub fn tool(bytes: &mut Bytes<'_>) -> Tool {
    Tool { name: "clock".into(), description: "tells".into(), parameters_json: json(bytes) }
}

fn json(bytes: &mut Bytes<'_>) -> String {
    if bytes.byte().is_multiple_of(2) { "{}".into() } else { bytes.text() }
}

pub fn message(bytes: &mut Bytes<'_>) -> Message {
    let role = bytes.pick(&[Role::System, Role::User, Role::Assistant, Role::Tool]);
    let tool_calls = if bytes.byte().is_multiple_of(4) {
        vec![ToolCall { id: None, name: "clock".into(), arguments_json: json(bytes) }]
    } else {
        Vec::new()
    };
    Message { role, content: bytes.text(), thinking: None, tool_calls, name: None, tool_call_id: None }
}

pub fn trim(bytes: &mut Bytes<'_>) -> Trim {
    bytes.pick(&[Trim::Buffers, Trim::Cache, Trim::Pages])
}

/// What a device watch tells. Not that it is critically hot, after which turns wait for ten seconds, as they should.
pub fn conditions(bytes: &mut Bytes<'_>) -> Conditions {
    Conditions {
        thermal: bytes.pick(&[Thermal::Nominal, Thermal::Fair, Thermal::Serious]),
        battery_saver: bytes.byte() % 2 == 1,
        background: bytes.byte() % 4 == 1,
        memory: bytes.pick(&[MemoryPressure::Normal, MemoryPressure::Low, MemoryPressure::Critical]),
    }
}
