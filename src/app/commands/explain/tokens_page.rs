//! The page of `clipwright explain tokens`.

use super::tokens_report::{Kind, MergeReport, Placed, Report, TokenReport, WordReport};
use htmlize::escape_all_quotes;

pub(super) const STYLE: &str = "\
h2 { font-size: 1.1rem; margin: 2rem 0 .4rem; overflow-wrap: anywhere; }
h3 { font-size: .95rem; margin: 1.2rem 0 .4rem; color: var(--faint); font-weight: 600; }
.row { display: flex; flex-wrap: wrap; gap: .35rem; margin: .25rem 0; align-items: stretch; }
.row span, .tokens li { font-family: ui-monospace, monospace; border: 1px solid var(--rule); border-radius: .3rem; \
padding: .1rem .4rem; background: var(--ground); overflow-wrap: anywhere; }
.rank { color: var(--faint); min-width: 4.2rem; text-align: right; font-variant-numeric: tabular-nums; }
.row .new { background: light-dark(#d9ecfa, #12405f); border-color: light-dark(#0072b2, #56b4e9); }
.tokens { display: flex; flex-wrap: wrap; gap: .35rem; list-style: none; padding: 0; margin: .4rem 0; }
.tokens small { display: block; font-family: system-ui, sans-serif; color: var(--faint); }
.tokens .leaves { border: 2px solid light-dark(#0072b2, #56b4e9); }
.tokens .cut { opacity: .65; text-decoration: line-through; }
.words { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 0 2rem; }
.said { white-space: pre-line; color: var(--faint); }
";

/// Returns the body of the page, a section for each text.
pub(super) fn body(reports: &[Report]) -> String {
    let merges =
        "The bytes of a word are joined, neighbours of the lowest rank first, until none are in the list of merges.";
    let pieces = "Each word is cut into the longest pieces of the vocabulary, from left to right.";
    let is_merged = reports.iter().any(|report| report.kind == Kind::BytePairs);
    let sections: String = reports.iter().map(section).collect();
    format!("<p>{}</p>\n{sections}", if is_merged { merges } else { pieces })
}

fn section(report: &Report) -> String {
    let words: String = report.words.iter().map(|word| part(&word.text, false)).collect();
    let shown: String = report.shown_words().into_iter().map(word).collect();
    let kept: String = report.tokens.iter().map(|placed| token(report, placed)).collect();
    let cut: String = report.cut_off.iter().map(cut_off).collect();
    format!(
        "<section><h2>{}</h2>\n<h3>cleaned</h3><div class=\"row\"><span>{}</span></div>\n\
         <h3>words</h3><div class=\"row\">{words}</div>\n<div class=\"words\">{shown}</div>\n\
         <h3>tokens: id, place</h3><ol class=\"tokens\">{kept}{cut}</ol>\n<p class=\"said\">{}</p></section>\n",
        escape_all_quotes(&report.text),
        escape_all_quotes(&report.cleaned),
        escape_all_quotes(report.summary()),
    )
}

/// Shows the parts of a word after each merge. What the merge made is marked.
fn word(WordReport { text, letters, merges, tokens }: &WordReport) -> String {
    let text = escape_all_quotes(text);
    if letters.is_empty() {
        let pieces: String = tokens.iter().map(|token| part(&token.token, false)).collect();
        return format!("<div><h3>{text}</h3><div class=\"row\">{pieces}</div></div>\n");
    }
    let first: String = letters.iter().map(|letter| part(letter, false)).collect();
    let mut rows = format!("<div class=\"row\"><div class=\"rank\">letters</div>{first}</div>");
    let mut before = letters;
    for MergeReport { rank, parts } in merges {
        let new = (0..parts.len()).find(|&i| parts[i] != before[i]);
        let parts_after: String = parts.iter().enumerate().map(|(i, text)| part(text, Some(i) == new)).collect();
        rows += &format!("<div class=\"row\"><div class=\"rank\">{rank}</div>{parts_after}</div>");
        before = parts;
    }
    format!("<div><h3>{text}</h3>{rows}</div>\n")
}

fn part(text: &str, is_new: bool) -> String {
    let class = if is_new { " class=\"new\"" } else { "" };
    format!("<span{class}>{}</span>", escape_all_quotes(text))
}

fn token(report: &Report, Placed { place, token: TokenReport { id, token } }: &Placed) -> String {
    let class = if *place == report.leaves { " class=\"leaves\"" } else { "" };
    let role = report.role(*place);
    let role = if role.is_empty() { String::new() } else { format!("<small>{role}</small>") };
    format!("<li{class}>{}<small>{id} at {place}</small>{role}</li>", escape_all_quotes(token))
}

fn cut_off(TokenReport { id, token }: &TokenReport) -> String {
    format!("<li class=\"cut\">{}<small>{id}, cut off</small></li>", escape_all_quotes(token))
}
