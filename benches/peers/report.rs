//! Tables for people, JSON for programs.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::Settings;

/// A failure ends its case, with words for whoever runs it.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What a case found: rows of the same columns.
pub(crate) struct Report {
    /// One line: what was done, and what to know when reading the numbers.
    pub(crate) about: String,
    /// What is in the columns after the subject, with units.
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
}

/// Medians of all rounds for one subject, one for each column.
pub(crate) struct Row {
    pub(crate) subject: String,
    pub(crate) values: Vec<f64>,
}

impl Report {
    /// Aligned text.
    pub(crate) fn table(&self) -> String {
        let subjects = self.rows.iter().map(|row| row.subject.len());
        let first = subjects.max().unwrap_or(0);
        let mut text = " ".repeat(first);
        for column in &self.columns {
            let _ = write!(text, "  {column:>12}");
        }
        for row in &self.rows {
            let _ = write!(text, "\n{:first$}", row.subject);
            for (value, column) in row.values.iter().zip(&self.columns) {
                let _ = write!(text, "  {value:>width$.2}", width = column.len().max(12));
            }
        }
        text
    }

    /// The same for programs.
    pub(crate) fn json(&self, case: &str) -> Value {
        let rows = self.rows.iter().map(|row| {
            let values = self.columns.iter().zip(&row.values);
            let measured: serde_json::Map<String, Value> = values
                .map(|(column, value)| ((*column).to_owned(), json!(value)))
                .collect();
            json!({ "subject": row.subject, "median": measured })
        });
        json!({ "case": case, "about": self.about, "rows": rows.collect::<Vec<_>>() })
    }
}

/// The middle of what was measured; with an even count the lower of the two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len().saturating_sub(1) / 2;
    sorted.get(middle).copied().unwrap_or(f64::NAN)
}

/// Writes all reports and what they were measured with.
pub(crate) fn write_json(path: &Path, settings: &Settings, cases: Vec<Value>) -> Outcome<()> {
    let processors = std::thread::available_parallelism()?.get();
    let all = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "processors": processors,
        "rounds": settings.rounds,
        "cases": cases,
    });
    Ok(std::fs::write(path, serde_json::to_vec_pretty(&all)?)?)
}
