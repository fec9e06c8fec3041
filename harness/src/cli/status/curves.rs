//! Training curves in a terminal, in dots of Braille: two by four to a character.

/// A curve with its name.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    /// (step, loss), steps rising.
    pub(super) points: Vec<(f64, f64)>,
}

/// Colours of the curves in turn: cyan, yellow, magenta, green, blue, red.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];
/// Curves that are drawn.
pub(super) const MOST: usize = COLOURS.len();
/// Width of the numbers before the axis.
const NUMBERS: usize = 8;

/// A chart of `width` by `height` characters with a line for each name below; nothing if there is nothing to draw.
pub(super) fn draw(curves: &[Curve], (width, height): (usize, usize), coloured: bool) -> String {
    let finite = |point: &&(f64, f64)| point.1.is_finite();
    let points = || curves.iter().flat_map(|c| &c.points).filter(finite);
    let low = points().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let last = points().map(|p| p.0).fold(0.0, f64::max);
    // The steep beginning would leave a line of the rest; where there is enough of that it lies above the chart.
    let long = curves.iter().any(|curve| curve.points.len() > 20);
    let from = if long { last / 20.0 } else { 0.0 };
    let high = points().filter(|p| p.0 >= from).map(|p| p.1);
    let high = high.fold(f64::NEG_INFINITY, f64::max);
    let columns = width.saturating_sub(NUMBERS + 2);
    if !(low.is_finite() && last > 0.0 && columns > 0 && height > 0) {
        return String::new();
    }
    let mut dots = Dots::new(columns, height);
    let span = (high - low).max(1e-9);
    let at = |(step, loss): (f64, f64)| {
        let x = step / last * (dots_wide(columns) - 1) as f64;
        let y = (high - loss) / span * (dots_high(height) - 1) as f64;
        (x, y.max(0.0))
    };
    for (i, curve) in curves.iter().take(MOST).enumerate() {
        let known: Vec<_> = curve
            .points
            .iter()
            .filter(finite)
            .copied()
            .map(at)
            .collect();
        for pair in known.windows(2) {
            dots.line(pair[0], pair[1], i);
        }
        // A single point is seen, too.
        known.first().into_iter().for_each(|&p| dots.line(p, p, i));
    }
    let paint = |text: &str, i: usize| match coloured {
        true => format!("\x1b[{}m{text}\x1b[0m", COLOURS[i % MOST]),
        false => text.to_string(),
    };
    let mut out = String::from("training loss\n");
    for row in 0..height {
        let number = match row {
            0 => format!("{high:.3}"),
            _ if row + 1 == height => format!("{low:.3}"),
            _ => String::new(),
        };
        out.push_str(&format!("{number:>NUMBERS$} │"));
        for (pattern, curve) in dots.row(row) {
            match curve {
                Some(i) => out.push_str(&paint(&pattern.to_string(), i)),
                None => out.push(' '),
            }
        }
        out.push('\n');
    }
    let end = format!("step {last:.0}");
    out.push_str(&format!("{:>NUMBERS$} └{:─>columns$}\n", "", ""));
    out.push_str(&format!("{:>NUMBERS$}  {end:>columns$}\n", ""));
    for (i, curve) in curves.iter().take(MOST).enumerate() {
        let loss = curve.points.last().map(|(_, loss)| format!(" {loss:.3}"));
        out.push_str(&format!(
            "{} {}{}\n",
            paint("━━", i),
            curve.name,
            loss.unwrap_or_default()
        ));
    }
    out
}

fn dots_wide(columns: usize) -> usize {
    2 * columns
}

fn dots_high(rows: usize) -> usize {
    4 * rows
}

/// A field of dots, each character with the curve that was drawn there last.
struct Dots {
    columns: usize,
    cells: Vec<(u8, Option<usize>)>,
}

impl Dots {
    fn new(columns: usize, rows: usize) -> Dots {
        Dots {
            columns,
            cells: vec![(0, None); columns * rows],
        }
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), curve: usize) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).ceil().max(1.0);
        for step in 0..=steps as usize {
            let share = step as f64 / steps;
            let (x, y) = (from.0 + share * dx, from.1 + share * dy);
            self.dot(x.round() as usize, y.round() as usize, curve);
        }
    }

    fn dot(&mut self, x: usize, y: usize, curve: usize) {
        /// Bits of the dots of a character, by row and column (Unicode, Braille patterns).
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let index = y / 4 * self.columns + x / 2;
        if let Some((bits, last)) = self.cells.get_mut(index) {
            *bits |= BITS[y % 4][x % 2];
            *last = Some(curve);
        }
    }

    fn row(&self, row: usize) -> impl Iterator<Item = (char, Option<usize>)> + '_ {
        let cells = &self.cells[row * self.columns..(row + 1) * self.columns];
        let pattern = |bits: u8| char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
        cells
            .iter()
            .map(move |&(bits, curve)| (pattern(bits), curve))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_curve_falls() {
        let curve = Curve {
            name: "rope".into(),
            points: vec![(0.0, 4.0), (100.0, 2.0)],
        };
        // Four characters are eight dots wide, two are eight high: a diagonal of one dot in each column and row.
        let chart = draw(&[curve], (4 + NUMBERS + 2, 2), false);
        let expected = "training loss\n   4.000 │⠑⢄  \n   2.000 │  ⠑⢄\n         └────\n          step 100\n━━ rope 2.000\n";
        assert_eq!(chart, expected);
    }

    #[test]
    fn colours_tell_curves_apart_and_what_is_no_number_is_left_out() {
        let curve = |name: &str, loss: f64| Curve {
            name: name.into(),
            points: vec![(0.0, loss), (10.0, f64::NAN), (20.0, loss)],
        };
        let chart = draw(&[curve("a", 1.0), curve("b", 3.0)], (20, 2), true);
        assert!(
            chart.contains("\x1b[36m━━\x1b[0m a") && chart.contains("\x1b[33m━━\x1b[0m b"),
            "{chart}"
        );
        assert!(
            chart.contains("   3.000 │\x1b[33m") && chart.contains("   1.000 │\x1b[36m"),
            "{chart}"
        );
        assert_eq!(draw(&[], (80, 8), false), "");
        let nothing = Curve {
            name: String::new(),
            points: vec![(1.0, f64::NAN)],
        };
        assert_eq!(draw(&[nothing], (80, 8), false), "");
    }
}
