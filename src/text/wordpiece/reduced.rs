//! A vocabulary of the pieces that some texts need.
//!
//! A head that predicts BERT's 30,522 pieces costs more than the whole of a small model, and captions of a few hundred
//! things use a few hundred pieces.

use super::{DEC, ENC, WordPiece};
use std::collections::BTreeSet;

/// The tokens that every vocabulary begins with.
const FIRST: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Returns a vocabulary, one token a line, in which these texts are cut as in BERT's, and in which anything in Latin
/// letters can be spelt.
pub fn reduced_vocabulary<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    let bert = WordPiece::blip();
    let letters = ('!'..='~').chain('\u{a1}'..='\u{ff}');
    let spelt = letters.flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    let mut ids: BTreeSet<u32> = spelt.filter_map(|piece| bert.id(&piece)).collect();
    texts.into_iter().for_each(|text| ids.extend(bert.encode(text.as_ref(), usize::MAX)));
    let special: Vec<u32> = FIRST.iter().filter_map(|token| bert.id(token)).chain([DEC, ENC]).collect();
    let pieces = ids.into_iter().filter(|id| !special.contains(id)).filter_map(|id| bert.token(id));
    let all = FIRST.map(String::from).into_iter().chain(pieces).chain(["[DEC]".into(), "[ENC]".into()]);
    all.collect::<Vec<_>>().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_as_by_the_whole_vocabulary_and_others_are_spelt() {
        let texts = ["a camel to the left of two unicorns", "drei rote Herzen, 42"];
        let vocabulary = reduced_vocabulary(texts);
        let (bert, own) = (WordPiece::blip(), WordPiece::of_vocabulary(&vocabulary).unwrap());
        let lines: Vec<&str> = vocabulary.lines().collect();
        assert_eq!(
            (lines[own.dec() as usize], lines[own.enc() as usize], own.vocabulary()),
            ("[DEC]", "[ENC]", lines.len())
        );
        let pieces = |from: &WordPiece, text: &str| -> Vec<String> {
            from.encode(text, 99).into_iter().map(|id| from.token(id).unwrap()).collect()
        };
        for text in texts {
            assert_eq!(pieces(&own, text), pieces(&bert, text));
        }
        assert_eq!(own.decode(&own.encode("a zebra", 99)), "a zebra");
        assert_eq!(pieces(&own, "zoo"), ["[CLS]", "z", "##o", "##o", "[SEP]"]);
        assert!(lines.len() < 400, "{} tokens", lines.len());
    }
}
