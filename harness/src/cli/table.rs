//! Plain tables and numbers for people.

/// How a column lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    Left,
    Right,
}

/// A table that is printed with two spaces between columns and no lines.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(String, Lie)>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

/// Width that long last columns are wrapped to.
const WIDTH: usize = 110;

impl Table {
    /// Columns by title; those that begin with `>` lie to the right.
    pub(super) fn new(columns: &[&str]) -> Table {
        let column = |title: &&str| match title.strip_prefix('>') {
            Some(title) => (title.to_string(), Lie::Right),
            None => (title.to_string(), Lie::Left),
        };
        Table {
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
            indent: 0,
        }
    }

    pub(super) fn indented(mut self, indent: usize) -> Table {
        self.indent = indent;
        self
    }

    pub(super) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows
            .push(cells.into_iter().map(|cell| shown(&cell.into())).collect());
    }

    /// Columns in which something stands.
    fn filled(&self) -> Vec<usize> {
        let some = |i: &usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(*i));
            cells.any(|cell| !cell.is_empty())
        };
        (0..self.columns.len()).filter(some).collect()
    }

    /// The table without the columns that are empty, but with its first.
    pub(super) fn without_empty(mut self) -> Table {
        let kept: Vec<usize> = (0..self.columns.len())
            .filter(|i| *i == 0 || self.filled().contains(i))
            .collect();
        self.columns = kept.iter().map(|i| self.columns[*i].clone()).collect();
        for row in &mut self.rows {
            *row = kept.iter().filter_map(|i| row.get(*i).cloned()).collect();
        }
        self
    }

    /// The table in Markdown, without the columns that are empty.
    pub(super) fn markdown(&self) -> String {
        let shown = self.filled();
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut out = line(shown.iter().map(|i| self.columns[*i].0.clone()).collect());
        let rule = |i: &usize| match self.columns[*i].1 {
            Lie::Left => "---".to_string(),
            Lie::Right => "---:".to_string(),
        };
        out.push_str(&line(shown.iter().map(rule).collect()));
        for row in &self.rows {
            let cell = |i: &usize| {
                row.get(*i)
                    .map_or(String::new(), |cell| cell.replace('|', "\\|"))
            };
            out.push_str(&line(shown.iter().map(cell).collect()));
        }
        out
    }

    /// The table with a final line break; the last column is wrapped if it is words.
    pub(super) fn text(&self) -> String {
        let width = |i: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(i));
            cells
                .chain([&self.columns[i].0])
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let before: usize = widths.iter().rev().skip(1).map(|w| w + 2).sum::<usize>() + self.indent;
        let room = WIDTH.saturating_sub(before).max(30);
        let titles: Vec<String> = self
            .columns
            .iter()
            .map(|(title, _)| title.clone())
            .collect();
        let mut out = String::new();
        let untitled = titles.iter().all(String::is_empty);
        for row in std::iter::once(&titles)
            .filter(|_| !untitled)
            .chain(&self.rows)
        {
            let last = row.len().saturating_sub(1);
            let words = self
                .columns
                .get(last)
                .is_some_and(|(_, lie)| *lie == Lie::Left);
            let lines = if words {
                wrap(&row[last], room)
            } else {
                vec![row[last].clone()]
            };
            for (n, line) in lines.iter().enumerate() {
                let mut text = " ".repeat(self.indent);
                for (i, (_, lie)) in self.columns.iter().enumerate().take(row.len()) {
                    let cell = match (i == last, n) {
                        (true, _) => line,
                        (false, 0) => &row[i],
                        (false, _) => "",
                    };
                    let pad = " ".repeat(widths[i].saturating_sub(cell.chars().count()));
                    match lie {
                        Lie::Left => text.extend([cell, &pad, "  "]),
                        Lie::Right => text.extend([&pad, cell, "  "]),
                    }
                }
                out.push_str(text.trim_end());
                out.push('\n');
            }
        }
        out
    }
}

