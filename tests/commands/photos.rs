//! Folders of photos as cameras and scanners leave them: names, turns, opacity, and what is no picture.

use super::bench::{Bench, Outcome, bench, clip, lines};
use super::pictures::{close, rows};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clipwright::pictures::decode;
use image::DynamicImage;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Copies files of `tests/golden/pictures` into a folder of the bench.
fn copy(bench: &Bench, folder: &str, names: &[&str]) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pictures");
    names.iter().for_each(|name| bench.write(&format!("{folder}/{name}"), fs::read(golden.join(name)).unwrap()));
}

#[test]
fn what_a_folder_passes_over_is_counted_and_named() {
    let bench = bench();
    copy(&bench, "photos", &["photo.jfif", "half.jpg", "whole.jpg"]);
    fs::copy(bench.path("photos/photo.jfif"), bench.path("photos/no extension")).unwrap();
    (0..3).for_each(|i| bench.write(&format!("photos/sub/{i}.heic"), "\0\0\0\u{18}ftypheic"));
    bench.write("photos/a.CR2", "II*\0\u{10}\0\0\0CR\u{2}\0");
    let (passed, skipped) = (
        "passed over: 3 .heic, 1 .cr2 (HEIC and AVIF have to be converted first)",
        "skipped photos/half.jpg: not a picture that can be read: ",
    );
    let found = ["photos/no extension", "photos/photo.jfif", "photos/whole.jpg"];

    for command in [&["embed", "photos"][..], &["classify", "photos", "--labels", "a,b"]] {
        let Outcome { code, out, error } = bench.run(&[command, &["--json", "--skip-unreadable"]].concat());
        let named: Vec<Value> = lines(&out).iter().map(|line| line["image"].clone()).collect();
        assert!(code == 0 && named == found, "{command:?}: {named:?} {error}");
        assert!(error.contains(passed) && error.contains(skipped) && error.contains("truncated"), "{error}");
    }
    let args = ["embed", "photos", "--skip-unreadable", "--output", "rows.npy"];
    assert_eq!(bench.run(&args).out, format!("rows.npy: 3 rows of 64, 1 skipped\n{passed}\n"));
    let counts = json!({".heic": 3, ".cr2": 1});
    assert_eq!(lines(&bench.run(&[&args[..], &["--json"]].concat()).out)[0]["passed_over"], counts);
    let report = bench.run(&["index", "photos"]).out;
    assert!(report.contains(": 3 pictures: ") && report.contains(passed) && report.contains("half.jpg"), "{report}");
    assert_eq!(bench.json(&["index", "photos", "--skip-unreadable"])[0]["passed_over"], counts);

    fs::create_dir(bench.path("others")).unwrap();
    bench.write("others/1.heic", "");
    for command in [&["embed", "others"][..], &["classify", "others", "--labels", "a,b"], &["index", "others"]] {
        let Outcome { code, out, error } = bench.run(command);
        assert_eq!((code, out.as_str()), (1, ""), "{command:?}");
        assert!(error.contains("others: no picture in it; passed over: 1 .heic"), "{error}");
    }
}

/// Reads the pictures of a page, in order.
fn shown(bench: &Bench, page: &str) -> Vec<DynamicImage> {
    let html = fs::read_to_string(bench.path(page)).unwrap();
    let data = html.split("base64,").skip(1).map(|rest| rest.split('"').next().unwrap());
    let decoded = data.map(|data| STANDARD.decode(data).unwrap());
    decoded.map(|bytes| image::load_from_memory(&bytes).unwrap()).collect()
}

