//! The table behind a figure, and the ways to write it down.

use super::text::{hides, joins};

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
        let mut out = format!("{}\r\n", csv_line(&head));
        for row in &self.rows {
            out.push_str(&format!("{}\r\n", csv_line(row)));
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

/// A line of CSV without its end. A cell that a spreadsheet would take for a formula gets an apostrophe in front, and one
/// that it might cut, by whatever separator it reads with, is quoted.
pub(crate) fn csv_line<S: AsRef<str>>(cells: &[S]) -> String {
    let cell = |text: &S| {
        let text = text.as_ref();
        let apostrophe = if is_formula(text) { "'" } else { "" };
        if apostrophe.is_empty() && !text.contains(['"', ',', ';', '\t', '\n', '\r']) {
            return text.to_owned();
        }
        format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
    };
    cells.iter().map(cell).collect::<Vec<_>>().join(",")
}

/// Whether a spreadsheet would compute `text`: it begins, past blanks and what is not seen, with a sign of a formula, be
/// it of full width or small, or it begins with a tab or an end of line. Numbers are no formulas.
fn is_formula(text: &str) -> bool {
    let blank = |c: char| c.is_whitespace() || hides(c) || joins(c);
    let shown = text.trim_start_matches(blank);
    let sign = shown.starts_with([
        '=', '+', '-', '@', '＝', '＋', '－', '＠', '﹦', '﹢', '﹣', '﹫',
    ]);
    (sign || text.starts_with(['\t', '\r', '\n'])) && text.parse::<f64>().is_err()
}

pub(crate) fn latex_text(text: &str) -> String {
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
            c if hides(c) => out.push(' '),
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

pub(crate) fn markdown_text(text: &str) -> String {
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
            c if hides(c) => out.push(' '),
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
    fn no_way_to_begin_a_formula_is_left() {
        for text in [
            "=1+1",
            "+1+1",
            "-1+1",
            "@SUM(1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "\nx",
            " =1+1",
            "\u{a0}=1",
            "＝1+1",
            "＋1",
            "－1",
            "＠a",
            "﹦1",
            "\u{200b}=1",
            "\u{feff}=1",
            "\u{202e}=1",
            "\u{200d}=1",
            "\u{0}=1",
        ] {
            let line = csv_line(&["a", text]);
            assert_eq!(line, format!("a,\"'{text}\""), "{text:?}");
        }
        for text in [
            "-0.25", "+1e-3", "-inf", "NaN", "–", "a=b", "rope", "−0.5", "",
        ] {
            assert_eq!(csv_line(&[text]), text);
        }
        // Read with semicolons or tabs, what is not quoted would begin a new cell.
        assert_eq!(csv_line(&["a;=1+1", "b\t=1"]), "\"a;=1+1\",\"b\t=1\"");
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
