//! Thoughts and tool calls apart from the answer, while it streams.

/// What a piece of a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// The answer itself.
    Answer,
    /// The model's thoughts.
    Thinking,
    /// A tool call, to be parsed when it is complete.
    ToolCall,
}

/// The marks around a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionMarks<'a> {
    /// What stands between them.
    pub section: Section,
    /// What begins it.
    pub open: &'a str,
    /// What ends it; `None` where it goes on to the reply's end.
    pub close: Option<&'a str>,
}

impl SectionMarks<'static> {
    /// `<think>…</think>`, as most thinking models write.
    pub const THINK: SectionMarks<'static> =
        SectionMarks { section: Section::Thinking, open: "<think>", close: Some("</think>") };
}

/// Marks as the splitter keeps them.
#[derive(Debug, Clone)]
struct Marks {
    section: Section,
    open: Box<str>,
    close: Option<Box<str>>,
}

/// Splits a stream of text into sections.
///
/// A section around a tag is told without the tag. Thoughts come without the line breaks at either end, and what follows
/// them without those at its beginning: the marks stand on lines of their own. A tool call comes as it is, and its pieces
/// include nothing of the marks. Text that may become a mark, or that may be a line break at the end of thoughts, is held
/// back until it is known.
#[derive(Debug, Clone)]
pub struct SectionSplitter {
    marks: Box<[Marks]>,
    /// Which of the marks is open.
    inside: Option<usize>,
    held: String,
    /// Whether line breaks are dropped until something else comes.
    at_start: bool,
}

impl SectionSplitter {
    /// A splitter for these sections. Marks without text are ignored.
    pub fn new(marks: &[SectionMarks]) -> SectionSplitter {
        let marks = marks.iter().filter(|marks| !marks.open.is_empty() && marks.close != Some(""));
        SectionSplitter {
            marks: marks
                .map(|marks| Marks {
                    section: marks.section,
                    open: marks.open.into(),
                    close: marks.close.map(Into::into),
                })
                .collect(),
            inside: None,
            held: String::with_capacity(4096),
            at_start: false,
        }
    }

    /// Says what the prompt already opened: templates of models that always think end their prompt with `<think>`.
    /// A prompt that also closes it opens nothing.
    pub fn begin_after(&mut self, prompt: &str) {
        let prompt = prompt.trim_end_matches('\n');
        self.inside = self.marks.iter().position(|marks| prompt.ends_with(&*marks.open));
        self.at_start = self.inside.is_some();
    }

    /// Takes text and hands on what is certain now, each piece with its section.
    pub fn push(&mut self, text: &str, mut emit: impl FnMut(Section, &str)) {
        self.held.push_str(text);
        self.split(&mut emit);
        let keep = self.uncertain_len();
        let certain = self.held.len() - keep;
        self.give_out(certain, &mut emit);
    }

    /// Hands on what was held back, when no more text follows.
    pub fn finish(&mut self, mut emit: impl FnMut(Section, &str)) {
        self.split(&mut emit);
        if self.section() == Section::Thinking {
            let len = self.held.trim_end_matches('\n').len();
            self.held.truncate(len);
        }
        self.give_out(self.held.len(), &mut emit);
    }

    /// What the next character belongs to, unless it begins a mark.
    pub fn section(&self) -> Section {
        self.inside.map_or(Section::Answer, |index| self.marks[index].section)
    }

    /// Goes through every complete mark in the held text.
    fn split(&mut self, emit: &mut impl FnMut(Section, &str)) {
        while let Some((at, len, next)) = self.next_mark() {
            let left = self.section();
            let mut end = at;
            if left == Section::Thinking {
                end = self.held[..at].trim_end_matches('\n').len();
            }
            self.give_out(end, emit);
            self.held.drain(..at - end + len);
            self.inside = next;
            self.at_start = left == Section::Thinking || self.section() == Section::Thinking;
        }
    }

    /// Place and length of the first mark, and the section that is open behind it.
    fn next_mark(&self) -> Option<(usize, usize, Option<usize>)> {
        if let Some(index) = self.inside {
            let close = self.marks[index].close.as_deref()?;
            return self.held.find(close).map(|at| (at, close.len(), None));
        }
        let found =
            self.marks.iter().enumerate().filter_map(|(index, marks)| {
                self.held.find(&*marks.open).map(|at| (at, marks.open.len(), Some(index)))
            });
        found.min_by_key(|(at, len, _)| (*at, usize::MAX - len))
    }

    /// Length of the held text's end that may be part of a mark, or of the line breaks before one.
    fn uncertain_len(&self) -> usize {
        let held = self.held.as_str();
        let longest = |mark: &str| {
            let mut lens = mark.char_indices().map(|(at, _)| at).rev();
            lens.find(|&len| held.ends_with(&mark[..len])).unwrap_or(0)
        };
        let mark = match self.inside {
            Some(index) => self.marks[index].close.as_deref().map_or(0, longest),
            None => self.marks.iter().map(|marks| longest(&marks.open)).max().unwrap_or(0),
        };
        if self.section() != Section::Thinking {
            return mark;
        }
        let before = &held[..held.len() - mark];
        mark + before.len() - before.trim_end_matches('\n').len()
    }

