//! Tests of the cleaning of captions against OpenCLIP's, which is ftfy's and Python's.

use clipwright::text::clean;

#[test]
fn equals_openclip_on_every_golden_caption() {
    let captions: Vec<(String, String)> = serde_json::from_str(include_str!("../golden/clean/captions.json")).unwrap();
    assert!(captions.len() > 500);
    let wrong: Vec<String> = captions
        .iter()
        .filter(|(raw, right)| clean(raw) != *right)
        .map(|(raw, right)| format!("{raw:?}\n  is    {:?}\n  wants {right:?}", clean(raw)))
        .collect();
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), captions.len(), wrong.join("\n"));
}

#[test]
fn cleans_as_ftfy_and_html_unescape_do() {
    for (raw, clean_text) in [
        ("&amp;amp;amp;amp;", "&"),
        ("&EACUTE;t&eacute;", "été"),
        ("this&not that &copy 2020", "this¬ that © 2020"),
        ("caf\u{c3}\u{a9} \u{e2}\u{20ac}\u{2122}n", "café 'n"),
        ("naÃ¯ve&nbsp;don’t", "naïve don't"),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚ æ—¥æœ¬", "привет 日本"),
        ("CAFÉ… NI\u{d1}O", "café… niño"),
        ("don\u{92}t\u{85}", "don't…"),
        ("e\u{301}\u{feff}\0 \u{fb02}u\u{fb03}e\u{fb06}", "é fluffiest"),
        ("Ｕﾀｰﾝ ﾊﾞ", "uターン バ"),
        ("ΟΔΟΣ", "οδος"),
        ("a\u{1c}b\u{2028}c\u{3000}d", "ab c d"),
    ] {
        assert_eq!(clean(raw), clean_text, "{raw:?}");
    }
}
