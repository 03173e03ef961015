//! Pre-tokenizers by their GGUF name: how byte pair encoding cuts a text into words before it merges.
//!
//! Names and what they mean are llama.cpp's (src/llama-vocab.cpp, `tokenizer_pre`). The expressions are those of the
//! models' own tokenizer.json, where llama.cpp has adapted one to the engine it searches with.

use super::words::{DIGIT_GROUPS, DIGIT_GROUPS_APART, Words};
use crate::error::TokenizerError;

/// One way of pre-tokenizing.
struct Entry {
    names: &'static [&'static str],
    steps: &'static [&'static str], // expressions, each applied to the words of the one before
    rules: Rules,
}

/// What else a name stands for.
#[derive(Clone, Copy, Default)]
pub(super) struct Rules {
    /// A word that is a token as a whole is not merged piece by piece.
    pub(super) whole_words: bool,
    /// Texts start with the BOS token, unless the file says otherwise.
    pub(super) add_bos: bool,
    /// Pieces are plain text with `▁` for the space and tokens such as `<0x0A>` for bytes, not GPT-2's alphabet.
    pub(super) plain_text: bool,
}

const NO_RULES: Rules = Rules { whole_words: false, add_bos: false, plain_text: false };
const WHOLE_WORDS: Rules = Rules { whole_words: true, ..NO_RULES };

/// A pre-tokenizer, ready to use.
pub(super) struct PreTokenizer {
    pub(super) steps: Vec<Words>,
    pub(super) rules: Rules,
}

impl PreTokenizer {
    /// The pre-tokenizer of this name; `None` stands for old files, which name none.
    pub(super) fn named(name: Option<&str>) -> Result<PreTokenizer, TokenizerError> {
        let name = name.filter(|n| !n.is_empty()).unwrap_or("default");
        let entry = TABLE
            .iter()
            .find(|e| e.names.contains(&name))
            .ok_or_else(|| TokenizerError::UnknownPreTokenizer { name: name.to_string() })?;
        let steps = entry.steps.iter().map(|step| Words::regex(step).expect("the tests compile every expression"));
        Ok(PreTokenizer { steps: steps.collect(), rules: entry.rules })
    }
}

/// GPT-2: contractions, words, numbers and other signs, each with a space before it.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Llama 3, after OpenAI's cl100k: numbers in threes, line ends kept together.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2: Llama 3 with single digits.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 3.5: Qwen 2 with combining marks as part of words.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// OpenAI's o200k: words cut where a lower-case letter meets an upper-case one, contractions with their word.
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Mistral's Tekken: o200k with single digits and without contractions.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Kimi K2: o200k with Chinese apart.
const KIMI_K2: &str = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Ling and LLaDA.
const BAILING: &str =
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED_CODER: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
const MINICPM5: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// DeepSeek V3, behind its numbers and its Chinese and Japanese.
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
/// The letters of DeepSeek LLM, spelled out as in its tokenizer.json.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
/// BLOOM and its relatives: words end at white space and at these signs.
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
/// Text and line ends apart.
const LINES: &str = r"[^\n]+|[\n]+";

