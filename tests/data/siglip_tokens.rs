//! The tokenizers of both generations of SigLIP: vocabularies as SentencePiece and as Hugging Face write them, cleaning,
//! ends and padding.

use clipwright::text::Tokenizer;
use serde_json::json;

/// The kinds of pieces in SentencePiece's files.
const NORMAL: u8 = 1;
const UNKNOWN: u8 = 2;
const CONTROL: u8 = 3;

/// Pieces by id, with their log probabilities and kinds: `▁cat` is likelier than `▁ca` and `t` together, `▁do` and `g`
/// likelier than `▁dog`.
const PIECES: [(&str, f32, u8); 13] = [
    ("<pad>", 0.0, CONTROL),
    ("</s>", 0.0, CONTROL),
    ("<unk>", 0.0, UNKNOWN),
    ("▁", -3.0, NORMAL),
    ("▁cat", -4.0, NORMAL),
    ("▁ca", -3.0, NORMAL),
    ("t", -2.0, NORMAL),
    ("▁dog", -9.0, NORMAL),
    ("▁do", -2.0, NORMAL),
    ("g", -2.0, NORMAL),
    ("a", -2.5, NORMAL),
    ("s", -2.5, NORMAL),
    ("ü", -6.0, NORMAL),
];

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128);
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

/// Returns the file as SentencePiece writes it, for a model of this kind.
fn sentence_piece(kind: u8) -> Vec<u8> {
    let piece = |(text, score, kind): &(&str, f32, u8)| {
        let number = |number: u8, value: u8| vec![number << 3, value];
        let score = [&[2 << 3 | 5], &score.to_le_bytes()[..]].concat();
        let kind = if *kind == NORMAL { vec![] } else { number(3, *kind) };
        field(1, &[field(1, text.as_bytes()), score, kind].concat())
    };
    let trainer = field(2, &[3 << 3, kind]);
    PIECES.iter().flat_map(piece).chain(trainer).chain(field(3, &field(1, b"identity"))).collect()
}

fn opened(name: &str, bytes: &[u8]) -> Result<Tokenizer, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Tokenizer::open_siglip(&path).map_err(|error| error.to_string())
}

/// `_` is a space, other punctuation is left out, letters are small.
#[test]
fn texts_of_the_first_generation() {
    let tokenizer = opened("spiece.model", &sentence_piece(1)).unwrap();
    assert_eq!((tokenizer.vocabulary(), tokenizer.padding()), (PIECES.len(), Some(1)));
    for (text, ids) in [
        ("cat", &[4][..]),
        ("dog", &[8, 9]),
        ("A Cat, a DOG!", &[3, 10, 4, 3, 10, 8, 9]),
        ("cat_dog", &[4, 8, 9]),
        ("  cat\t dog ", &[4, 8, 9]),
        ("ca-ts", &[4, 11]),
        ("ÜZ", &[3, 12, 2]),
        ("?!", &[]),
        ("", &[]),
    ] {
        let padded: Vec<u32> = [ids, &[1; 12]].concat()[..12].to_vec();
        assert_eq!(tokenizer.encode(text, 12).ids, padded, "{text:?}");
        assert!(!tokenizer.encode(text, 12).truncated);
    }
    // The end stays when a text is cut.
    let cut = tokenizer.encode("cat dog cat", 4);
    assert_eq!((&cut.ids[..], cut.truncated), (&[4, 8, 9, 1][..], true));
    let whole = tokenizer.encode("cat dog", 4);
    assert_eq!((&whole.ids[..], whole.truncated), (&[4, 8, 9, 1][..], false));
    let trace = tokenizer.trace("A Cat!");
    let ids: Vec<u32> = trace.tokens().iter().map(|token| token.id).collect();
    assert!(ids == [3, 10, 4, 1] && trace.start.is_none(), "{trace:?}");
}

/// A vocabulary as Gemma's: byte pairs with bytes for what is unknown, and `<bos>` in front of every text.
fn gemma() -> Vec<u8> {
    let special = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false })
    };
    let mut vocab = serde_json::Map::new();
    let pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "c", "a", "t", "▁", "ca", "cat", "!", "<0xC3>", "<0xBC>"];
    pieces.iter().zip(0..).for_each(|(piece, id)| {
        vocab.insert((*piece).into(), json!(id));
    });
    let bos = json!({ "SpecialToken": { "id": "<bos>", "type_id": 0 } });
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    serde_json::to_vec(&json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<pad>"), special(1, "<eos>"), special(2, "<bos>"), special(3, "<unk>")],
        "normalizer": { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        "pre_tokenizer": null,
        "post_processor": {
            "type": "TemplateProcessing", "single": [bos, text], "pair": [text, text],
            "special_tokens": { "<bos>": { "id": "<bos>", "ids": [2], "tokens": ["<bos>"] } },
        },
        "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocab, "merges": [["c", "a"], ["ca", "t"]],
        },
    }))
    .unwrap()
}

/// Letters are small, punctuation stays, there is no `<bos>`, and `<pad>` fills up.
#[test]
fn texts_of_the_second_generation() {
    let tokenizer = opened("tokenizer.json", &gemma()).unwrap();
    assert_eq!((tokenizer.vocabulary(), tokenizer.padding()), (13, Some(0)));
    for (text, ids) in [("Cat", &[9, 1][..]), ("cat CAT!", &[9, 7, 9, 10, 1]), ("Ü", &[11, 12, 1]), ("", &[1])] {
        let padded: Vec<u32> = [ids, &[0; 8]].concat()[..8].to_vec();
        assert_eq!(tokenizer.encode(text, 8).ids, padded, "{text:?}");
    }
    let cut = tokenizer.encode("cat cat cat", 3);
    assert_eq!((&cut.ids[..], cut.truncated), (&[9, 7, 1][..], true));
}

#[test]
fn files_that_are_no_vocabulary_are_refused() {
    let good = sentence_piece(1);
    let refused = |name: &str, bytes: &[u8]| opened(name, bytes).map(|_| ()).unwrap_err();
    assert!(refused("spiece.model", &sentence_piece(2)).contains("kind 2"), "byte pairs");
    assert!(refused("spiece.model", b"\xff\xff\xff").contains("not a vocabulary of SentencePiece"));
    assert!(refused("spiece.model", b"").contains("no token for unknown characters"));
    for end in 1..good.len() {
        // Whatever is cut off, nothing panics.
        drop(opened("spiece.model", &good[..end]));
    }
}

/// CLIP's own vocabulary, for a text tower that reads whole contexts.
#[test]
fn clips_tokens_may_be_padded() {
    let (plain, padded) = (Tokenizer::clip().encode("a cat", 9).ids, Tokenizer::clip().padded().encode("a cat", 9).ids);
    assert_eq!(padded, [&plain[..], &[0; 9][plain.len()..]].concat());
}
