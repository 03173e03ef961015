//! Templates for files that carry none, by name.

/// A built-in template.
pub(super) struct Builtin {
    pub(super) name: &'static str,
    pub(super) source: &'static str,
    /// Texts that end a reply where the format has no token for it.
    pub(super) stops: &'static [&'static str],
}

/// Pairs a name with the file of that template.
macro_rules! builtin {
    ($name:literal, $file:literal, $stops:expr) => {
        Builtin { name: $name, source: include_str!(concat!("builtin/", $file, ".jinja")), stops: $stops }
    };
}

/// Models older than chat tokens learn only text: their replies run on into the next question.
pub(super) const BUILTINS: &[Builtin] = &[
    builtin!("alpaca", "alpaca", &["### Instruction:"]),
    builtin!("chatglm3", "chatglm3", &["<|user|>", "<|observation|>"]),
    builtin!("chatml", "chatml", &["<|im_end|>"]),
    builtin!("exaone-3", "exaone-3", &["[|endofturn|]"]),
    builtin!("exaone-4", "exaone-4", &["[|endofturn|]"]),
    builtin!("gemma", "gemma", &["<end_of_turn>"]),
    builtin!("glm-4", "glm-4", &["<|user|>", "<|observation|>"]),
    builtin!("glm-edge", "glm-edge", &["<|user|>", "<|observation|>"]),
    builtin!("gpt-oss", "gpt-oss", &["<|return|>", "<|call|>"]),
    builtin!("granite", "granite", &["<|end_of_text|>"]),
    builtin!("internlm2", "internlm2", &["<|im_end|>"]),
    builtin!("koala", "koala", &["USER:"]),
    builtin!("lfm2", "lfm2", &["<|im_end|>"]),
    builtin!("llama-2", "llama-2", &["[INST]"]),
    builtin!("llama-3", "llama-3", &["<|eot_id|>"]),
    builtin!("minicpm", "minicpm", &["<用户>"]),
    builtin!("mistral-v1", "mistral-v1", &["[INST]"]),
    builtin!("mistral-v3", "mistral-v3", &["[INST]"]),
    builtin!("mistral-v3-tekken", "mistral-v3-tekken", &["[INST]"]),
    builtin!("mistral-v7", "mistral-v7", &["[INST]"]),
    builtin!("mistral-v7-tekken", "mistral-v7-tekken", &["[INST]"]),
    builtin!("olmo2", "olmo2", &["<|user|>"]),
    builtin!("phi-3", "phi-3", &["<|end|>"]),
    builtin!("phi-4", "phi-4", &["<|end|>"]),
    builtin!("plain", "plain", &[]),
    builtin!("qwen", "qwen", &["<|im_end|>"]),
    builtin!("smollm", "chatml", &["<|im_end|>"]),
    builtin!("stablelm", "zephyr", &["<|user|>"]),
    builtin!("starcoder2", "starcoder2", &["### Instruction"]),
    builtin!("vicuna", "vicuna", &["USER:"]),
    builtin!("zephyr", "zephyr", &["<|user|>"]),
];

