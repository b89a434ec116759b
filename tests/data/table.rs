//! Tests of tables of pictures: what is read, what is skipped, and how the skipped rows are named.

use clipwright::random::rng;
use clipwright::{batches::*, datasets::*, pictures::*, text::*};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A folder with two pictures, one broken file and a table.
fn folder(table: &str, contents: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("pics")).unwrap();
    for (name, shade) in [("a", 10u8), ("b", 200)] {
        image::RgbImage::from_pixel(9, 7, image::Rgb([shade; 3]))
            .save(folder.path().join(format!("pics/{name}.png")))
            .unwrap();
    }
    std::fs::write(folder.path().join("pics/broken.png"), b"\x89PNG\r\n\x1a\nnot really").unwrap();
    let path = folder.path().join(table);
    std::fs::write(&path, contents).unwrap();
    (folder, path)
}

fn read(dataset: &dyn Dataset, index: usize) -> Result<Example, BadExample> {
    let mut example = Example::default();
    dataset.read(index, &mut rng(&[]), &mut example).map(|()| example)
}

fn csv(path: &Path, layout: &CsvLayout) -> Result<Table, DatasetError> {
    Table::csv(path, layout, BadLimit::default())
}

fn jsonl(path: &Path) -> Result<Table, DatasetError> {
    Table::jsonl(path, &Columns::default(), BadLimit::default())
}

fn commas() -> CsvLayout {
    CsvLayout { separator: b',', ..CsvLayout::default() }
}

#[test]
fn reads_openclips_default_layout() {
    let (_folder, path) = folder("train.tsv", "title\tfilepath\na \"dark\" one\tpics/a.png\nlight\tpics/b.png\n");
    let table = csv(&path, &CsvLayout::default()).unwrap();
    assert_eq!((table.concepts().len(), table.bad().bad), (2, 0));
    let example = read(&table, 1).unwrap();
    assert_eq!((example.caption.as_str(), example.picture.width, example.picture.samples[0]), ("light", 9, 200));
}

#[test]
fn reads_other_columns_quotes_and_absolute_paths() {
    let (folder, path) = folder("train.csv", "");
    let absolute = folder.path().join("pics/a.png");
    std::fs::write(&path, format!("img,cap\n{},\"one, two\nthree\"\n", absolute.display())).unwrap();
    let layout = CsvLayout { columns: Columns { picture: "img".into(), caption: "cap".into() }, separator: b',' };
    assert_eq!(read(&csv(&path, &layout).unwrap(), 0).unwrap().caption, "one, two\nthree");
}

#[test]
fn picture_files_are_named_as_in_the_table_and_come_as_they_are() {
    let (folder, path) = folder("train.tsv", "title\tfilepath\ndark\tpics/a.png\nno picture\tpics/broken.png\n");
    let table = csv(&path, &CsvLayout::default()).unwrap();
    for (index, name) in [(0, "pics/a.png"), (1, "pics/broken.png")] {
        let stored = std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!((table.name(index), table.picture_file(index).unwrap()), (name.into(), stored));
    }
    std::fs::remove_file(folder.path().join("pics/a.png")).unwrap();
    let error = table.picture_file(0).unwrap_err().to_string();
    assert!(error.contains("train.tsv, line 2: ") && error.contains("pics/a.png: "), "{error}");
}

#[test]
fn a_missing_column_is_named_beside_those_there_are() {
    let (_folder, path) = folder("train.csv", "img,cap\npics/a.png,x\n");
    let error = csv(&path, &CsvLayout { separator: b',', ..CsvLayout::default() }).err().unwrap().to_string();
    assert!(
        error.contains("train.csv") && error.contains("\"filepath\"") && error.contains("\"img\", \"cap\""),
        "{error}"
    );
}

#[test]
fn bad_rows_are_counted_and_named() {
    let rows = b"filepath\ttitle\npics/a.png\tfine\npics/a.png\t  \n\tno picture\nshort\npics/b.png\t\xff\xfe\n";
    let (_folder, path) = folder("train.tsv", rows);
    let table = csv(&path, &CsvLayout::default()).unwrap();
    assert_eq!((table.bad().seen, table.bad().bad), (5, 4));
    let report = table.bad().to_string();
    for wanted in
        ["line 3: pics/a.png: empty caption", "line 4: no picture", "line 5: the row is too short", "line 6: not UTF-8"]
    {
        assert!(report.contains(wanted), "{wanted} in {report}");
    }
    let strict = BadLimit { share: 0.5, after: 5 };
    assert!(matches!(Table::csv(&path, &CsvLayout::default(), strict), Err(DatasetError::TooManyBad { .. })));
}

