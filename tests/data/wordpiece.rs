//! Tests of BERT's WordPiece tokenizer against Hugging Face's, and of BLIP's cleaning against the original's.

use clipwright::text::{WordPiece, blip_clean};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::LazyLock;

static BLIP: LazyLock<WordPiece> = LazyLock::new(WordPiece::blip);

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    limits: Vec<Limit>,
    decode: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Limit {
    text: String,
    max_length: usize,
    input_ids: Vec<u32>,
    attention_mask: Vec<usize>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/words/wordpiece.json")).unwrap()
}

/// Holds a tokenizer against all golden texts.
fn check(tokenizer: &WordPiece) {
    let golden = golden();
    assert_eq!((golden.cases.len(), golden.limits.len(), golden.decode.len()), (69, 5, 6));
    for Case { text, ids } in golden.cases {
        let framed: Vec<u32> = [101].into_iter().chain(ids).chain([102]).collect();
        assert_eq!(tokenizer.encode(&text, 1000), framed, "{text:?}");
    }
    for Limit { text, max_length, input_ids, attention_mask } in golden.limits {
        let mut ids = tokenizer.encode(&text, max_length);
        assert_eq!(ids.len(), attention_mask.iter().sum::<usize>(), "{text:?}");
        ids.resize(max_length, tokenizer.id("[PAD]").unwrap());
        assert_eq!(ids, input_ids, "{text:?}");
    }
    for Case { text, ids } in golden.decode {
        assert_eq!(tokenizer.decode(&ids), text, "{ids:?}");
    }
}

#[test]
fn equals_hugging_face_on_every_golden_text() {
    check(&BLIP);
    assert_eq!(BLIP.vocabulary(), 30_524);
    assert_eq!([BLIP.cls(), BLIP.sep(), BLIP.dec(), BLIP.enc()], [101, 102, 30_522, 30_523]);
    assert_eq!(
        ["[PAD]", "[UNK]", "[MASK]", "[ENC]", "dogs!"].map(|token| BLIP.id(token)),
        [Some(0), Some(100), Some(103), Some(30_523), None]
    );
}

#[test]
fn the_use_of_a_text_decides_its_first_and_last_token() {
    assert_eq!(BLIP.encode("a picture of ", 35), [101, 1037, 3861, 1997, 102]);
    assert_eq!(BLIP.encode_enc("a picture of ", 35), [30_523, 1037, 3861, 1997, 102]);
    assert_eq!(BLIP.encode_dec("a picture of ", 4), [30_522, 1037, 3861, 102]);
    assert_eq!(BLIP.prompt("a picture of ", 35), [30_522, 1037, 3861, 1997]);
    assert_eq!(BLIP.prompt("a picture of ", 3), [30_522, 1037, 3861]);
    assert_eq!((BLIP.prompt("", 1), BLIP.prompt("a", usize::MAX)), (vec![30_522], vec![30_522, 1037]));
}

#[test]
fn decoding_glues_pieces_and_leaves_out_what_is_no_text() {
    for text in ["unaffable", "don't do that!", "a woman's hat, isn't it?", "i'm sure they've 2 dogs."] {
        assert_eq!(BLIP.decode(&BLIP.encode_dec(text, 99)), text);
    }
    assert_eq!(BLIP.decode(&[101, 100, 30_523, 99_999, u32::MAX]), "");
    assert_eq!(BLIP.decode(&[BLIP.id("##ing").unwrap(), BLIP.id("##ing").unwrap()]), "##inging");
}

fn vocabulary() -> Vec<u8> {
    let mut bytes = Vec::new();
    let packed = include_bytes!("../../data/bert/vocab.txt.gz");
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut bytes).unwrap();
    bytes
}

fn written(folder: &Path, files: &[(&str, Value)]) {
    for (name, json) in files {
        std::fs::write(folder.join(name), json.to_string()).unwrap();
    }
}

fn opened(vocabulary: &str, files: &[(&str, Value)], dec: u32, enc: u32) -> Result<WordPiece, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vocab.txt"), vocabulary).unwrap();
    written(folder.path(), files);
    match WordPiece::open(folder.path(), dec, enc) {
        Ok(tokenizer) => Ok(tokenizer.expect("it has a vocabulary")),
        Err(error) => Err(error.to_string().replace(&format!("{}", folder.path().display()), "…")),
    }
}

#[test]
fn a_folders_own_vocabulary_is_used_as_its_configuration_says() {
    let all = String::from_utf8(vocabulary()).unwrap();
    let added = json!({ "[DEC]": 30_522, "[ENC]": 30_523 });
    check(&opened(&all, &[("added_tokens.json", added)], 30_522, 30_523).unwrap());
    let added = json!({ "added_tokens_decoder": {
        "0": { "content": "[PAD]", "special": true }, "30522": { "content": "[DEC]" }, "30523": { "content": "[ENC]" },
    } });
    check(&opened(&all, &[("tokenizer_config.json", added)], 30_522, 30_523).unwrap());
    // The folders of the published models know neither token.
    let plain = opened(&all, &[], 30_522, 30_523).unwrap();
    assert_eq!(plain.encode_enc("[DEC] Dog", 9), [30_523, 1031, 11703, 1033, 3899, 102]);
    assert_eq!((plain.decode(&[30_522, 3899, 30_523]), plain.vocabulary()), ("dog".into(), 30_524));

    let small = "<p>\n?\n<c>\n<s>\nDog\ndog\né\ne\n字\n##s\n";
    let config = json!({
        "do_lower_case": false, "strip_accents": null, "tokenize_chinese_chars": false, "unk_token": "?",
        "cls_token": "<c>", "sep_token": { "content": "<s>", "lstrip": false }, "pad_token": "<p>",
    });
    let own = opened(small, &[("tokenizer_config.json", config)], 10, 11).unwrap();
    assert_eq!(own.encode("Dog dogs é 字字<s>", 99), [2, 4, 5, 9, 6, 1, 3, 3]);
    assert_eq!((own.vocabulary(), own.id("<p>"), own.decode(&[10, 5, 9, 0, 11])), (12, Some(0), "dogs".into()));
}

