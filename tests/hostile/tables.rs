//! Hostile pairs of pictures and captions: tables, tar shards, IDX files, lists of class names.

use super::{cases, damaged, edits, promptly};
use clipwright::datasets::idx::{IdxPictures, Part};
use clipwright::random::rng;
use clipwright::{datasets::*, text::*};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tempfile::TempDir;

/// Reads the first of the examples.
fn look(dataset: Result<impl Dataset, DatasetError>) {
    let Ok(dataset) = dataset else { return };
    for index in 0..dataset.concepts().len().min(8) {
        let mut example = Example::default();
        if dataset.read(index, &mut rng(&[]), &mut example).is_ok() {
            assert!(example.picture.width * example.picture.height > 0 && !clean(&example.caption).is_empty());
        }
    }
}

/// Reads the first examples of shards, with an index and as a stream.
fn look_at_shards(path: &Path) {
    look(Shards::open(&[path], 4, BadLimit::default()));
    let list = ShardList::open(path.to_str().unwrap(), Some(PairFormat::WebDataset), None, BadLimit::default());
    let size = BlockSize { pairs: 4, bytes: 1 << 20 };
    look(list.and_then(|list| Stream::new(list.into(), 0, 0, size, Place::default()).block()));
}

fn read(dataset: &dyn Dataset, index: usize) -> Result<Example, BadExample> {
    let mut example = Example::default();
    dataset.read(index, &mut rng(&[]), &mut example).map(|()| example)
}

fn folder(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), &*PNG).unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

static PNG: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = std::io::Cursor::new(vec![]);
    image::RgbImage::from_pixel(5, 4, image::Rgb([7; 3])).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
});

/// A shard with captions of both kinds, a long name, and members that are neither picture nor caption.
static TAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let long = format!("{}/b", "long".repeat(40));
    let members: [(String, &[u8]); 6] = [
        ("a.png".into(), &PNG),
        ("a.txt".into(), b"a caption"),
        (format!("{long}.png"), &PNG),
        (format!("{long}.json"), br#"{"caption":"another"}"#),
        ("c.jpg".into(), b"no picture"),
        ("c.txt".into(), b"\xff\xfe"),
    ];
    let mut tar = tar::Builder::new(vec![]);
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    tar.into_inner().unwrap()
});

