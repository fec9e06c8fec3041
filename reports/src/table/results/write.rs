//! A table with marks as LaTeX, Markdown, plain text, CSV and HTML.

use super::{Cell, Column, Sheet};
use crate::figure::{Data, latex_text, markdown_text, plain};
use crate::stats::Interval;
use askama::Template;

impl Sheet {
    /// A table for the `booktabs` package, as a paper prints it.
    #[must_use]
    pub fn latex(&self) -> String {
        let align: String = self
            .columns
            .iter()
            .map(|c| if c.number { 'r' } else { 'l' })
            .collect();
        let (mut groups, mut rules, mut at) = (Vec::new(), String::new(), 1);
        for same in self.columns.chunk_by(|a, b| a.group == b.group) {
            let (n, end) = (same.len(), at + same.len() - 1);
            let name = latex_text(&same[0].group);
            groups.push(if n == 1 {
                name
            } else {
                format!("\\multicolumn{{{n}}}{{c}}{{{name}}}")
            });
            if n > 1 {
                rules.push_str(&format!("\\cmidrule(lr){{{at}-{end}}}"));
            }
            at = end + 1;
        }
        let heads: Vec<String> = self.columns.iter().map(|c| latex_text(&c.head)).collect();
        let line = |cells: &[String]| format!("    {} \\\\\n", cells.join(" & "));
        let cell = |c: &Cell| {
            let text = latex_text(&c.text);
            let text = if c.served {
                format!("\\underline{{{text}}}")
            } else {
                text
            };
            if c.best {
                format!("\\textbf{{{text}}}")
            } else {
                text
            }
        };
        let rows: String = self
            .rows
            .iter()
            .map(|r| line(&r.cells.iter().map(cell).collect::<Vec<_>>()))
            .collect();
        let notes: Vec<String> = self.notes.iter().map(|n| latex_text(n)).collect();
        format!(
            "\\begin{{table}}\n  \\centering\n  \\caption{{{}.}}\n  \\label{{tab:{}}}\n  \\begin{{tabular}}{{{align}}}\n    \
             \\toprule\n{}    {rules}\n{}    \\midrule\n{rows}    \\bottomrule\n  \\end{{tabular}}\n\n  \\smallskip\n  \
             {{\\footnotesize {}\\par}}\n\\end{{table}}\n",
            latex_text(&self.caption),
            self.slug,
            line(&groups),
            line(&heads),
            notes.join(" ")
        )
    }

    /// A pipe table under its caption, best values in bold, over its notes. What is served is not marked.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let cell = |c: &Cell| match c.best {
            true => format!("**{}**", markdown_text(&c.text)),
            false => markdown_text(&c.text),
        };
        let columns = self.columns.iter();
        let heads = line(columns.clone().map(|c| markdown_text(&c.head)).collect());
        let rule = line(
            columns
                .map(|c| if c.number { "--:" } else { ":--" }.into())
                .collect(),
        );
        let rows: String = self
            .rows
            .iter()
            .map(|r| line(r.cells.iter().map(cell).collect()))
            .collect();
        let notes: Vec<String> = self.notes.iter().map(|n| markdown_text(n)).collect();
        format!(
            "### {}\n\n{heads}{rule}{rows}\n{}\n",
            markdown_text(&self.caption),
            notes.join(" ")
        )
    }

    /// A plain table for terminals, columns aligned, best values with a star behind them.
    #[must_use]
    pub fn text(&self) -> String {
        let shown = |c: &Cell| format!("{}{}", c.text, if c.best { "*" } else { " " });
        let heads = self
            .columns
            .iter()
            .map(|c| format!("{} ", c.head))
            .collect::<Vec<_>>();
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|r| r.cells.iter().map(shown).collect())
            .collect();
        let all = || std::iter::once(&heads).chain(&rows);
        let width = |i: usize| all().map(|r| r[i].chars().count()).max().unwrap_or(0);
        let line = |cells: &Vec<String>| {
            let cell = |(i, text): (usize, &String)| {
                let pad = " ".repeat(width(i) - text.chars().count());
                if self.columns[i].number {
                    format!("{pad}{text}")
                } else {
                    format!("{text}{pad}")
                }
            };
            let cells: Vec<String> = cells.iter().enumerate().map(cell).collect();
            format!("{}\n", cells.join(" ").trim_end())
        };
        all().map(line).collect()
    }

    /// One number per column, not rounded, for programs.
    #[must_use]
    pub fn csv(&self) -> String {
        let name = |c: &Column| match c.group.as_str() {
            "" => c.head.clone(),
            group => format!("{group}, {}", c.head),
        };
        let ranged: Vec<bool> = (0..self.columns.len())
            .map(|i| self.rows.iter().any(|r| r.cells[i].interval.is_some()))
            .collect();
        let columns = self.columns.iter().zip(&ranged);
        let heads: Vec<String> = columns
            .flat_map(|(c, &ranged)| {
                let more = if ranged { &[" low", " high"][..] } else { &[] };
                let name = name(c);
                let more = more
                    .iter()
                    .map(|end| format!("#{name}{end}"))
                    .collect::<Vec<_>>();
                let sign = if c.number { "#" } else { "" };
                [format!("{sign}{name}")]
                    .into_iter()
                    .chain(more)
                    .collect::<Vec<_>>()
            })
            .collect();
        let mut data = Data::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
        for row in &self.rows {
            let cells = row.cells.iter().zip(&ranged).flat_map(|(c, &ranged)| {
                let text = c.value.map_or_else(|| c.text.clone(), |v| v.to_string());
                let end = |of: fn(Interval) -> f64| {
                    c.interval.map_or_else(String::new, |i| of(i).to_string())
                };
                let ends = if ranged {
                    vec![end(|i| i.low), end(|i| i.high)]
                } else {
                    Vec::new()
                };
                [text].into_iter().chain(ends).collect::<Vec<_>>()
            });
            data.row(cells.collect());
        }
        data.csv()
    }

    /// A `<table>` with its notes: cells carry `data-value` to sort by, and classes `best` and `served`.
    ///
    /// # Errors
    /// What the template refuses.
    pub fn html(&self, id: &str) -> Result<String, askama::Error> {
        Fragment { sheet: self, id }.render()
    }

    /// Heads above the heads, with how many columns each spans.
    fn groups(&self) -> Vec<(String, usize)> {
        let chunks = self.columns.chunk_by(|a, b| a.group == b.group);
        chunks
            .map(|same| (same[0].group.clone(), same.len()))
            .collect()
    }
}

#[derive(Template)]
#[template(path = "results.html")]
struct Fragment<'a> {
    sheet: &'a Sheet,
    id: &'a str,
}

impl Cell {
    /// The interval in words, for a tip.
    fn tip(&self) -> Option<String> {
        self.interval
            .map(|i| format!("[{}, {}]", plain(i.low), plain(i.high)))
    }

    fn class(&self) -> &'static str {
        match (self.best, self.served) {
            (true, true) => " best served",
            (true, false) => " best",
            (false, true) => " served",
            (false, false) => "",
        }
    }
}
