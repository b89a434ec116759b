//! Tests of the library's facade: from a model's folder to embeddings, with both towers and with either alone.

use crate::support::tiny::config;
use clipwright::checkpoint::{Checkpoint, ConfigFile, Contents, Format, Overrides, Precision, save};
use clipwright::models::clip::config::VOCAB_SIZE;
use clipwright::models::clip::model::Model;
use clipwright::pictures::{Channels, Picture};
use clipwright::{Clip, ImageEncoder, TextEncoder};
use serde_json::json;
use std::fs;
use std::path::Path;

/// Makes a tiny model with CLIP's vocabulary.
fn saved(format: Format) -> tempfile::TempDir {
    let mut config = config(16);
    config.text_cfg.vocab_size = VOCAB_SIZE;
    let folder = tempfile::tempdir().unwrap();
    let file = ConfigFile::new(config.clone());
    save(folder.path(), Contents { model: &Model::new(config, 7), config: &file }, format, Precision::F32).unwrap();
    folder
}

fn pictures() -> [Picture; 2] {
    let mut noisy = Picture::new(31, 40, Channels::Rgb);
    noisy.samples.iter_mut().enumerate().for_each(|(i, sample)| *sample = (i * i % 251) as u8);
    [Picture::new(24, 24, Channels::Grey), noisy]
}

#[test]
fn towers_alone_are_those_of_the_whole() {
    let texts = ["a dog", "a photo of a cat", ""];
    for format in [Format::OpenClip, Format::HuggingFace] {
        let folder = saved(format);
        let clip = Clip::load(folder.path()).unwrap();
        let (images, embedded) = (clip.encode_image(&pictures()), clip.encode_text(&texts));
        assert_eq!(images, ImageEncoder::load(folder.path()).unwrap().encode(&pictures()));
        assert_eq!(embedded, TextEncoder::load(folder.path()).unwrap().encode(&texts));
        for row in images.rows().into_iter().chain(embedded.rows()) {
            assert!((row.dot(&row) - 1.0).abs() < 1e-5);
        }
        let logits = clip.similarity(images.view(), embedded.view());
        assert!((logits[[1, 2]] - images.row(1).dot(&embedded.row(2)) / 0.07).abs() < 1e-4);
        assert_ne!(embedded.row(0), embedded.row(1));
        assert_eq!(clip.encode_text::<&str>(&[]).dim(), (0, 16));
    }
}

#[test]
fn both_formats_embed_alike() {
    let [ours, theirs] =
        [Format::OpenClip, Format::HuggingFace].map(|format| Clip::load(saved(format).path()).unwrap());
    assert_eq!(ours.encode_image(&pictures()), theirs.encode_image(&pictures()));
    let texts = ["Hello, World!! it's 123", "café naïve 日本語 🙂", &"x ".repeat(100)];
    assert_eq!(ours.encode_text(&texts), theirs.encode_text(&texts));
}

#[test]
fn a_folders_own_tokenizer_counts() {
    let folder = saved(Format::HuggingFace);
    let text = "two &amp; two";
    let with = TextEncoder::load(folder.path()).unwrap().encode(&[text]);
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let without = TextEncoder::load(folder.path()).unwrap().encode(&[text]);
    assert_ne!(with, without, "Hugging Face's tokenizer leaves HTML as it is, CLIP's own does not");
}

#[test]
fn vocabularies_that_do_not_fit_are_refused() {
    let error = |folder: &Path| TextEncoder::load(folder).map(|_| ()).unwrap_err().to_string();
    let (small, _) = crate::support::folders::saved(Format::HuggingFace, Precision::F32);
    assert!(error(small.path()).contains("knows 300 tokens and CLIP's own tokenizer has 49408"));
    let path = small.path().join("tokenizer.json");

    // Words of one letter, framed by two tokens.
    let tokenizer = |largest: u32| {
        let special = |id: u32, content: &str| {
            json!({ "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false })
        };
        json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
            "added_tokens": [special(298, "<s>"), special(largest, "</s>")],
            "pre_tokenizer": { "type": "Whitespace" },
            "post_processor": { "type": "RobertaProcessing", "sep": ["</s>", largest], "cls": ["<s>", 298],
                                "trim_offsets": false, "add_prefix_space": false },
            "model": { "type": "WordLevel", "vocab": { "a": 0, "b": 1, "?": 2, "<s>": 298, "</s>": largest }, "unk_token": "?" },
        })
    };
    fs::write(&path, tokenizer(300).to_string()).unwrap();
    assert!(
        error(small.path()).contains("knows 300 tokens and") && error(small.path()).contains("tokenizer.json has 301")
    );
    fs::write(&path, tokenizer(299).to_string()).unwrap();
    let tower = TextEncoder::load(small.path()).unwrap();
    let caption = tower.tokenizer().encode("a b c", 20);
    assert_eq!((caption.ids, caption.truncated), (vec![298, 0, 1, 2, 299], false));
    let caption = tower.tokenizer().encode("a b c", 4);
    assert_eq!((caption.ids, caption.truncated), (vec![298, 0, 1, 299], true));
    let caption = tower.tokenizer().encode("a </s> b", 20);
    assert_eq!((caption.ids, caption.truncated), (vec![298, 0, 299], false));

    let mut unframed = tokenizer(299);
    unframed["post_processor"] = json!(null);
    let mut unknown = tokenizer(299);
    unknown["model"]["unk_token"] = json!("nowhere");
    for (broken, expected) in
        [(unframed, "frames a caption with 0 tokens"), (unknown, "not a tokenizer"), (json!(3), "not a tokenizer")]
    {
        fs::write(&path, broken.to_string()).unwrap();
        assert!(
            error(small.path()).contains(expected) && error(small.path()).contains("tokenizer.json"),
            "{}",
            error(small.path())
        );
    }
}

#[test]
fn a_context_without_room_is_refused() {
    let mut config = config(16);
    (config.text_cfg.vocab_size, config.text_cfg.context_length) = (VOCAB_SIZE, 1);
    let folder = tempfile::tempdir().unwrap();
    let file = ConfigFile::new(config.clone());
    save(folder.path(), Contents { model: &Model::new(config, 7), config: &file }, Format::OpenClip, Precision::F32)
        .unwrap();
    let error = TextEncoder::load(folder.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("a context of 1 has no room"), "{error}");
}

#[test]
fn pictures_of_another_size_are_embedded() {
    let folder = saved(Format::OpenClip);
    let sized = |image_size| {
        let overrides = Overrides { image_size: Some(image_size), ..Overrides::default() };
        ImageEncoder::new(&Checkpoint::open(folder.path(), &overrides).unwrap()).unwrap()
    };
    assert_eq!(sized(40).encode(&pictures()).dim(), (2, 16));
    assert_eq!(sized(24).encode(&pictures()), ImageEncoder::load(folder.path()).unwrap().encode(&pictures()));
}