/// Returns a member's header with the given fields and a valid checksum.
fn header(name: &str, kind: u8, size: &[u8; 12]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    // The library that writes tar files refuses some names, so the name is copied directly.
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[156] = kind;
    header.as_mut_bytes()[124..136].copy_from_slice(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// The tests that other seeds can be given.
pub const TESTS: &[fn()] = &[
    damaged_idx_files_are_survived,
    damaged_shards_are_survived,
    damaged_compressed_shards_are_survived,
    any_headers_are_survived,
    damaged_tables_are_survived,
    any_pair_of_idx_files_is_survived,
];

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn damaged_idx_files_are_survived(which in 0..2usize, edits in edits()) {
        let mut files = [[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4].into_iter().chain(0..24).collect(), vec![0, 0, 8, 1, 0, 0, 0, 2, 1, 0]];
        files[which] = damaged(&files[which], &edits);
        let (folder, _) = folder("t10k-images-idx3-ubyte", &files[0]);
        fs::write(folder.path().join("t10k-labels-idx1-ubyte"), &files[1]).unwrap();
        look(IdxPictures::open(folder.path(), Part::Test, &["a".into(), "b".into()]));
    }

    #[test]
    fn damaged_shards_are_survived(edits in edits()) {
        let (_folder, path) = folder("0.tar", &damaged(&TAR, &edits));
        look_at_shards(&path);
    }

    #[test]
    fn damaged_compressed_shards_are_survived(edits in edits()) {
        let (_folder, path) = folder("0.tar", &damaged(include_bytes!("../golden/shards/whole.tar.gz"), &edits));
        look_at_shards(&path);
    }

    /// Members have kinds and sizes that no program writes, each with a valid checksum.
    #[test]
    fn any_headers_are_survived(members in prop::collection::vec((
        prop::sample::select(&["a.png", "a.txt", "a.json", "../a.txt", "/a.png", ".png", "a", "././@LongLink", "x/a.png"][..]),
        prop::sample::select(&b"0\x001257LKxgSVM"[..]),
        prop::sample::select(vec![*b"00000000000\0", *b"00000000005\0", *b"00000001000\0", *b"77777777777\0", *b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
            *b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", *b"            ", *b"-1\0\0\0\0\0\0\0\0\0\0"]),
        0..3usize,
    ), 1..6)) {
        let blocks = members.iter().flat_map(|(name, kind, size, data)| {
            [header(name, *kind, size), vec![b'7'; 512 * data]].concat()
        });
        let (_folder, path) = folder("0.tar", &blocks.collect::<Vec<u8>>());
        promptly(|| look_at_shards(&path));
    }

    #[test]
    fn damaged_tables_are_survived(edits in edits(), separator in any::<u8>()) {
        let csv = "filepath,title\na.png,\"one, two\"\n./a.png,\"three \"\" four\"\nb.png,five\n/dev/zero,six\n\0,seven\n";
        let (_folder, path) = folder("0.csv", &damaged(csv.as_bytes(), &edits));
        for separator in [b',', separator] {
            look(Table::csv(&path, &CsvLayout { separator, ..CsvLayout::default() }, BadLimit::default()));
        }
        let lines = "{\"file_name\":\"a.png\",\"text\":\"one\"}\n\n{\"file_name\":\"/dev/zero\",\"text\":\"two\",\"more\":[1]}\r\n{\"text\":3}\n";
        let (_folder, path) = folder("metadata.jsonl", &damaged(lines.as_bytes(), &edits));
        look(Table::jsonl(&path, &Columns::default(), BadLimit::default()));
    }

    /// The two files of IDX data must fit each other.
    #[test]
    fn any_pair_of_idx_files_is_survived(
        images in prop::collection::vec(prop::sample::select(&[0, 1, 2, 5, 1 << 16, u32::MAX][..]), 0..4),
        labels in prop::collection::vec(prop::sample::select(&[0, 1, 2, u32::MAX][..]), 0..3),
        bytes in prop::collection::vec(0..4u8, 0..60),
    ) {
        let idx = |dims: &[u32], bytes: &[u8]| {
            let dims_bytes: Vec<u8> = dims.iter().flat_map(|dim| dim.to_be_bytes()).collect();
            [&[0, 0, 8, dims.len() as u8], &dims_bytes[..], bytes].concat()
        };
        let size = |dims: &[u32]| dims.iter().fold(1usize, |size, &dim| size.saturating_mul(dim as usize)).min(bytes.len());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t10k-images-idx3-ubyte"), idx(&images, &bytes[..size(&images)])).unwrap();
        fs::write(folder.path().join("t10k-labels-idx1-ubyte"), idx(&labels, &bytes[..size(&labels)])).unwrap();
        look(IdxPictures::open(folder.path(), Part::Test, &["one".into(), "two".into()]));
    }
}

/// A few kilobytes can unpack to any number of zeros.
#[test]
fn a_shard_that_unpacks_to_more_than_memory_may_hold_is_refused() {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 64 << 20), &mut encoder).unwrap();
    let (_folder, path) = folder("0.tar.gz", &encoder.finish().unwrap().repeat(17));
    let error = Shards::open(&[path], 4, BadLimit::default()).err().unwrap().to_string();
    assert!(error.contains("0.tar.gz") && error.contains("1 GiB"), "{error}");
}

#[test]
fn a_sound_shard_is_read() {
    let (_folder, path) = folder("0.tar", &TAR);
    let shards = Shards::open(&[path], 1, BadLimit::default()).unwrap();
    assert_eq!(read(&shards, 0).unwrap().caption, "a caption");
    assert_eq!(read(&shards, 1).unwrap().caption, "another");
    assert!(read(&shards, 2).unwrap_err().reason.contains("UTF-8"));
}

/// A hole of a terabyte in a sparse file takes no room on the disk and must take none in memory.
#[cfg(unix)]
#[test]
fn members_of_any_length_are_named_and_not_read() {
    let size = |size: u64| {
        let mut field = [0; 12];
        field[0] = 0x80;
        field[4..].copy_from_slice(&size.to_be_bytes());
        field
    };
    let file = |members: &[(&str, u64)]| {
        let (folder, path) = folder("0.tar", b"");
        let file = fs::File::create(&path).unwrap();
        let mut at = 0;
        for (name, length) in members {
            std::os::unix::fs::FileExt::write_all_at(&file, &header(name, b'0', &size(*length)), at).unwrap();
            at += 512 + length.next_multiple_of(512);
        }
        file.set_len(at + 1024).unwrap();
        let error = promptly(|| {
            let list = ShardList::open(path.to_str().unwrap(), None, None, BadLimit::default()).unwrap();
            let size = BlockSize { pairs: 4, bytes: 1 << 20 };
            Stream::new(list.into(), 0, 0, size, Place::default()).block().err().unwrap()
        });
        assert!(error.to_string().contains("take more than 1048576 bytes"), "{error}");
        (folder, Shards::open(&[path], 1, BadLimit::default()).unwrap())
    };
    for members in
        [[("a.png", 1 << 40), ("a.txt", 5)], [("a.txt", 1 << 40), ("a.png", 5)], [("a.json", 1 << 40), ("a.png", 5)]]
    {
        let (_folder, shards) = file(&members);
        let error = promptly(|| read(&shards, 0)).unwrap_err();
        let empty = error.reason.contains("empty") && members[0].0 == "a.png";
        assert!(error.reason.contains("the most") || empty, "{error}");
    }
}

/// Rows may name any path; one that is no file makes a bad row.
#[cfg(unix)]
#[test]
fn rows_that_name_devices_are_bad_rows() {
    let (_folder, path) = folder("0.tsv", b"filepath\ttitle\n/dev/zero\tone\n/dev/null\ttwo\n.\tthree\na.png\tfour\n");
    let table = Table::csv(&path, &CsvLayout::default(), BadLimit::default()).unwrap();
    for row in 0..3 {
        let error = promptly(|| read(&table, row)).unwrap_err();
        assert!(error.reason.contains("not a file") && error.place.contains(&format!("line {}", row + 2)), "{error}");
    }
    read(&table, 3).unwrap();
}

/// A picture without pixels is one bad example and does not stop the loader.
#[test]
fn a_picture_without_pixels_is_a_bad_row() {
    let (folder, path) = folder("0.tsv", b"filepath\ttitle\nempty.gif\tone\na.png\ttwo\n");
    let mut gif = b"GIF89a\0\0\0\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    gif.extend(b",\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0;");
    fs::write(folder.path().join("empty.gif"), gif).unwrap();
    let table = Table::csv(&path, &CsvLayout::default(), BadLimit::default()).unwrap();
    let error = read(&table, 0).unwrap_err();
    assert!(error.reason.contains("empty.gif"), "{error}");
}

/// A table or shard without any example is refused with a message that names it.
#[test]
fn empty_tables_are_refused() {
    for (name, text) in [("a.csv", ""), ("a.csv", "filepath,title\n"), ("a.csv", "\n\n"), ("a.csv", "\u{feff}")] {
        let (_folder, path) = folder(name, text.as_bytes());
        let layout = CsvLayout { separator: b',', ..CsvLayout::default() };
        assert!(named(Table::csv(&path, &layout, BadLimit::default()), &path), "{text:?}");
    }
    for text in ["", "\n", "[]", "null\n", "{}\n"] {
        let (_folder, path) = folder("metadata.jsonl", text.as_bytes());
        assert!(named(Table::jsonl(&path, &Columns::default(), BadLimit::default()), &path), "{text:?}");
    }
    for bytes in [&b""[..], &[0; 512], &[0; 1024], &[0xff; 1024]] {
        let (_folder, path) = folder("0.tar", bytes);
        assert!(named(Shards::open(&[&path], 1, BadLimit::default()), &path), "{bytes:?}");
    }
}

/// Checks that a file is refused with a message that names it.
fn named<T>(outcome: Result<T, DatasetError>, path: &Path) -> bool {
    outcome.err().is_some_and(|error| error.to_string().contains(&path.display().to_string()))
}
