//! Hostile weights: safetensors and the files of `torch.save`.

use super::support::folders::{HF_WEIGHTS, open, saved, tensors};
use super::{cases, damaged, edits, promptly};
use clipwright::checkpoint::safetensors::{Reader, Tensor, write};
use clipwright::checkpoint::{Checkpoint, Dtype, Format, Overrides, Precision, WEIGHTS, load_model};
use kernels::Activation;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Sizes at which products, sums and allocations break.
fn size() -> impl Strategy<Value = u64> {
    prop::sample::select(&[0, 1, 2, 3, 7, 64, 65, 1 << 16, 1 << 24, 1 << 31, 1 << 32, 1 << 62, 1 << 63, u64::MAX][..])
}

/// Returns the shapes of a model's tensors, from which its architecture is inferred.
static SHAPES: LazyLock<BTreeMap<String, Vec<u64>>> = LazyLock::new(|| {
    let (folder, _) = saved(Format::OpenClip, Precision::F32);
    let shape = |tensor: Tensor| (tensor.name, tensor.shape.iter().map(|&n| n as u64).collect());
    tensors(&folder.path().join(WEIGHTS)).into_iter().map(shape).collect()
});

/// Returns a file of these tensors, all zeros, cut to 1 MiB.
fn file_of(shapes: &BTreeMap<String, Vec<u64>>) -> Vec<u8> {
    let (mut header, mut end) = (serde_json::Map::new(), 0u64);
    for (name, shape) in shapes {
        let bytes = shape.iter().fold(4u64, |bytes, &n| bytes.saturating_mul(n));
        let start = end;
        end = end.saturating_add(bytes);
        header.insert(name.clone(), json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] }));
    }
    let header = Value::Object(header).to_string();
    let mut file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    file.resize(file.len() + end.min(1 << 20) as usize, 0);
    file
}

/// Opens a checkpoint and, if that succeeds, reads its model.
fn load(path: &Path) {
    let asked = Overrides { activation: Some(Activation::Gelu), ..Overrides::default() };
    let _ = Checkpoint::open(path, &asked).and_then(|checkpoint| checkpoint.model());
}

proptest! {
    #![proptest_config(cases(250))]

    /// Shapes may be anything: a tensor of 0 × 2⁶² numbers takes no room, and the architecture is inferred from shapes.
    #[test]
    fn monstrous_shapes_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(size(), 0..5), any::<bool>()), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut shapes = SHAPES.clone();
        for (which, shape, keep_rank) in changes {
            let name = SHAPES.keys().nth(which.index(SHAPES.len())).unwrap();
            let old = shapes.get_mut(name).unwrap();
            match keep_rank {
                true => old.iter_mut().zip(shape).for_each(|(old, new)| *old = new),
                false => *old = shape,
            }
        }
        fs::write(&path, file_of(&shapes)).unwrap();
        load(&path);
    }

    #[test]
    fn damaged_torch_saves_are_survived(edits in edits(), beside in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.bin");
        fs::write(&path, damaged(if beside { &TRAINER } else { &TORCH }, &edits)).unwrap();
        load(&path);
    }

    /// The prefix of all names is found from the names, whatever they are.
    #[test]
    fn any_names_are_survived(
        names in prop::collection::btree_set("(module|visual|text|0|model|[a-z]?)(\\.(visual|proj|0|text|logit_scale|[a-z]?)){0,4}", 0..30),
        own in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut shapes = if own { SHAPES.clone() } else { BTreeMap::new() };
        shapes.extend(names.into_iter().map(|name| (name, vec![1])));
        fs::write(&path, file_of(&shapes)).unwrap();
        load(&path);
    }

    /// What a file is not is recognised by its first bytes, which may be any.
    #[test]
    fn any_first_bytes_are_survived(
        magic in prop::sample::select(vec![&b"PK\x03\x04"[..], b"PK\x05\x06", b"\x80\x02", b"\x80\x05", b"GGUF", b"\x08\x07\x12", b"<", b"\x81\xa6", b""]),
        rest in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, [magic, &rest].concat()).unwrap();
        prop_assert!(open(&path).is_err());
    }

    /// Pickles are programs; these have arbitrary sequences of the instructions that stored tensors use.
    #[test]
    fn any_pickle_is_survived(program in prop::collection::vec(instruction(), 0..60)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        fs::write(&path, legacy(&program.concat())).unwrap();
        load(&path);
    }
}