#[test]
fn reads_a_folder_with_metadata() {
    let lines = concat!(
        r#"{"file_name": "pics/a.png", "text": "dark", "more": 1}"#,
        "\n\n",
        r#"{"file_name": "pics/b.png"}"#,
        "\n",
        r#"{"file_name": "pics/broken.png", "text": "broken"}"#,
        "\r\n",
        r#"{"file_name": "pics/missing.png", "text": "missing"}"#,
    );
    let (_folder, path) = folder("metadata.jsonl", lines);
    let table = jsonl(&path).unwrap();
    assert_eq!((table.concepts().len(), table.bad().bad), (3, 1));
    assert!(table.bad().to_string().contains("line 3: missing field `text`"), "{}", table.bad());
    assert_eq!(read(&table, 0).unwrap().caption, "dark");
    for (index, line, name) in [(1, "line 4", "broken.png"), (2, "line 5", "missing.png")] {
        let error = read(&table, index).unwrap_err().to_string();
        assert!(error.contains("metadata.jsonl") && error.contains(line) && error.contains(name), "{error}");
    }
}

#[test]
fn same_pictures_and_same_captions_are_one_concept() {
    let rows = "filepath\ttitle\nx.png\tone\nx.png\ttwo\ny.png\tA  dog\nz.png\ta dog\nw.png\tother\n";
    let (_folder, path) = folder("train.tsv", rows);
    let table = csv(&path, &CsvLayout::default()).unwrap();
    let keys = table.concepts();
    assert!(keys[0] == keys[1] && keys[2] == keys[3]);
    assert!(keys[0] != keys[2] && keys[4] != keys[0] && keys[4] != keys[2]);
}

/// A loader on a table with a broken picture goes on without it.
#[test]
fn a_broken_picture_does_not_stop_the_loader() {
    let mut rows = "filepath\ttitle\npics/broken.png\tbroken\n".to_owned();
    (0..29).for_each(|i| rows += &format!("pics/{}.png\tpicture {i}\n", if i % 2 == 0 { "a" } else { "b" }));
    let (_folder, path) = folder("train.tsv", rows);
    let config = LoaderConfig {
        batch_size: 10,
        own: 0..10,
        context_length: 8,
        preprocess: Preprocess { size: 8, ..Preprocess::default() },
        image_sizes: None,
        augment: Some(Augment::default()),
        known: None,
        teacher: None,
        seed: 1,
        workers: 2,
        start_step: 0,
        bad_limit: BadLimit::default(),
    };
    let table = Arc::new(csv(&path, &CsvLayout::default()).unwrap());
    let mut loader = Loader::new(table, Arc::new(Tokenizer::clip()), config).unwrap();
    for _ in 0..30 {
        let batch = loader.next().unwrap();
        loader.recycle(batch);
    }
    let report = loader.bad();
    assert!(report.bad >= 8 && report.first.len() == 1, "{report}");
    assert!(report.to_string().contains("train.tsv, line 2") && report.to_string().contains("broken.png"), "{report}");
}

/// Rows are named by the lines that an editor shows, whatever ends these lines.
#[test]
fn rows_that_do_not_fit_the_headings_are_bad_and_named_by_their_lines() {
    for end in ["\n", "\r\n", "\r"] {
        let rows = [
            "filepath,title",
            "",
            "pics/a.png,dark",
            "\"pics/b.png\",\"one\ntwo\"",
            "a,b,c",
            "pics/a.png",
            "pics/b.png,\"a, b\"",
        ];
        let (_folder, path) = folder("train.csv", rows.join(end));
        let table = csv(&path, &commas()).unwrap();
        let report = table.bad().to_string();
        assert_eq!((table.concepts().len(), table.bad().bad, table.bad().seen), (3, 2, 5), "{report}");
        assert!(report.contains("line 6: the row is too long: 3 fields under 2 headings"), "{end:?} {report}");
        assert!(report.contains("line 7: the row is too short: 1 field under 2 headings"), "{end:?} {report}");
        assert!(table.bad().has_misfits());
        assert_eq!(read(&table, 2).unwrap().caption, "a, b");
    }
}