#[test]
fn exif_turns_pictures_for_people_and_for_models_that_are_asked_to() {
    let bench = bench();
    copy(&bench, "photos", &["portrait_exif6.jpg"]);
    let portrait = "photos/portrait_exif6.jpg";
    let stored = decode::open(&bench.path(portrait)).unwrap();
    let upright = stored.clone().upright();
    assert_eq!([stored.width, stored.height, upright.width, upright.height], [160, 120, 120, 160]);
    let [as_stored, turned] = [stored, upright].map(|picture| clip(&bench).encode_image(&[picture]));
    assert!((&as_stored - &turned).iter().any(|x| x.abs() > 1e-3));

    close(rows(&bench.json(&["embed", portrait])).view(), as_stored.view());
    close(rows(&bench.json(&["embed", portrait, "--exif"])).view(), turned.view());
    let text = clip(&bench).encode_text(&["a"]);
    bench.write("templates.txt", "{}");
    for (flags, row) in [(&[][..], &as_stored), (&["--exif"], &turned)] {
        let args = [&["classify", portrait, "--labels", "a,b", "--templates", "templates.txt"], flags].concat();
        let answer = bench.json(&args)[0]["best"].clone();
        let of_a = answer.as_array().unwrap().iter().find(|label| label["text"] == "a").unwrap();
        let cosine = of_a["cosine"].as_f64().unwrap() as f32;
        assert!((cosine - text.row(0).dot(&row.row(0))).abs() < 1e-5, "{flags:?}");
    }

    // An index remembers its choice, obeys it and refuses the other.
    for (output, flags) in [("plain", &[][..]), ("turned", &["--exif"])] {
        bench.json(&[&["index", "photos", "--output", output], flags].concat());
        bench.json(&["index", "photos", "--output", output]);
        let args = ["search", output, "--image", portrait, "--html", "page.html", "--sheet", "sheet.png"];
        let score = bench.json(&args)[0]["hits"][0]["score"].as_f64().unwrap();
        assert!((score - 1.0).abs() < 1e-3, "{output}: {score}");
        let page = shown(&bench, "page.html");
        assert_eq!([page[0].width(), page[0].height()], [120, 160], "{output}");
        assert!(image::open(bench.path("sheet.png")).unwrap().width() > 100);
    }
    bench.json(&["search", "turned", "--image", portrait, "--exif"]);
    for command in [&["search", "plain", "--image", portrait][..], &["index", "photos", "--output", "plain"]] {
        let Outcome { code, error, .. } = bench.run(&[command, &["--exif"]].concat());
        assert!(code == 1 && error.contains("plain: an index of pictures as they are stored"), "{error}");
        assert!(error.contains("help: leave out --exif"), "{error}");
    }
    assert_eq!(bench.run(&["embed", "--texts", "templates.txt", "--exif"]).code, 2);
}

/// A fast decode is near the exact one. An index remembers it, and says so.
#[test]
fn large_jpegs_can_be_decoded_at_a_part_of_their_size() {
    let bench = bench();
    std::fs::create_dir_all(bench.path("large")).unwrap();
    let photo = image::RgbImage::from_fn(900, 640, |x, y| {
        let wave = |n: u32| (127.0 + 120.0 * (n as f32 / 37.0).sin()) as u8;
        image::Rgb([wave(x), wave(y), wave(x + y)])
    });
    photo.save(bench.path("large/photo.jpg")).unwrap();
    let photo = "large/photo.jpg";
    let [exact, fast] =
        [&[][..], &["--fast-decode"]].map(|flags| rows(&bench.json(&[&["embed", photo], flags].concat())));
    let cosine = exact.row(0).dot(&fast.row(0));
    assert!(exact != fast && cosine > 0.99, "{cosine}");

    for (output, flags, row) in [("exact", &[][..], &exact), ("fast", &["--fast-decode"], &fast)] {
        bench.json(&[&["index", "large", "--output", output], flags].concat());
        let Outcome { code, error, .. } = bench.run(&["index", "large", "--output", output]);
        assert_eq!((code, error.contains("fast: made with --fast-decode")), (0, output == "fast"), "{error}");
        let search = ["search", output, "--image", photo];
        assert_eq!(bench.run(&search).error.contains("fast: made with --fast-decode"), output == "fast");
        let hits = bench.json(&[&search[..], flags].concat());
        let score = hits[0]["hits"][0]["score"].as_f64().unwrap();
        assert!((score - f64::from(row.row(0).dot(&row.row(0)))).abs() < 1e-3, "{output}: {score}");
    }
    for command in [&["search", "exact", "--image", photo][..], &["index", "large", "--output", "exact"]] {
        let Outcome { code, error, .. } = bench.run(&[command, &["--fast-decode"]].concat());
        assert!(code == 1 && error.contains("exact: an index of pictures that were decoded exactly"), "{error}");
        assert!(error.contains("help: leave out --fast-decode"), "{error}");
    }
}

/// A photo of a phone in a format that is not decoded is named, with what to do, whatever the name of its file says.
#[test]
fn heic_is_named_whatever_the_file_is_called() {
    let bench = bench();
    bench.write("phone.jpg", "\0\0\0\u{18}ftypheic\0\0\0\0mif1heic");
    let Outcome { code, error, .. } = bench.run(&["embed", "phone.jpg"]);
    assert!(code == 1 && error.contains("skipped phone.jpg: "), "{error}");
    assert!(error.contains("HEIC is not decoded here; convert it to JPEG or PNG first"), "{error}");
}

/// Opacity is treated alike, whatever a picture comes from.
#[test]
fn transparent_pictures_score_the_same_from_folders_tables_and_shards() {
    let bench = bench();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pictures/alpha");
    let eval = |data: &str, flags: &[&str]| {
        let data = golden.join(data);
        bench.json(&[&["eval", data.to_str().unwrap()][..], flags].concat())[0]["rows"].clone()
    };
    let folder = eval("cls", &[]);
    assert_eq!(eval("pairs.csv", &["--captions-are-classes"]), folder);
    assert_eq!(eval("pairs.tar", &["--captions-are-classes"]), folder);
}
