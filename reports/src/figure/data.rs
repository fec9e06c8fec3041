//! The table behind a figure, and the ways to write it down.

/// The table behind a figure: every cell as text, ready to be shown or exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Column heads; `true` for numbers.
    pub columns: Vec<(String, bool)>,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<String>>,
}

impl Data {
    /// An empty table. A leading `#` in a head marks a column of numbers.
    pub(crate) fn new(columns: &[&str]) -> Data {
        let column = |name: &&str| match name.strip_prefix('#') {
            Some(rest) => (rest.to_owned(), true),
            None => ((*name).to_owned(), false),
        };
        Data {
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a row of {cells:?}");
        self.rows.push(cells);
    }

    /// RFC 4180 text. A cell that a spreadsheet would take for a formula gets an apostrophe in front.
    pub fn csv(&self) -> String {
        let head = self
            .columns
            .iter()
            .map(|c| c.0.as_str())
            .collect::<Vec<_>>();
        let mut out = csv_row(&head);
        for row in &self.rows {
            out.push_str(&csv_row(
                &row.iter().map(String::as_str).collect::<Vec<_>>(),
            ));
        }
        out
    }

    /// A table for the `booktabs` package, with caption and label.
    pub fn latex(&self, caption: &str, label: &str) -> String {
        let kept = self.used();
        let of = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
        let align: String = kept
            .iter()
            .map(|&i| if self.columns[i].1 { 'r' } else { 'l' })
            .collect();
        let head = of(kept
            .iter()
            .map(|&i| latex_text(&self.columns[i].0))
            .collect());
        let rows = self
            .rows
            .iter()
            .map(|row| of(kept.iter().map(|&i| latex_text(&row[i])).collect()));
        format!(
            "\\begin{{table}}\n  \\centering\n  \\caption{{{}.}}\n  \\label{{tab:{label}}}\n  \\begin{{tabular}}{{{align}}}\n    \
             \\toprule\n{head}    \\midrule\n{}    \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n",
            latex_text(caption),
            rows.collect::<String>()
        )
    }

    /// A pipe table.
    pub fn markdown(&self) -> String {
        let kept = self.used();
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let rule = kept
            .iter()
            .map(|&i| if self.columns[i].1 { "--:" } else { ":--" }.to_owned());
        let mut out = line(
            kept.iter()
                .map(|&i| markdown_text(&self.columns[i].0))
                .collect(),
        );
        out.push_str(&line(rule.collect()));
        for row in &self.rows {
            out.push_str(&line(
                kept.iter().map(|&i| markdown_text(&row[i])).collect(),
            ));
        }
        out
    }

    /// Columns that are not empty from top to bottom: printed tables leave such columns out.
    fn used(&self) -> Vec<usize> {
        let empty = |i: &usize| !self.rows.is_empty() && self.rows.iter().all(|r| r[*i].is_empty());
        (0..self.columns.len()).filter(|i| !empty(i)).collect()
    }
}

fn csv_row(cells: &[&str]) -> String {
    let cell = |text: &&str| {
        let formula =
            text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
        let text = if formula {
            format!("'{text}")
        } else {
            (*text).to_owned()
        };
        match formula || text.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text,
        }
    };
    let row: Vec<String> = cells.iter().map(cell).collect();
    format!("{}\r\n", row.join(","))
}

fn latex_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '_' | '%' | '&' | '#' | '$' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '\\' => out.push_str("\\textbackslash{}"),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            '×' => out.push_str("$\\times$"),
            '≥' => out.push_str("$\\geq$"),
            '−' => out.push_str("$-$"),
            '–' => out.push_str("--"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    // A hyphen in front of a number is a minus sign.
    match out
        .strip_prefix('-')
        .filter(|_| text.parse::<f64>().is_ok())
    {
        Some(rest) => format!("$-${rest}"),
        None => out,
    }
}

fn markdown_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile() -> Data {
        let mut data = Data::new(&["scheme", "#value", "note"]);
        data.row(vec![
            "=cmd|' /C calc'!A0".into(),
            "-0.25".into(),
            String::new(),
        ]);
        data.row(vec!["a,\"b\"\nc".into(), "–".into(), String::new()]);
        data.row(vec![
            "%_&#${}~^\\ </table>|".into(),
            "1.5".into(),
            String::new(),
        ]);
        data
    }

    #[test]
    fn csv_cannot_become_a_formula() {
        let csv = hostile().csv();
        assert!(csv.contains("\"'=cmd|' /C calc'!A0\",-0.25,"), "{csv}");
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let rows: Vec<csv::StringRecord> = reader
            .records()
            .map(|r| r.expect("our CSV reads back"))
            .collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(&rows[1][0], "a,\"b\"\nc");
        assert!(rows.iter().flatten().all(|cell| !cell.starts_with('=')));
    }

    #[test]
    fn latex_is_escaped_and_leaves_empty_columns_out() {
        let latex = hostile().latex("A & B", "x");
        assert!(latex.contains("\\begin{tabular}{lr}"), "{latex}");
        assert!(
            latex.contains(
                "\\%\\_\\&\\#\\$\\{\\}\\textasciitilde{}\\textasciicircum{}\\textbackslash{}"
            ),
            "{latex}"
        );
        assert!(
            latex.contains("& $-$0.25 \\\\") && latex.contains("\\caption{A \\& B.}"),
            "{latex}"
        );
    }

    #[test]
    fn markdown_is_escaped() {
        let markdown = hostile().markdown();
        assert!(markdown.contains("&lt;/table&gt;\\|"), "{markdown}");
        assert_eq!(markdown.lines().count(), 5);
    }
}