/// A quote that is left open and closed by another row's takes the rows between them with it.
#[test]
fn rows_that_a_quote_swallows_are_counted_one_by_one() {
    let rows =
        "filepath\ttitle\npics/a.png\t\"Best pizza\npics/b.png\tlight\npics/a.png\t\"dark\" one\npics/b.png\tlast\n";
    let (_folder, path) = folder("train.tsv", rows);
    let table = csv(&path, &CsvLayout::default()).unwrap();
    assert_eq!((table.concepts().len(), table.bad().bad, table.bad().seen), (1, 3, 4), "{}", table.bad());
    assert!(table.bad().to_string().contains("line 3: a quote that line 2 opens and line 4 closes"), "{}", table.bad());
    assert_eq!(read(&table, 0).unwrap().caption, "last");
}

#[test]
fn a_quote_that_is_never_closed_is_an_error_with_its_line() {
    let (_folder, path) =
        folder("train.tsv", "filepath\ttitle\npics/a.png\t5\" nails\npics/b.png\t\"open\npics/a.png\tx\n");
    let error = csv(&path, &CsvLayout::default()).err().unwrap().to_string();
    assert!(error.contains("train.tsv, line 3: a quote is opened and never closed"), "{error}");
}

#[test]
fn marks_of_byte_order_are_skipped_and_other_encodings_named() {
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let (_folder, path) = folder("train.csv", "\u{feff}filepath,title\npics/a.png,dark\n");
    assert_eq!(read(&csv(&path, &commas()).unwrap(), 0).unwrap().caption, "dark");
    std::fs::write(&path, "\u{feff}{\"file_name\": \"pics/a.png\", \"text\": \"dark\"}\n").unwrap();
    assert_eq!(read(&jsonl(&path).unwrap(), 0).unwrap().caption, "dark");
    for (bytes, what) in [
        (utf16("\u{feff}filepath,title\n"), "UTF-16"),
        (utf16("filepath,title\n"), "zero bytes"),
        (b"\xfe\xff\0f".to_vec(), "UTF-16"),
        (b"PAR1\x15\x04".to_vec(), "a Parquet file"),
        (b"BZh9".to_vec(), "compressed with bzip2"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        for error in [csv(&path, &commas()).err().unwrap(), jsonl(&path).err().unwrap()] {
            let error = error.to_string();
            assert!(error.contains("train.csv: ") && error.contains(what) && error.contains("UTF-8"), "{error}");
        }
    }
}

#[test]
fn columns_of_other_names_are_guessed_and_said() {
    let (_folder, path) =
        folder("train.csv", "id,image,caption\n1,pics/a.png,dark\n2,https://example.org/b.png,light\n");
    let table = csv(&path, &commas()).unwrap();
    assert_eq!(table.guess().unwrap().to_string(), "\"image\" holds the pictures, \"caption\" the captions");
    assert!(table.bad().to_string().contains("line 3: https://example.org/b.png: a web address"), "{}", table.bad());
    assert_eq!(read(&table, 0).unwrap().caption, "dark");
    let own = OwnPairs::open(path.to_str().unwrap(), &PairLayout::default(), BadLimit::default()).unwrap().to_string();
    assert!(own.contains("where \"image\" holds the pictures") && own.contains("skipped 1 of 2"), "{own}");
    std::fs::write(&path, "filepath,title\npics/a.png,dark\n").unwrap();
    assert_eq!(csv(&path, &commas()).unwrap().guess(), None);

    std::fs::write(
        &path,
        "{\"file_name\": \"pics/a.png\", \"caption\": \"dark\"}\n{\"file_name\": \"pics/b.png\", \"caption\": [1]}",
    )
    .unwrap();
    let table = jsonl(&path).unwrap();
    assert_eq!(table.guess().unwrap().caption, "caption");
    assert!(table.bad().to_string().contains("line 2: the field `caption` is no string"), "{}", table.bad());
    let own = Columns { picture: "file_name".into(), caption: "text".into() };
    let error = Table::jsonl(&path, &own, BadLimit::default()).err().unwrap().to_string();
    assert!(error.contains("missing field `text`"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_no_reason_to_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (_folder, path) = folder("any", &bytes);
        let _ = jsonl(&path);
        let _ = csv(&path, &CsvLayout::default());
        std::fs::write(&path, [b"filepath\ttitle\n", bytes.as_slice()].concat()).unwrap();
        let _ = csv(&path, &CsvLayout::default());
    }
}