pub(super) fn find(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

/// What a model's name says, first match first; many llamas are known by nothing else.
const BY_NAME: &[(&[&str], &str)] = &[
    (&["alpaca"], "alpaca"),
    (&["vicuna"], "vicuna"),
    (&["koala"], "koala"),
    (&["zephyr", "tinyllama"], "zephyr"),
    (&["hermes", "chatml", "dolphin"], "chatml"),
    (&["smollm"], "smollm"),
    (&["ministral", "nemo"], "mistral-v3-tekken"),
    (&["mistral-small", "mistral small"], "mistral-v7-tekken"),
    (&["mixtral"], "mistral-v1"),
    (&["mistral"], "mistral-v3"),
    (&["glm-edge"], "glm-edge"),
    (&["chatglm3"], "chatglm3"),
    (&["glm-4", "glm4"], "glm-4"),
    (&["llama-3", "llama 3", "llama3"], "llama-3"),
    (&["llama-2", "llama 2", "llama2"], "llama-2"),
    (&["phi-4", "phi4", "phi 4"], "phi-4"),
    (&["internlm2"], "internlm2"),
    (&["minicpm"], "minicpm"),
    (&["qwen"], "qwen"),
];

/// What an architecture speaks where the name says nothing. `llama` alone says nothing.
const BY_ARCHITECTURE: &[(&[&str], &str)] = &[
    (&["qwen"], "qwen"),
    (&["gemma"], "gemma"),
    (&["phi3"], "phi-3"),
    (&["chatglm"], "chatglm3"),
    (&["glm4"], "glm-4"),
    (&["smollm3"], "smollm"),
    (&["gpt-oss"], "gpt-oss"),
    (&["granite"], "granite"),
    (&["olmo"], "olmo2"),
    (&["stablelm"], "stablelm"),
    (&["internlm2"], "internlm2"),
    (&["minicpm"], "minicpm"),
    (&["exaone4"], "exaone-4"),
    (&["exaone"], "exaone-3"),
    (&["starcoder2"], "starcoder2"),
    (&["lfm2"], "lfm2"),
];

pub(super) fn detect(architecture: &str, model_name: &str) -> Option<&'static str> {
    let name = model_name.to_lowercase();
    let named = BY_NAME.iter().find(|(parts, _)| parts.iter().any(|part| name.contains(part)));
    let by_architecture =
        || BY_ARCHITECTURE.iter().find(|(parts, _)| parts.iter().any(|part| architecture.starts_with(part)));
    named.or_else(by_architecture).map(|(_, template)| *template)
}

#[cfg(test)]
mod tests {
    use super::{BUILTINS, BY_ARCHITECTURE, BY_NAME, detect, find};
    use crate::chat::{Chat, ChatTemplate, Message, Role};
    use crate::error::ChatError;

    #[test]
    fn every_name_is_known_once_and_parses() {
        for builtin in BUILTINS {
            let same = BUILTINS.iter().filter(|other| other.name == builtin.name).count();
            assert_eq!(same, 1, "{}", builtin.name);
            let template = ChatTemplate::builtin(builtin.name).expect(builtin.name);
            assert_eq!(template.stops(), builtin.stops);
        }
        for (_, name) in BY_NAME.iter().chain(BY_ARCHITECTURE) {
            assert!(find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known() {
        let error = ChatTemplate::builtin("alpacca").expect_err("no such template");
        assert!(
            matches!(&error, ChatError::UnknownTemplate { name, known } if name == "alpacca" && known.contains("alpaca, chatglm3"))
        );
    }

    #[test]
    fn models_are_known_by_name_and_then_by_architecture() {
        let cases = [
            ("llama", "Vicuna 7B v1.5", Some("vicuna")),
            ("llama", "koala-7B", Some("koala")),
            ("llama", "Llama-2-7b-chat-hf", Some("llama-2")),
            ("llama", "Llama 3.2 1B Instruct", Some("llama-3")),
            ("llama", "Mistral-7B-Instruct-v0.3", Some("mistral-v3")),
            ("llama", "SmolLM2 360M", Some("smollm")),
            ("llama", "", None),
            ("qwen3", "", Some("qwen")),
            ("gemma3n", "", Some("gemma")),
            ("phi3", "Phi 4 Mini Instruct", Some("phi-4")),
            ("phi3", "", Some("phi-3")),
            ("phi3", "Phi-4-mini-instruct", Some("phi-4")),
            ("exaone4", "", Some("exaone-4")),
            ("gpt2", "some-model", None),
        ];
        for (architecture, name, expected) in cases {
            assert_eq!(detect(architecture, name), expected, "{architecture} {name}");
        }
    }

    #[test]
    fn no_format_s_own_mark_of_a_reply_is_a_stop() {
        let messages = [Message::new(Role::User, "Hi")];
        for builtin in BUILTINS {
            let template = ChatTemplate::builtin(builtin.name).expect(builtin.name);
            let prompt = template.render(&Chat::new(&messages)).expect(builtin.name);
            assert!(!builtin.stops.iter().any(|stop| prompt.ends_with(stop)), "{}", builtin.name);
        }
    }
}
