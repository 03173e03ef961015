//! Opening a model: split files, templates that do not parse, tensors that nobody needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sprat::error::ChatError;
use sprat::{Context, ContextOptions, Error, Model, OpenOptions, Source, TemplateChoice};
use sprat_gguf::{Contents, TensorKind, Writer};
use sprat_tests::small::Small;

/// A folder of its own for one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sprat-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("temporary folder");
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("temporary file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind in the folder for temporary files does no harm.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

fn small() -> Vec<u8> {
    Small::new("llama", TensorKind::Q8_0).bytes()
}

/// Every `count`th tensor of the small file, as gguf-split writes a part: metadata in the first alone.
fn part(number: u16, count: u16, change: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let bytes = small();
    let contents = Contents::parse(&bytes, bytes.len() as u64).expect("valid");
    let mut writer = if number == 0 { Writer::like(&contents, &bytes) } else { Writer::new("llama") };
    writer.u16("split.no", number).u16("split.count", count);
    writer.i32("split.tensors.count", contents.tensors.len() as i32);
    change(&mut writer);
    for tensor in contents.tensors.iter().skip(usize::from(number)).step_by(usize::from(count)) {
        let data = &bytes[tensor.range.start as usize..tensor.range.end as usize];
        writer.tensor(&tensor.name, &tensor.shape, tensor.kind, data);
    }
    let mut out = Vec::new();
    writer.write(&mut out).expect("memory takes all");
    out
}

fn logits(model: Model) -> Vec<f32> {
    let mut context = Context::new(Arc::new(model), &ContextOptions::default()).expect("good options");
    context.feed(&[1, 2, 3], &AtomicBool::new(false)).expect("it runs").to_vec()
}

#[test]
fn a_split_file_is_the_model_that_was_split() {
    let folder = Folder::new("split");
    let paths: Vec<PathBuf> =
        (0..3).map(|i| folder.file(&format!("m-{:05}-of-00003.gguf", i + 1), &part(i, 3, |_| ()))).collect();
    let whole = logits(Model::open(folder.file("whole.gguf", &small())).expect("a good file"));
    for path in &paths {
        assert!(logits(Model::open(path).expect("its siblings are beside it")) == whole);
    }
    let source = |path: &PathBuf| {
        let descriptor = std::fs::File::open(path).expect("just written");
        let len_bytes = descriptor.metadata().expect("an open file").len();
        Source::Descriptor { descriptor: descriptor.into(), offset_bytes: 0, len_bytes }
    };
    let given = |order: &[usize]| Model::open(Source::Parts(order.iter().map(|&i| source(&paths[i])).collect()));
    assert!(logits(given(&[0, 1, 2]).expect("all parts in order")) == whole);
    for wrong in [&[0, 2, 1][..], &[1, 2, 0], &[0, 1], &[0], &[0, 0, 0], &[]] {
        assert!(matches!(given(wrong), Err(Error::Split { .. })), "{wrong:?}");
    }
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let folder = Folder::new("misfit");
    let open = |first: &[u8], second: Option<&[u8]>| {
        let path = folder.file("m-00001-of-00002.gguf", first);
        let other = folder.0.join("m-00002-of-00002.gguf");
        match second {
            Some(bytes) => std::fs::write(other, bytes).expect("temporary file"),
            None => drop(std::fs::remove_file(other)),
        }
        Model::open(path).err().expect("it does not fit")
    };
    let good = |number| part(number, 2, |_| ());
    let missing = open(&good(0), None);
    assert!(matches!(&missing, Error::Open { path, .. } if path.ends_with("m-00002-of-00002.gguf")), "{missing}");
    assert!(matches!(open(&good(0), Some(&good(0))), Error::Split { part: 2, .. }));
    let lost = open(&part(0, 2, |w| _ = w.i32("split.tensors.count", 99)), Some(&good(1)));
    assert!(matches!(lost, Error::Split { part: 0, .. }), "{lost}");
    assert!(matches!(open(&small(), Some(&good(1))), Error::Split { part: 1, .. }));
}

fn with(change: impl FnOnce(&mut Writer<'_>), extra: Option<&str>) -> Vec<u8> {
    changed(&small(), change, extra)
}

/// A file with other metadata and one tensor more.
fn changed(bytes: &[u8], change: impl FnOnce(&mut Writer<'_>), extra: Option<&str>) -> Vec<u8> {
    let contents = Contents::parse(bytes, bytes.len() as u64).expect("valid");
    let mut writer = Writer::like(&contents, bytes);
    change(&mut writer);
    for tensor in &contents.tensors {
        let data = &bytes[tensor.range.start as usize..tensor.range.end as usize];
        writer.tensor(&tensor.name, &tensor.shape, tensor.kind, data);
    }
    if let Some(name) = extra {
        writer.tensor(name, &[2], TensorKind::F32, &[0; 8]);
    }
    let mut out = Vec::new();
    writer.write(&mut out).expect("memory takes all");
    out
}

#[test]
fn a_template_that_does_not_parse_is_refused_unless_another_is_chosen() {
    let folder = Folder::new("template");
    let bad = "{% for m in messages %}\n{{ m.content }}\n{% endwhile %}";
    let path: &Path = &folder.file("bad.gguf", &with(|w| _ = w.str("tokenizer.chat_template", bad), None));
    let error = Model::open(path).err().expect("it does not parse");
    assert!(matches!(&error, Error::Chat(ChatError::Syntax { line: 3, reason }) if !reason.is_empty()), "{error}");
    let open = |choice| Model::open_with(path, &OpenOptions { template: Some(choice), ..OpenOptions::default() });
    let builtin = open(TemplateChoice::Builtin("chatml".into())).expect("a built-in template");
    assert_eq!(builtin.info().template, "chatml");
    let text = "{{ messages[0].content }}!";
    let own = open(TemplateChoice::Text(text.into())).expect("a good template");
    assert_eq!(own.template().expect("it has one").source(), text);
    assert!(matches!(open(TemplateChoice::Text(bad.into())), Err(Error::Chat(ChatError::Syntax { .. }))));
}

#[test]
fn a_tensor_that_the_family_does_not_have_is_named() {
    let folder = Folder::new("unused");
    let model = Model::open(folder.file("good.gguf", &small())).expect("a good file");
    assert!(model.unused_tensors().is_empty(), "{:?}", model.unused_tensors());
    let bytes = with(|_| (), Some("blk.0.attn_rel_b.weight"));
    let model = Model::open(folder.file("more.gguf", &bytes)).expect("a good file");
    assert_eq!(model.unused_tensors(), ["blk.0.attn_rel_b.weight"]);
}

#[test]
fn layers_that_only_guess_further_tokens_are_left_out() {
    let folder = Folder::new("extra-layers");
    let good = Small::new("qwen35", TensorKind::Q8_0).bytes();
    // Lists may count the layer behind the last or not, and name the recurrent ones instead of how far attention is apart.
    for listed in [&[true, true, true, false, false][..], &[true, true, true, false]] {
        let change = |w: &mut Writer<'_>| {
            w.u32("qwen35.block_count", 5).u32("qwen35.nextn_predict_layers", 1);
            w.u32("qwen35.full_attention_interval", 9).bools("qwen35.attention.recurrent_layers", listed);
        };
        let bytes = changed(&good, change, Some("blk.4.nextn.enorm.weight"));
        let model = Model::open(folder.file("more.gguf", &bytes)).expect("a good file");
        assert!(model.unused_tensors().is_empty(), "{:?}", model.unused_tensors());
        assert!(logits(model) == logits(Model::open(folder.file("good.gguf", &good)).expect("a good file")));
    }
    let none_left = changed(&good, |w| _ = w.u32("qwen35.nextn_predict_layers", 4), None);
    let refused = Model::open(folder.file("none.gguf", &none_left)).map(|_| ()).expect_err("no layer is left");
    assert!(matches!(&refused, Error::BadKey { key, .. } if key == "qwen35.nextn_predict_layers"), "{refused}");
    let without_heads = changed(&good, |w| _ = w.u32("qwen35.attention.head_count_kv", 0), None);
    let refused = Model::open(folder.file("heads.gguf", &without_heads)).map(|_| ()).expect_err("no heads");
    assert!(matches!(&refused, Error::BadKey { key, .. } if key == "qwen35.attention.head_count_kv"), "{refused}");
}

#[test]
fn a_window_whose_heads_would_rotate_more_than_they_have_is_refused() {
    let folder = Folder::new("rotation");
    let good = Small::new("gemma4", TensorKind::F16).bytes();
    Model::open(folder.file("good.gguf", &good)).expect("a good file");
    // Without that key they would rotate as many values as the wider heads of the other layers have.
    let mut bytes = good;
    let key = b"gemma4.rope.dimension_count_swa";
    let at = bytes.windows(key.len()).position(|window| window == key).expect("the file has the key");
    bytes[at] = b'x';
    let error = Model::open(folder.file("bad.gguf", &bytes)).err().expect("128 of 64 values");
    assert!(error.to_string().contains("rope.dimension_count_swa"), "{error}");
}
