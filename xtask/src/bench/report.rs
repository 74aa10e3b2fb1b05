//! Tables and verdicts, for the terminal and for the page in docs.

use std::fmt::Write as _;

/// One part's table, and how it stands to its targets.
pub struct Section {
    pub title: &'static str,
    /// How it was measured, in a sentence or two.
    pub method: String,
    pub columns: &'static [&'static str],
    pub rows: Vec<Vec<String>>,
    pub verdicts: Vec<Verdict>,
}

/// A target, and whether what was measured meets it.
pub struct Verdict {
    pub target: String,
    pub measured: String,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Met,
    NotMet,
}

impl Outcome {
    pub fn met_if(condition: bool) -> Self {
        if condition { Self::Met } else { Self::NotMet }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "**not met**",
        }
    }
}

impl Section {
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n{}", self.title, self.method, table(self.columns, &self.rows));
        if !self.verdicts.is_empty() {
            text.push('\n');
            text.push_str(&verdicts(&self.verdicts));
        }
        text
    }
}

#[derive(Default)]
pub struct Report {
    pub sections: Vec<Section>,
    /// Parts that failed.
    pub not_measured: Vec<String>,
}

impl Report {
    /// The page `docs/benchmarks.md`.
    pub fn page(&self, facts: &[(String, String)]) -> String {
        let mut page = String::from(HEADING);
        let facts: Vec<Vec<String>> =
            facts.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
        page.push_str(&table(&["machine", ""], &facts));
        for section in &self.sections {
            page.push('\n');
            page.push_str(&section.markdown());
        }
        if !self.not_measured.is_empty() {
            let parts = self.not_measured.join(", ");
            let _infallible = writeln!(page, "\nNot measured, because the measurement failed: {parts}.");
        }
        page
    }
}

const HEADING: &str = "\
# Benchmarks

Written by the command that reproduces it:

    cargo xtask bench

Everything below is from one run on one machine: load generator, proxies and upstream share its cores and talk over
the loopback, so requests per second compare the contenders with each other and say nothing of a deployment. CPU
time per request is the figure to look at. Values are medians, with the least and the most in parentheses. Tollgate
is built as it is shipped: `cargo xtask dist`.

";

fn verdicts(verdicts: &[Verdict]) -> String {
    let row = |verdict: &Verdict| {
        vec![verdict.target.clone(), verdict.measured.clone(), verdict.outcome.words().to_owned()]
    };
    table(&["target", "measured", "verdict"], &verdicts.iter().map(row).collect::<Vec<_>>())
}

/// A Markdown table, aligned so that it reads well in a terminal too.
fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(columns.get(column).map(|name| name.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let mut line = String::from("|");
        for (cell, width) in cells.iter().zip(&widths) {
            let _infallible = write!(line, " {cell:width$} |");
        }
        line + "\n"
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut text = line(columns.to_vec());
    text += &line(rule.iter().map(String::as_str).collect());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["nginx".to_owned(), "12.5 µs".to_owned()]];
        assert_eq!(
            table(&["", "CPU"], &rows),
            "|       | CPU     |\n| ----- | ------- |\n| nginx | 12.5 µs |\n"
        );
    }
}