    fn give_out(&mut self, end: usize, emit: &mut impl FnMut(Section, &str)) {
        let mut piece = &self.held[..end];
        if self.at_start {
            piece = piece.trim_start_matches('\n');
        }
        if !piece.is_empty() {
            self.at_start = false;
            emit(self.section(), piece);
        }
        self.held.drain(..end);
    }
}

#[cfg(test)]
mod tests {
    use super::Section::{Answer, Thinking, ToolCall};
    use super::{Section, SectionMarks, SectionSplitter};

    const MARKS: [SectionMarks; 2] =
        [SectionMarks::THINK, SectionMarks { section: ToolCall, open: "<tool_call>", close: Some("</tool_call>") }];

    /// The sections of a text cut into pieces of `len` characters, neighbours of one kind joined.
    fn split(marks: &[SectionMarks], prompt: &str, text: &str, len: usize) -> Vec<(Section, String)> {
        let mut splitter = SectionSplitter::new(marks);
        splitter.begin_after(prompt);
        let mut sections: Vec<(Section, String)> = Vec::new();
        let mut emit = |section, piece: &str| match sections.last_mut() {
            Some((last, text)) if *last == section => text.push_str(piece),
            _ => sections.push((section, piece.to_owned())),
        };
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(len) {
            splitter.push(&piece.iter().collect::<String>(), &mut emit);
        }
        splitter.finish(&mut emit);
        sections
    }

    #[test]
    fn sections_are_the_same_however_the_text_is_cut() {
        type Sections = Vec<(Section, &'static str)>;
        let cases: [(&str, &str, Sections); 13] = [
            ("", "An answer.", vec![(Answer, "An answer.")]),
            ("", "<think>\nhm\n\nso\n</think>\n\nYes.\n", vec![(Thinking, "hm\n\nso"), (Answer, "Yes.\n")]),
            ("", "<think>\n\n</think>\n\nYes", vec![(Answer, "Yes")]),
            ("", "a<think>b</think>c<think>d", vec![(Answer, "a"), (Thinking, "b"), (Answer, "c"), (Thinking, "d")]),
            ("assistant\n<think>\n", "hm</think>Yes", vec![(Thinking, "hm"), (Answer, "Yes")]),
            ("<think>\n\n</think>\n\n", "Yes", vec![(Answer, "Yes")]),
            ("", "1 < 2 <thin> </think> é<", vec![(Answer, "1 < 2 <thin> </think> é<")]),
            ("", "<think>a < b </thin> c\n", vec![(Thinking, "a < b </thin> c")]),
            (
                "",
                "I look.\n<tool_call>\n{}\n</tool_call>\n<tool_call>[]</tool_call>",
                vec![(Answer, "I look.\n"), (ToolCall, "\n{}\n"), (Answer, "\n"), (ToolCall, "[]")],
            ),
            ("", "<think>x <tool_call> y</think><tool_call>z", vec![(Thinking, "x <tool_call> y"), (ToolCall, "z")]),
            ("", "<think>日\n本</think>\n語", vec![(Thinking, "日\n本"), (Answer, "語")]),
            ("", "<<think>a<</think>b", vec![(Answer, "<"), (Thinking, "a<"), (Answer, "b")]),
            ("", "", vec![]),
        ];
        for (prompt, text, expected) in cases {
            for len in 1..=text.len().max(1) {
                let sections = split(&MARKS, prompt, text, len);
                let sections: Vec<(Section, &str)> =
                    sections.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
                assert_eq!(sections, expected, "{text:?} by {len}");
            }
        }
    }

    #[test]
    fn a_section_without_a_closing_mark_goes_on_to_the_end() {
        let marks = [SectionMarks { section: ToolCall, open: "[TOOL_CALLS]", close: None }];
        let expected = vec![(Answer, "Well. ".to_owned()), (ToolCall, "a[ARGS]{}[TOOL_CALLS]b".to_owned())];
        for len in 1..20 {
            assert_eq!(split(&marks, "", "Well. [TOOL_CALLS]a[ARGS]{}[TOOL_CALLS]b", len), expected);
        }
    }

    #[test]
    fn an_answer_is_not_held_back() {
        let mut splitter = SectionSplitter::new(&MARKS);
        let mut pieces = Vec::new();
        for piece in ["Yes", ", ", "a <", " b\n", "\n<t"] {
            splitter.push(piece, |_, text| pieces.push(text.to_owned()));
        }
        assert_eq!(pieces, ["Yes", ", ", "a ", "< b\n", "\n"]);
    }
}