static TORCH: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let fixture = "tests/golden/torch/open_clip_pytorch_model.bin";
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture)).unwrap()
});

/// The same weights beside the state of an optimizer.
static TRAINER: LazyLock<Vec<u8>> =
    LazyLock::new(|| fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/torch/trainer.pt")).unwrap());

/// Returns a file as `torch.save` wrote it before version 1.6: magic number, version, system, and the object itself.
fn legacy(program: &[u8]) -> Vec<u8> {
    const MAGIC: &[u8] = &[0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
    [MAGIC, b"\x80\x02M\xe9\x03.", b"\x80\x02}.", b"\x80\x02", program, b".", b"\x80\x02]."].concat()
}

fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let plain = prop::sample::select(&b"(012NRbdlts)]}aeuQ\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"[..]);
    prop_oneof![
        6 => plain.prop_map(|op| vec![op]),
        1 => (prop::sample::select(&b"KqhCU"[..]), 0..4u8).prop_map(|(op, n)| vec![op, n]),
        1 => any::<i32>().prop_map(|n| [&b"J"[..], &n.to_le_bytes()].concat()),
        1 => prop::sample::select(vec![&b"ctorch._utils\n_rebuild_tensor_v2\n"[..], b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n",
            b"X\x07\0\0\0storage", b"X\x01\0\0\x000", b"X\x03\0\0\0cpu", b"X\xff\xff\xff\x7f", b"B\xff\xff\xff\xff", b"\x8b\xff\xff\xff\x7f", b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f"]).prop_map(<[u8]>::to_vec),
    ]
}

/// Lists may be nested as deep as the file is long, or each hold the previous one twice: 2¹⁰⁰ items in 300 bytes.
#[test]
fn pickles_that_grow_or_nest_without_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    let doubling: Vec<u8> = (0..100).flat_map(|_| *b"2\x86").collect();
    for program in
        [[&b"N"[..], &b"\x85".repeat(1_000_000)].concat(), b"]".repeat(1_000_000), [&b"]"[..], &doubling].concat()]
    {
        fs::write(&path, legacy(&program)).unwrap();
        assert!(promptly(|| open(&path)).is_err());
    }
}

/// A name may have as many parts as it has room for, and a file as many names.
#[test]
fn endless_names_are_read_promptly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let names = (0..20_000).map(|i| format!("{i}.visual.visual.text.transformer.resblocks.0.mlp.c_fc.bias"));
    let shapes = names.chain([".".repeat(1_000_000), "visual.".repeat(100_000) + "proj"]).map(|name| (name, vec![0]));
    fs::write(&path, file_of(&shapes.collect())).unwrap();
    assert!(promptly(|| open(&path)).is_err());
}

#[test]
fn numbers_that_are_none_are_named() {
    let (folder, _) = saved(Format::HuggingFace, Precision::F32);
    let path = folder.path().join(HF_WEIGHTS);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut all = tensors(&path);
        let last = all.len() - 1;
        *all[last].values.to_mut().last_mut().unwrap() = value;
        let broken = folder.path().join("model.safetensors");
        write(&broken, &all, []).unwrap();
        let error = load_model(folder.path()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&all[last].name) && error.contains(&value.to_string()), "{error}");
        *all[last].values.to_mut().last_mut().unwrap() = 0.0;
        write(&broken, &all, []).unwrap();
    }
}

/// Every type that the format knows is read or refused by name.
#[test]
fn other_types_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    for (dtype, bytes) in
        [("BOOL", 1), ("U8", 1), ("I8", 1), ("I32", 4), ("I64", 8), ("U64", 8), ("F64", 8), ("F8_E4M3", 1)]
    {
        let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":[3],"data_offsets":[0,{}]}}}}"#, 3 * bytes);
        let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; 3 * bytes]].concat();
        fs::write(&path, file).unwrap();
        let error = Reader::open(&path).unwrap().read("a", &[3], &mut [0.0; 3]).unwrap_err().to_string();
        assert!(error.contains(dtype), "{error}");
    }
    let tensor = Tensor::new("a", &[2], &[1.0, 2.0], Dtype::Bf16);
    write(&path, &[tensor], []).unwrap();
    Reader::open(&path).unwrap().read("a", &[2], &mut [0.0; 2]).unwrap();
}

/// A pipe is refused, since opening it would wait for somebody to write to it.
#[cfg(unix)]
#[test]
fn what_is_no_file_holds_no_weights() {
    let error = open(Path::new("/dev/null")).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("not a file"), "{error}");
}