const TABLE: &[Entry] = &[
    Entry {
        names: &["default"],
        steps: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
        rules: NO_RULES,
    },
    Entry {
        names: &["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        steps: &[LLAMA3],
        rules: Rules { add_bos: true, ..WHOLE_WORDS },
    },
    Entry { names: &["dbrx", "smaug-bpe", "chatglm-bpe"], steps: &[LLAMA3], rules: NO_RULES },
    Entry { names: &["glm4", "glm5"], steps: &[LLAMA3], rules: WHOLE_WORDS },
    Entry { names: &["minicpm5"], steps: &[r"\p{N}{1,3}", MINICPM5], rules: WHOLE_WORDS },
    Entry {
        names: &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "exaone4",
            "trillion",
            "granite-docling",
            "gigachat",
            "a.x-4.0",
            "mellum",
        ],
        steps: &[GPT2],
        rules: NO_RULES,
    },
    Entry {
        names: &["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"],
        steps: &[r"\p{N}", GPT2],
        rules: NO_RULES,
    },
    Entry {
        names: &["qwen2", "deepseek-r1-qwen", "kormo", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"],
        steps: &[QWEN2],
        rules: NO_RULES,
    },
    Entry { names: &["qwen35"], steps: &[QWEN35], rules: NO_RULES },
    Entry { names: &["gpt-4o", "llama4", "kanana2", "minimax-m2"], steps: &[GPT4O], rules: NO_RULES },
    Entry { names: &["tiny_aya"], steps: &[DIGIT_GROUPS_APART, GPT4O], rules: NO_RULES },
    Entry { names: &["tekken"], steps: &[TEKKEN], rules: Rules { add_bos: true, ..WHOLE_WORDS } },
    Entry { names: &["kimi-k2"], steps: &[KIMI_K2], rules: NO_RULES },
    Entry { names: &["falcon"], steps: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"], rules: NO_RULES },
    Entry {
        names: &["deepseek-llm"],
        steps: &["[\r\n]", DEEPSEEK_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", "[一-龥ࠀ-一가-퟿]+", r"\p{N}+"],
        rules: NO_RULES,
    },
    Entry {
        names: &["deepseek-coder"],
        steps: &["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
        rules: NO_RULES,
    },
    Entry {
        names: &["deepseek-v3", "hunyuan-dense", "joyai-llm"],
        steps: &[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3],
        rules: NO_RULES,
    },
    Entry { names: &["poro-chat", "bloom", "gpt3-finnish"], steps: &[BLOOM], rules: NO_RULES },
    Entry { names: &["viking"], steps: &[BLOOM, r"\p{N}"], rules: NO_RULES },
    Entry { names: &["superbpe"], steps: &[r"\p{N}+", DIGIT_GROUPS], rules: NO_RULES },
    Entry { names: &["bailingmoe", "bailingmoe2", "llada-moe"], steps: &[BAILING], rules: NO_RULES },
    Entry { names: &["seed-coder"], steps: &[SEED_CODER], rules: NO_RULES },
    Entry { names: &["exaone-moe"], steps: &[EXAONE_MOE], rules: NO_RULES },
    Entry { names: &["gemma4"], steps: &[LINES], rules: Rules { add_bos: true, plain_text: true, ..NO_RULES } },
];

#[cfg(test)]
mod tests {
    use tokenizers::Offsets;
    use tokenizers::tokenizer::pattern::Pattern;

    use super::super::tests::texts;
    use super::*;

    /// Cuts `text` by the steps, one after the other.
    fn cut(text: &str, find: impl Fn(usize, &str) -> Vec<Offsets>, steps: usize) -> Vec<String> {
        let mut words = vec![text.to_string()];
        for step in 0..steps {
            let cut = |word: &String| {
                let found = find(step, word).into_iter().filter(|(a, b)| a < b);
                found.map(|(a, b)| word[a..b].to_string()).collect::<Vec<_>>()
            };
            words = words.iter().flat_map(cut).collect();
        }
        words
    }

    #[test]
    fn every_pre_tokenizer_cuts_as_the_crate_does_with_the_whole_expressions() {
        let texts = texts(400);
        for entry in TABLE {
            let ours = PreTokenizer::named(Some(entry.names[0])).expect("in the table");
            let theirs: Vec<fancy_regex::Regex> =
                entry.steps.iter().map(|s| fancy_regex::Regex::new(s).expect("a good expression")).collect();
            let find = |found: tokenizers::Result<Vec<(Offsets, bool)>>| {
                found.expect("finds").into_iter().map(|f| f.0).collect()
            };
            for text in &texts {
                let got = cut(text, |step, word| find((&ours.steps[step]).find_matches(word)), entry.steps.len());
                let want = cut(text, |step, word| find((&theirs[step]).find_matches(word)), entry.steps.len());
                assert_eq!(got, want, "{:?} {text:?}", entry.names);
            }
        }
    }

    #[test]
    fn words_are_those_of_hugging_faces_course() {
        // Chapter 6.4 of the course, GPT-2's `pre_tokenize_str`.
        let gpt2 = PreTokenizer::named(Some("gpt-2")).expect("in the table");
        let text = "Hello, how are  you?";
        let words: Vec<&str> =
            (&gpt2.steps[0]).find_matches(text).expect("finds").iter().map(|&((a, b), _)| &text[a..b]).collect();
        assert_eq!(words, ["Hello", ",", " how", " are", " ", " you", "?"]);
    }

    #[test]
    fn no_name_stands_twice_and_an_unknown_one_is_an_error() {
        let mut names: Vec<&str> = TABLE.iter().flat_map(|e| e.names).copied().collect();
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
        assert!(PreTokenizer::named(None).is_ok());
        let unknown = PreTokenizer::named(Some("gpt-17"));
        assert!(matches!(unknown, Err(TokenizerError::UnknownPreTokenizer { name }) if name == "gpt-17"));
    }
}
