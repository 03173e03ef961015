//! Whole files through the converter.

use sprat_gguf::Contents;

use super::*;

/// A folder of one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sprat-quantize-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("the folder can be written");
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the folder is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind, it is the system's to clean.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// (name, shape, values) of a model of one layer; the embedding takes several pieces.
fn tensors() -> Vec<(&'static str, Vec<u64>, Vec<f32>)> {
    let values = |n: u64| (0..n).map(|i| ((i * 7919 + i * i % 104_729) % 2001) as f32 / 1000.0 - 1.0).collect();
    let shapes = [
        ("output_norm.weight", vec![256]),
        ("token_embd.weight", vec![256, 4100]),
        ("blk.0.attn_v.weight", vec![256, 64]),
        ("blk.0.ffn_down.weight", vec![288, 256]),
    ];
    shapes.into_iter().map(|(name, shape)| (name, shape.clone(), values(shape.iter().product()))).collect()
}

fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn metadata() -> Writer<'static> {
    let mut writer = Writer::new("llama");
    writer.u32("llama.block_count", 1).u32("general.file_type", 0).strings("tokenizer.ggml.tokens", &["a", "b"]);
    writer
}

/// The model in F32, with changed values where `change` makes some.
fn gguf(change: impl Fn(&str, &mut Vec<f32>)) -> Vec<u8> {
    let mut writer = metadata();
    for (name, shape, mut values) in tensors() {
        change(name, &mut values);
        let bytes = le_bytes(&values);
        writer.tensor_with(name, &shape, TensorKind::F32, move |out| out.write_all(&bytes));
    }
    let mut bytes = Vec::new();
    writer.write(&mut bytes).expect("memory takes all");
    bytes
}

fn run(input: &Path, metadata: Option<&Path>, mixture: Mixture, output: &Path) -> Result<Summary, Error> {
    convert(&Source::open(input, metadata)?, mixture, output, false)
}

/// Types and values of a file.
fn read(path: &Path) -> (Contents, Vec<Vec<f32>>) {
    let bytes = fs::read(path).expect("it was written");
    let contents = Contents::parse(&bytes, bytes.len() as u64).expect("a right file");
    let values = |tensor: &Tensor| {
        let mut values = vec![0.0; tensor.shape.iter().product::<u64>() as usize];
        let row = &bytes[tensor.range.start as usize..tensor.range.end as usize];
        Isa::detect().dequantize(format(tensor.kind).expect("a readable type"), row, &mut values);
        values
    };
    let values = contents.tensors.iter().map(values).collect();
    (contents, values)
}

#[test]
fn metadata_and_order_stay_and_values_come_near() {
    let folder = Folder::new("values");
    let input = folder.file("in.gguf", &gguf(|_, _| ()));
    for (mixture, bound) in
        [(Mixture::F16, 0.0005), (Mixture::Q8_0, 0.005), (Mixture::Q4_0, 0.15), (Mixture::Q4_K_M, 0.15)]
    {
        let output = folder.0.join("out.gguf");
        let summary = run(&input, None, mixture, &output).expect("it can be converted");
        assert_eq!(summary.file_bytes, fs::metadata(&output).expect("it was written").len());
        let (contents, values) = read(&output);
        assert_eq!(contents.u32("general.file_type"), Ok(Some(mixture.file_type())));
        assert_eq!(contents.u32("general.quantization_version"), Ok(Some(2)));
        assert_eq!(contents.u32("llama.block_count"), Ok(Some(1)));
        assert_eq!(contents.array("tokenizer.ggml.tokens").expect("an array").expect("present").len, 2);
        for ((tensor, values), (name, shape, expected)) in contents.tensors.iter().zip(values).zip(tensors()) {
            assert_eq!((tensor.name.as_str(), &tensor.shape), (name, &shape));
            let worst = values.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let bound = if tensor.kind == TensorKind::F32 { 0.0 } else { bound };
            assert!(worst <= bound, "{mixture:?} {name}: off by {worst}");
        }
    }
    assert_eq!(folder.names(), ["in.gguf", "out.gguf"]);
}

#[test]
fn blocks_of_a_file_do_not_depend_on_how_it_was_cut() {
    let folder = Folder::new("pieces");
    let input = folder.file("in.gguf", &gguf(|_, _| ()));
    let output = folder.0.join("out.gguf");
    run(&input, None, Mixture::Q8_0, &output).expect("it can be converted");
    let bytes = fs::read(&output).expect("it was written");
    let (contents, _) = read(&output);
    for (name, _, values) in tensors().into_iter().skip(1) {
        let range = contents.tensor(name).expect("present").range.clone();
        let whole = blocks::quantize(TensorKind::Q8_0, &values).expect("whole blocks");
        assert!(bytes[range.start as usize..range.end as usize] == whole, "{name}");
    }
}

