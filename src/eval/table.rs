//! A table of results as plain cells, to be written as Markdown or put on a page.

/// A table whose cells are text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The columns, from left to right.
    pub columns: Vec<Column>,
    /// The cells of each row, one a column.
    pub rows: Vec<Vec<String>>,
    /// What holds for all scores.
    pub note: String,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// What stands above it.
    pub head: String,
    /// Whether its cells are numbers, which stand to the right.
    pub is_number: bool,
    /// What it says, in two sentences for a reader who has not seen such a table before.
    pub meaning: &'static str,
}

impl Column {
    /// Makes a column of names.
    pub(super) fn text(head: &str, meaning: &'static str) -> Self {
        Column { head: head.into(), is_number: false, meaning }
    }

    /// Makes a column of numbers.
    pub(super) fn number(head: impl Into<String>, meaning: &'static str) -> Self {
        Column { head: head.into(), is_number: true, meaning }
    }
}

impl Table {
    /// Returns the table as Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
        let heads = line(self.columns.iter().map(|column| column.head.as_str()).collect());
        let rule: String = self.columns.iter().map(|column| if column.is_number { "--:|" } else { "---|" }).collect();
        let rows: String = self.rows.iter().map(|row| line(row.iter().map(String::as_str).collect())).collect();
        format!("{heads}|{rule}\n{rows}\n{}\n", self.note)
    }
}

/// What the first columns of all tables say.
pub(super) const CONCEPTS: &str = "What the pictures show. Seen concepts were trained on, in other drawings; held-out \
    ones never were, and own pairs are just those of the user.";
pub(super) const PICTURES: &str = "Where the pictures come from. Those of a vendor that is held out, and validation \
    pairs, were never trained on.";
pub(super) const NUMBER: &str = "How many pictures are asked about. Retrieval gets harder with every one, so that only \
    rows with like numbers can be compared.";