#[test]
fn a_tokenizer_json_goes_before_the_vocabulary() {
    let model = json!({ "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "@@", "max_input_chars_per_word": 100,
        "vocab": { "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "@@b": 4 } });
    let special = |id, content| json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true });
    let mut file = json!({
        "version": "1.0", "truncation": { "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0 },
        "padding": null, "normalizer": { "type": "Lowercase" }, "pre_tokenizer": { "type": "BertPreTokenizer" }, "decoder": null,
        "added_tokens": [special(0, "[UNK]"), special(1, "[CLS]"), special(2, "[SEP]"), special(5, "[DEC]")],
        "post_processor": { "type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[SEP]", 2] }, "model": model,
    });
    let own = opened("", &[("tokenizer.json", file.clone())], 5, 6).unwrap();
    assert_eq!(own.encode_enc("AB a c [DEC]", 9), [6, 3, 4, 3, 0, 5, 2]);
    assert_eq!((own.decode(&[5, 3, 4, 3, 0]), own.vocabulary()), ("ab a".into(), 7));

    let error =
        |file: &Value, dec, enc| opened("", &[("tokenizer.json", file.clone())], dec, enc).map(|_| ()).unwrap_err();
    let at = "…/tokenizer.json: not a tokenizer that can be used: ";
    assert_eq!(error(&file, 6, 7), format!("{at}[DEC] has the id 5 here and 6 in the model's configuration"));
    assert_eq!(error(&file, 5, 3), format!("{at}the id 3 of [ENC] in the model's configuration is \"a\" here"));
    assert_eq!(error(&file, 5, 5), format!("{at}[DEC] and [ENC] have the same id, 5"));
    file["model"] =
        json!({ "type": "WordLevel", "unk_token": "[UNK]", "vocab": { "[UNK]": 0, "[CLS]": 1, "[SEP]": 2 } });
    assert_eq!(error(&file, 3, 4), format!("{at}its model is not WordPiece, which BERT's tokenizers are"));
}

#[test]
fn a_folder_that_cannot_be_used_is_named_with_its_file_and_fault() {
    assert!(WordPiece::open(tempfile::tempdir().unwrap().path(), 1, 2).unwrap().is_none());
    let error = |vocabulary: &str, files: &[(&str, Value)]| opened(vocabulary, files, 90, 91).map(|_| ()).unwrap_err();
    let at = "…/vocab.txt: not a tokenizer that can be used: ";
    assert_eq!(error("", &[]), format!("{at}no line in it is \"[SEP]\""));
    assert_eq!(error("[CLS]\n[SEP]\na", &[]), format!("{at}no line in it is \"[UNK]\""));
    assert_eq!(error("[CLS]\n[SEP]\na\n\n\na\n", &[]), format!("{at}lines 3 and 6 are both \"a\""));
    let sound = "[CLS]\n[SEP]\n[UNK]\n";
    let added = error(sound, &[("added_tokens.json", json!({ "[ENC]": 91 }))]);
    assert_eq!(
        added,
        format!("{at}the added token \"[ENC]\" cannot have the id 91: there are 3 tokens in front of it")
    );
    let config = error(sound, &[("tokenizer_config.json", json!({ "sep_token": 7 }))]);
    assert!(
        config.starts_with("…/tokenizer_config.json: not a tokenizer that can be used: a token, or an object"),
        "{config}"
    );
    let config = error(sound, &[("tokenizer_config.json", json!({ "added_tokens_decoder": { "-1": "x" } }))]);
    assert_eq!(config, "…/tokenizer_config.json: not a tokenizer that can be used: an added token has the id \"-1\"");
    assert_eq!(error("[CLS]\0", &[]), "…/vocab.txt: it has zero bytes, as binary files have, and not text in UTF-8");
}

#[derive(Deserialize)]
struct Cleaned {
    kind: String,
    max_words: usize,
    text: String,
    clean: String,
}

#[test]
fn cleans_captions_and_questions_as_the_original_does() {
    let cases: Vec<Cleaned> = serde_json::from_str(include_str!("../golden/words/blip_clean.json")).unwrap();
    assert_eq!(cases.len(), 68);
    for Cleaned { kind, max_words, text, clean } in cases {
        let own = match kind.as_str() {
            "caption" => blip_clean::caption(&text, max_words),
            _ => blip_clean::question(&text, max_words),
        };
        assert_eq!(own, clean, "{kind} {text:?} in {max_words} words");
    }
}

/// The trace of a text has its ids, and the pieces of each word together.
#[test]
fn traces_are_what_is_encoded() {
    for Case { text, ids } in golden().cases {
        let trace = BLIP.trace(&text);
        let traced: Vec<u32> = trace.tokens().iter().map(|token| token.id).collect();
        assert_eq!((traced, trace.is_merged), (BLIP.encode(&text, usize::MAX), false), "{text:?}, {ids:?}");
    }
    let trace = BLIP.trace("Two unicorns, café");
    assert_eq!(trace.cleaned, "two unicorns, cafe");
    let words: Vec<_> = trace.words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(words, ["Two", "unicorns", ",", "café"]);
    let pieces: Vec<_> = trace.words[1].tokens.iter().map(|token| token.text.as_str()).collect();
    assert_eq!(pieces, ["unicorn", "##s"]);
}