#[test]
fn a_file_may_be_quantized_again_onto_itself() {
    let folder = Folder::new("again");
    let path = folder.file("model.gguf", &gguf(|_, _| ()));
    run(&path, None, Mixture::Q8_0, &path).expect("from F32");
    let first = fs::read(&path).expect("it was written");
    run(&path, None, Mixture::Q8_0, &path).expect("nothing to do");
    assert!(fs::read(&path).expect("it was written") == first, "the same types are copied");
    run(&path, None, Mixture::Q4_0, &path).expect("from Q8_0");
    let (contents, _) = read(&path);
    assert_eq!(contents.tensor("blk.0.attn_v.weight").map(|tensor| tensor.kind), Some(TensorKind::Q4_0));
    assert_eq!(folder.names(), ["model.gguf"]);
}

#[test]
fn safetensors_give_the_file_that_gguf_gives() {
    let folder = Folder::new("safetensors");
    let input = folder.file("in.gguf", &gguf(|_, _| ()));
    let (mut entries, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, mut shape, values) in tensors() {
        shape.reverse();
        let start = data.len();
        data.extend(le_bytes(&values));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        entries.insert(name.to_owned(), entry);
    }
    let header = serde_json::to_vec(&entries).expect("it is JSON");
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    let safetensors = folder.file("in.safetensors", &bytes);
    let (a, b) = (folder.0.join("a.gguf"), folder.0.join("b.gguf"));
    run(&input, None, Mixture::Q5_K_M, &a).expect("GGUF");
    run(&safetensors, Some(&input), Mixture::Q5_K_M, &b).expect("safetensors");
    assert!(fs::read(a).expect("written") == fs::read(b).expect("written"));
    let error = Source::open(&safetensors, None).err().expect("no metadata").to_string();
    assert!(error.contains("--metadata-from"), "{error}");
}

#[test]
fn values_that_no_block_can_hold_are_errors_and_leave_no_file() {
    let folder = Folder::new("values-refused");
    for (at, value) in [(0, f32::NAN), (1_049_599, f32::INFINITY), (300_000, -1e5)] {
        let change = |name: &str, values: &mut Vec<f32>| {
            if name == "token_embd.weight" {
                values[at] = value;
            }
        };
        let input = folder.file("in.gguf", &gguf(change));
        let error = run(&input, None, Mixture::Q4_K_M, &folder.0.join("out.gguf")).expect_err("not a weight");
        let Error::Value { name, index, value: found } = error else { panic!("{error}") };
        assert_eq!((name.as_str(), index, found.to_bits()), ("token_embd.weight", at as u64, value.to_bits()));
        assert_eq!(folder.names(), ["in.gguf"]);
    }
}

#[test]
fn files_that_are_no_models_are_errors() {
    let folder = Folder::new("refused");
    let whole = gguf(|_, _| ());
    let named = |writer: Writer<'_>| {
        let mut bytes = Vec::new();
        writer.write(&mut bytes).expect("memory takes all");
        bytes
    };
    let mut split = metadata();
    split.u16("split.count", 3);
    let mut strange = metadata();
    strange.tensor("token_embd.weight", &[256, 2], TensorKind::TQ2_0, &[0; 132]);
    let mut bare = Writer::new("llama");
    bare.tensor("token_embd.weight", &[2], TensorKind::F32, &[0; 8]);
    let cases = [
        ("empty", Vec::new(), "cut off"),
        ("short", b"GGU".to_vec(), "cut off"),
        ("text", b"once upon a time there was".to_vec(), "header would have"),
        ("cut in the header", whole[..100].to_vec(), "cut off"),
        ("cut in the data", whole[..whole.len() - 9000].to_vec(), "outside the file"),
        ("vocabulary alone", named(metadata()), "token_embd.weight"),
        ("a part", named(split), "3 parts"),
        ("unreadable blocks", named(strange), "TQ2_0"),
        ("no layers", named(bare), "llama.block_count"),
    ];
    for (what, bytes, expected) in cases {
        let input = folder.file("in.gguf", &bytes);
        let error = run(&input, None, Mixture::Q8_0, &folder.0.join("out.gguf")).expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
        assert_eq!(folder.names(), ["in.gguf"], "{what}");
    }
    assert!(matches!(Source::open(&folder.0, None), Err(Error::Read { .. })), "a folder");
    let input = folder.file("in.gguf", &whole);
    let nowhere = folder.0.join("nowhere/out.gguf");
    assert!(matches!(run(&input, None, Mixture::Q8_0, &nowhere), Err(Error::Write { .. })));
}