/// Text from outside may hold control characters; a terminal must not see them.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if commands(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Whether a terminal obeys `c` in place of showing it: control characters, marks that turn the reading direction, and
/// what else is not seen.
pub(super) fn commands(c: char) -> bool {
    farspan_reports::figure::hides(c)
}

/// Breaks words into lines of at most `width` characters, if the words are that short.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_string());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// `1.2 M`, `3.4 T`: three significant digits with a unit prefix.
pub(crate) fn amount(x: f64) -> String {
    let (scaled, prefix) = match x.abs() {
        a if a >= 1e15 => (x / 1e15, " P"),
        a if a >= 1e12 => (x / 1e12, " T"),
        a if a >= 1e9 => (x / 1e9, " G"),
        a if a >= 1e6 => (x / 1e6, " M"),
        a if a >= 1e4 => (x / 1e3, " k"),
        _ => return format!("{x:.0}"),
    };
    let digits = if scaled.abs() < 10.0 {
        2
    } else {
        usize::from(scaled.abs() < 100.0)
    };
    format!("{scaled:.digits$}{prefix}")
}

/// `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn duration(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86400, s % 86400 / 3600),
    }
}

/// `120 MiB`.
pub(crate) fn bytes(n: f64) -> String {
    match n {
        n if n >= 1024.0 * 1024.0 * 1024.0 => format!("{:.1} GiB", n / (1024.0 * 1024.0 * 1024.0)),
        n => format!("{:.0} MiB", n / (1024.0 * 1024.0)),
    }
}

/// A number with six significant digits, in powers of ten where it is very small or large.
pub(super) fn number(x: f64) -> String {
    match x.abs() {
        _ if x == 0.0 => "0".into(),
        _ if !x.is_finite() => x.to_string(),
        a if !(1e-3..1e6).contains(&a) => format!("{x:.5e}"),
        a => {
            let digits = (5 - a.log10().floor() as i32).max(0) as usize;
            let text = format!("{x:.digits$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
                false => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_wrap() {
        let mut table = Table::new(&["name", ">n", "what"]);
        table.row(["a", "1", "short"]);
        table.row(["long", "1000", &"word ".repeat(25)]);
        let text = table.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "name     n  what");
        assert_eq!(lines[1], "a        1  short");
        assert!(lines[2].starts_with("long  1000  word") && lines[2].chars().count() <= WIDTH);
        assert!(lines[3].starts_with("            word"), "{text}");
    }

    #[test]
    fn markdown_leaves_out_what_is_empty() {
        let mut table = Table::new(&["name", "why", ">n"]);
        table.row(["a|b", "", "1"]);
        assert_eq!(
            table.markdown(),
            "| name | n |\n| --- | ---: |\n| a\\|b | 1 |\n"
        );
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(shown("a\u{1b}[31mb\nc"), "a\u{fffd}[31mb\u{fffd}c");
        assert_eq!(shown("a\u{202e}b\u{2066}é"), "a\u{fffd}b\u{fffd}é");
    }

    #[test]
    fn numbers_are_short() {
        for (x, text) in [
            (0.0, "0"),
            (950.0, "950"),
            (12_345.0, "12.3 k"),
            (1.234e6, "1.23 M"),
            (5.6e13, "56.0 T"),
        ] {
            assert_eq!(amount(x), text);
        }
        for (x, text) in [
            (0.4, "0 s"),
            (59.6, "1 min 0 s"),
            (200.0, "3 min 20 s"),
            (7500.0, "2 h 5 min"),
        ] {
            assert_eq!(duration(x), text);
        }
        for (x, text) in [
            (1.0, "1"),
            (0.25, "0.25"),
            (1.1386294, "1.13863"),
            (12345.678, "12345.7"),
            (1e-4, "1.00000e-4"),
            (-0.5, "-0.5"),
        ] {
            assert_eq!(number(x), text);
        }
        assert_eq!(
            (bytes(1.5e9), bytes(5.0 * 1024.0 * 1024.0)),
            ("1.4 GiB".into(), "5 MiB".into())
        );
    }
}
