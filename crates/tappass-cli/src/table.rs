//! Tables for people. A cell's text is made safe on its way in, so no table can carry an escape of its own.

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table as Layout, presets};
use serde_json::Value;

use crate::safe;

/// Rows under headings.
pub struct Table {
    layout: Layout,
    spare: Vec<usize>,
}

impl Table {
    /// With these headings.
    #[must_use]
    pub fn new<const N: usize>(headings: [&str; N]) -> Self {
        let mut layout = Layout::new();
        layout.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        layout.set_header(
            headings.map(|h| Cell::new(h.to_uppercase()).add_attribute(comfy_table::Attribute::Bold)),
        );
        for column in layout.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self { layout, spare: Vec::new() }
    }

    /// Columns that a narrow terminal does without, the most dispensable first.
    #[must_use]
    pub fn spare(mut self, columns: &[usize]) -> Self {
        self.spare = columns.to_vec();
        self
    }

    /// With one more row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.layout.add_row(cells.map(|text| {
            let safe = safe::text(&text);
            match colour(&safe) {
                Some(colour) => Cell::new(safe).fg(colour),
                None => Cell::new(safe),
            }
        }));
    }

    /// Without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layout.is_empty()
    }

    /// As text: wrapped to a terminal's width, or one line a row where no terminal reads it. With colours;
    /// [`crate::output::Out`] strips them where they are not wanted.
    #[must_use]
    pub fn render(&self, width: Option<u16>) -> String {
        let mut layout = self.layout.clone();
        layout.force_no_tty().enforce_styling();
        layout.style_text_only();
        match width {
            Some(width) => layout.set_width(width),
            None => layout.set_content_arrangement(ContentArrangement::Disabled),
        };
        let widths: Vec<usize> =
            layout.column_max_content_widths().into_iter().map(|w| usize::from(w) + 2).collect();
        for column in left_out(&widths, &self.spare, width.map_or(usize::MAX, usize::from)) {
            if let Some(column) = layout.column_mut(*column) {
                column.set_constraint(ColumnConstraint::Hidden);
            }
        }
        layout.trim_fmt()
    }
}

/// How many of the spare columns must go for the rest to fit.
#[must_use]
pub fn left_out<'a>(widths: &[usize], spare: &'a [usize], width: usize) -> &'a [usize] {
    let mut total: usize = widths.iter().sum();
    let mut gone = 0;
    while total > width && gone < spare.len() {
        total -= widths.get(spare[gone]).copied().unwrap_or_default();
        gone += 1;
    }
    &spare[..gone]
}

/// Words that mean the same in every table.
fn colour(word: &str) -> Option<Color> {
    match word {
        "pass" | "active" | "enforce" | "lockdown" => Some(Color::Green),
        "warn" | "redact" | "notify" | "observe" => Some(Color::Yellow),
        "fail" | "block" | "error" | "suspended" => Some(Color::Red),
        "off" => Some(Color::DarkGrey),
        _ => None,
    }
}

/// A field of a JSON object as a cell's text: a path of keys, `-` where there is nothing.
#[must_use]
pub fn cell(object: &Value, path: &str) -> String {
    let value = path.split('.').try_fold(object, |at, key| at.get(key));
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(s)) if s.is_empty() => "-".to_owned(),
        Some(Value::String(s)) => s.clone(),
        Some(Value::Bool(b)) => if *b { "yes" } else { "no" }.to_owned(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line_in_a_pipe_and_fits_a_terminal() {
        let mut table = Table::new(["agent", "mode"]);
        table.row(["claims processor of the northern branch".to_owned(), "observe".to_owned()]);
        let piped = table.render(None);
        assert_eq!(piped.lines().count(), 2);
        let narrow = anstream::adapter::strip_str(&table.render(Some(30))).to_string();
        assert!(narrow.lines().count() > 2 && narrow.lines().all(|l| l.chars().count() <= 30), "{narrow}");
    }

    #[test]
    fn a_narrow_terminal_does_without_the_spare_columns() {
        let mut table = Table::new(["agent", "model", "ms"]).spare(&[2, 1]);
        table.row(["claims-processor", "builtin", "12.5"].map(str::to_owned));
        let headings = |width| {
            let text = anstream::adapter::strip_str(&table.render(width)).to_string();
            text.lines().next().expect("headings").split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(headings(None), ["AGENT", "MODEL", "MS"]);
        assert_eq!(headings(Some(80)), ["AGENT", "MODEL", "MS"]);
        assert_eq!(headings(Some(30)), ["AGENT", "MODEL"]);
        assert_eq!(headings(Some(20)), ["AGENT"]);
    }

    #[test]
    fn a_hostile_cell_is_harmless() {
        let mut table = Table::new(["agent"]);
        table.row(["\u{1b}[2J\u{1b}]0;owned\u{7}\r\nx".to_owned()]);
        let text = table.render(None);
        let body = text.lines().nth(1).expect("a row");
        assert_eq!(body.trim(), "\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\r\\nx");
    }

    #[test]
    fn cells_come_from_paths() {
        let event = serde_json::json!({"a": {"b": 3}, "n": null, "e": "", "t": true});
        assert_eq!(["a.b", "n", "e", "a.x", "t"].map(|p| cell(&event, p)), ["3", "-", "-", "-", "yes"]);
    }
}
