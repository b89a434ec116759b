//! The page about a run, `report.html`: curves, tables, pictures, options and the machine, in one file.

use super::error::TrainError;
use crate::app::plot::{Figure, curves, svg};
use crate::app::{VERSION, html, machine};
use crate::eval::Report;
use crate::eval::table::{Column, Table};
use crate::files;
use crate::train::log::{Evaluation, Metrics};
use crate::train::run_folder::{OPTIONS, PAGE, RunFolder, RunFolderError};
use htmlize::escape_all_quotes as escape;
use kernels::isa::Isa;
use std::path::Path;

const STYLE: &str = "\
body { max-width: 76rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .2rem; }
p, dl { max-width: 46rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
dt { font-weight: 600; margin-top: .5rem; }
dd { margin: 0; color: var(--faint); overflow-wrap: anywhere; }
pre { background: var(--ground); padding: .8rem; overflow-x: auto; }
summary { cursor: pointer; margin: .4rem 0; }
";

/// The pictures that a finished run may have: the name of the file, a title, and what there is to see.
const SHEETS: [(&str, &str, &str); 4] = [
    (
        "similarity.png",
        "Pictures and captions",
        "The cosine of each picture with each caption. Where the model tells them apart, the diagonal alone is bright.",
    ),
    (
        "captions.png",
        "The nearest captions",
        "What the model finds nearest to each picture, the best first. A tick marks the right caption.",
    ),
    (
        "told.png",
        "What the model says",
        "What the model has written about each picture, or answered. A tick marks what is true.",
    ),
    (
        "words.png",
        "Where the model looks",
        "The patches that the model attends to as it writes each word of a caption. Bright ones count most.",
    ),
];

/// What a run says of itself beyond its folder.
pub(super) struct Facts {
    /// The name of the model, its size, the data and whatever else is worth a line.
    pub lines: Vec<(&'static str, String)>,
    /// The number of steps that the run is to have.
    pub total: u64,
}

/// Writes the page into the folder of a run. The pictures are on it if `finished`; before, those in the folder may be of
/// a shorter run.
pub(super) fn write(folder: &RunFolder, metrics: &Metrics, facts: Facts, finished: bool) -> Result<(), TrainError> {
    let failed = |name| move |source| RunFolderError::File { path: folder.file(name), source };
    let options = files::read(&folder.file(OPTIONS)).map_err(failed(OPTIONS))?;
    let sheets = if finished { sheets(folder)? } else { String::new() };
    let page = page(&title(&folder.path), metrics, facts, &sheets, &String::from_utf8_lossy(&options));
    Ok(html::save(&folder.file(PAGE), &page).map_err(failed(PAGE))?)
}

/// Returns the name of the run.
fn title(folder: &Path) -> String {
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}

fn page(title: &str, metrics: &Metrics, facts: Facts, sheets: &str, options: &str) -> String {
    let Facts { mut lines, total } = facts;
    let isa = Isa::from_env().map_or("none", Isa::name);
    lines.extend([
        ("version", VERSION.to_owned()),
        ("processor", machine::processor()),
        ("instruction set", isa.to_owned()),
        ("threads", rayon::current_num_threads().to_string()),
    ]);
    let facts: String =
        lines.iter().map(|(name, text)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(text))).collect();
    let taken = metrics.steps.last().map_or(0, |step| step.step);
    let style = [svg::STYLE, STYLE].concat();
    let body = format!(
        "<p>{taken} of {total} steps</p>\n<h2>Curves</h2>\n{}{}{sheets}<h2>How it was made</h2>\n<dl>\n{facts}</dl>\n\
         <details><summary>Options, as in {OPTIONS}</summary><pre>{}</pre></details>\n<script>\n{}</script>\n",
        curves(metrics),
        results(metrics),
        escape(options.trim_end()),
        svg::SCRIPT,
    );
    html::page(title, &style, &body)
}

fn curves(metrics: &Metrics) -> String {
    let figures = [curves::loss(metrics), curves::recall(metrics), curves::schedule(metrics)];
    let figures: String = figures.iter().flatten().map(Figure::html).collect();
    format!(
        "<p>Below a diagram stand the values of its last step, or of the one that is pointed at. Dashed lines are what \
         guessing gets, or a method without a network; of many values, means over neighbouring steps are shown.</p>\n\
         <div class=\"curves\">\n{figures}</div>\n"
    )
}

/// Returns the tables of the last evaluation with what their columns say, then those of the earlier ones.
fn results(metrics: &Metrics) -> String {
    let Some((Evaluation { step, eval }, earlier)) = metrics.evaluations.split_last() else {
        return "<h2>Results</h2>\n<p>The model has not been evaluated yet.</p>\n".into();
    };
    let folded = |Evaluation { step, eval }: &Evaluation| {
        format!("<details><summary>After step {step}</summary>\n{}</details>\n", tables(eval))
    };
    let earlier: String = earlier.iter().rev().map(folded).collect();
    let earlier = if earlier.is_empty() { earlier } else { format!("<h3>Earlier evaluations</h3>\n{earlier}") };
    format!("<h2>Results after step {step}</h2>\n{}{}{earlier}", tables(eval), explanations(eval))
}

fn tables(report: &Report) -> String {
    report.tables().iter().map(table).collect()
}

fn table(Table { columns, rows, note }: &Table) -> String {
    let cell = |tag: &str, column: &Column, text: &str| {
        let class = if column.is_number { " class=\"number\"" } else { "" };
        format!("<{tag}{class}>{}</{tag}>", escape(text))
    };
    let heads: String = columns.iter().map(|column| cell("th", column, &column.head)).collect();
    let row = |row: &Vec<String>| {
        let cells: String = columns.iter().zip(row).map(|(column, text)| cell("td", column, text)).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = rows.iter().map(row).collect();
    format!("<div class=\"wide\"><table>\n<tr>{heads}</tr>\n{rows}</table></div>\n<p>{}</p>\n", escape(note))
}

/// Returns what the columns say. What several columns share is said once.
fn explanations(report: &Report) -> String {
    let mut said: Vec<(&str, Vec<String>)> = vec![];
    for column in report.tables().into_iter().flat_map(|table| table.columns) {
        match said.iter_mut().find(|(meaning, _)| *meaning == column.meaning) {
            Some((_, heads)) if heads.contains(&column.head) => {}
            Some((_, heads)) => heads.push(column.head),
            None => said.push((column.meaning, vec![column.head])),
        }
    }
    let line = |(meaning, heads): &(&str, Vec<String>)| {
        format!("<dt>{}</dt><dd>{}</dd>\n", escape(heads.join(", ")), escape(*meaning))
    };
    let lines: String = said.iter().map(line).collect();
    format!("<details open><summary>What the columns say</summary>\n<dl>\n{lines}</dl></details>\n")
}

/// Returns the pictures that are there. They are drawn at twice the size in which they are shown, and can be moved
/// sideways where the page is narrow.
fn sheets(folder: &RunFolder) -> Result<String, RunFolderError> {
    let mut body = String::new();
    for (name, title, meaning) in SHEETS {
        let path = folder.file(name);
        if !path.is_file() {
            continue;
        }
        let bytes = files::read(&path).map_err(|source| RunFolderError::File { path: path.clone(), source })?;
        let (width, _) = image::image_dimensions(&path).unwrap_or_default();
        let (width, address) = (width / 2, html::png_file(&bytes));
        body += &format!(
            "<h3>{title}</h3>\n<p>{meaning}</p>\n\
             <div class=\"wide\"><img alt=\"{title}\" width=\"{width}\" src=\"{address}\"></div>\n"
        );
    }
    Ok(if body.is_empty() { body } else { format!("<h2>Pictures</h2>\n{body}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::report::Row;
    use crate::eval::retrieval::{Recall, Retrieval};
    use crate::eval::texts::{CaptionRow, CaptionScore};

    /// Returns the results of a run whose pictures have a hostile name.
    fn evaluation(step: u64, at1: f64) -> Evaluation {
        let recall = Recall { at1, at5: 0.75, at10: 1.0 };
        let retrieval = Retrieval { image_to_text: recall, text_to_image: recall };
        let row = Row {
            concepts: "own".into(),
            pictures: "<script>alert('x')</script>".into(),
            without_flags: false,
            images: 16,
            zero_shot: None,
            retrieval,
            retrieval_chance: retrieval,
        };
        let score = CaptionScore { exact: 0.123, bleu4: 0.5, cider: 2.0 };
        let (concepts, pictures) = ("own".into(), "\"quoted\"".into());
        let captions = vec![CaptionRow { concepts, pictures, images: 16, score, nearest: None }];
        Evaluation { step, eval: Report { rows: vec![row], captions, answers: vec![] } }
    }

    #[test]
    fn every_evaluation_is_there_and_no_text_is_markup() {
        let metrics = Metrics { steps: vec![], evaluations: vec![evaluation(7, 0.111), evaluation(14, 0.222)] };
        let facts = Facts { lines: vec![("data", "pairs <b>bold</b> & more".into())], total: 14 };
        let html = page("<i>run</i>", &metrics, facts, "", "{ \"name\": \"</pre><script>\" }");
        for part in ["11.1 / 75.0 / 100.0", "22.2 / 75.0 / 100.0", "After step 7", "after step 14", "12.3", "200.0"] {
            assert!(html.contains(part), "{part}: {html}");
        }
        for part in ["<script>alert", "<b>bold", "<i>run", "</pre><script>", "\"quoted\"", "http"] {
            assert!(!html.contains(part), "{part}: {html}");
        }
        assert!(html.contains("What the columns say") && html.contains("one among the K nearest"), "{html}");
        assert!(html.contains(&machine::processor()) && html.contains(VERSION), "{html}");
    }
}
