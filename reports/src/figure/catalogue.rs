//! Which figures a study has: each module turns the numbers of a summary into one kind of figure and its table.

mod aggregate;
mod cost;
mod curves;
mod differences;
mod effective;
mod grids;
mod maps;
mod pareto;
mod profile;
mod settings;
mod training;

use super::chart::{Point, Series};
use super::data::Data;
use super::dots::Dots;
use super::drawing::Drawing;
use crate::record::{Role, Samples, Scale as Shown};
use crate::summary::{Curve, Difference, Estimate, Interval, MeasureInfo, RunInfo, StudySummary};

pub(crate) use aggregate::across;
pub(crate) use maps::steps;

/// A figure with everything that is shown around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// File name without ending, unique within a study: `perplexity`, `training`.
    pub slug: String,
    /// A few words.
    pub title: String,
    /// What is drawn, what the intervals are over, how to read the marks.
    pub caption: String,
    /// The drawing.
    pub drawing: Drawing,
    /// The numbers in it.
    pub data: Data,
}

impl Figure {
    /// Whether it wants the width of the page.
    pub fn wide(&self) -> bool {
        f64::from(self.drawing.width()) > super::chart::WIDTH
    }
}

/// At most so high figures stand in twos on a printed page.
const LOW: u32 = 460;

/// What every figure of a study needs to know beside its own numbers.
#[derive(Clone, Copy, Debug)]
struct Context<'a> {
    run: &'a RunInfo,
    study: &'a StudySummary,
}

impl Context<'_> {
    /// Whether there are too many curves to tell apart by colour.
    fn crowd(&self) -> bool {
        self.study.curves.len() + self.study.absent.len() > super::chart::CROWD
    }

    /// The curve that others are compared with.
    fn reference(&self) -> Option<&Curve> {
        let label = &self.study.reference.as_ref()?.label;
        self.study.curves.iter().find(|c| &c.label == label)
    }

    /// `95% intervals`.
    fn intervals(&self) -> String {
        format!(
            "{}% intervals",
            super::scale::label(self.run.confidence * 100.0)
        )
    }

    /// `95% intervals, simultaneous over 16 comparisons`; with one seed they are of these trainings alone.
    fn simultaneous(&self, all: &[&Difference]) -> String {
        let comparisons = all.iter().map(|d| d.comparisons).max().unwrap_or(0);
        let once = match all.iter().any(|d| d.seeds == 1) {
            true => "; with one seed they are about these trainings, not about the schemes",
            false => "",
        };
        match comparisons {
            0 | 1 => format!("{}{once}", self.intervals()),
            n => format!(
                "{}, simultaneous over {n} comparisons{once}",
                self.intervals()
            ),
        }
    }

    /// `95% intervals over 3 seeds and test segments`; the methods say the rest.
    fn intervals_over(&self, units: &str) -> String {
        let seeds = self.study.curves.iter().map(|c| c.seeds.len());
        let over = match (seeds.clone().min().unwrap_or(0), seeds.max().unwrap_or(0)) {
            (_, 0 | 1) => format!("{units} (one seed)"),
            (a, b) if a == b => format!("{a} seeds and {units}"),
            (a, b) => format!("{a} to {b} seeds and {units}"),
        };
        format!("{} over {over}", self.intervals())
    }
}

/// Title and caption of the differences by a measure to any reference: of the map of all curves, or of the forest plot.
pub(crate) fn compared(
    study: &StudySummary,
    run: &RunInfo,
    info: &MeasureInfo,
    reference: &str,
    map: bool,
) -> (String, String) {
    let context = Context { run, study };
    match map {
        true => (
            maps::title(info, reference),
            maps::caption(context, info, reference),
        ),
        false => (
            differences::title(info, reference),
            differences::caption(context, info, reference),
        ),
    }
}

/// The figures of a study, most telling first. Figures without any data are left out.
pub fn figures(study: &StudySummary, run: &RunInfo) -> Vec<Figure> {
    let context = Context { run, study };
    let mut all: Vec<Figure> = Vec::new();
    let of_role = |role: Role| study.measures.iter().filter(move |m| m.record.role == role);
    for info in study.compared() {
        all.extend(curves::figure(context, info));
        all.extend(settings::figures(context, info));
    }
    all.extend(
        study
            .aggregate
            .iter()
            .flat_map(|a| aggregate::figures(a, &study.name)),
    );
    all.extend(effective::figure(context));
    all.extend(of_role(Role::Profile).filter_map(|m| profile::figure(context, m)));
    for info in study.compared() {
        match context.crowd() {
            true => all.extend(maps::places(context, info)),
            false => all.extend(grids::maps(context, info)),
        }
        all.extend(grids::by_distance(context, info));
    }
    all.extend(aggregate::depth_effects(context));
    for info in study.compared() {
        all.extend(maps::differences(context, info));
        all.extend(differences::figure(context, info));
    }
    let others = of_role(Role::ByLength).filter(|m| !m.headline);
    all.extend(others.filter_map(|m| curves::figure(context, m)));
    all.extend(training::figure(context));
    all.extend(cost::figure(context));
    // Of many curves the headline stays first; then two low figures share a printed page, and high ones have one each.
    if context.crowd() && all.len() > 1 {
        all[1..].sort_by_key(|f| f.drawing.height() > LOW);
    }
    all
}

/// A value of a measure for drawing, its axis and its digits: shares in 0 to 1, exponentials as such.
fn value_scale(info: &MeasureInfo, values: impl Iterator<Item = f64>) -> super::scale::Scale {
    match info.record.scale {
        Shown::Exp => super::scale::Scale::log(values, 0.05),
        Shown::Share => super::scale::Scale::Linear {
            low: -0.02,
            high: 1.02,
        },
        Shown::Plain => super::scale::Scale::linear(values, 0.05),
    }
}

/// `22 of 36`, of trials.
fn hits(info: &MeasureInfo, sum: f64, weight: f64) -> String {
    match (info.record.samples, info.record.scale) {
        (Samples::Trials, _) | (_, Shown::Share) => {
            format!(", {} of {}", plain(sum), plain(weight))
        }
        _ => String::new(),
    }
}

/// A sum as short as it can be, with all of its digits if it is whole.
fn plain(x: f64) -> String {
    match x.fract() == 0.0 && x.abs() < 1e15 {
        true => format!("{x:.0}"),
        false => number(x, 3),
    }
}

/// A sentence ends with a full stop and starts with a capital.
fn sentence(words: &str) -> String {
    let words = words.trim();
    let mut letters = words.chars();
    let Some(first) = letters.next() else {
        return String::new();
    };
    let stop = if words.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{}{}{stop}", first.to_uppercase(), letters.as_str())
}

/// A number with `digits` after the point; words for what is not finite.
fn number(value: f64, digits: usize) -> String {
    match value {
        v if v.is_nan() => "not a number".to_owned(),
        v if v.is_infinite() => if v > 0.0 { "infinite" } else { "−infinite" }.to_owned(),
        v => format!("{v:.digits$}"),
    }
}

/// As [`number`], with more digits for smaller numbers: 3 to 4 that count.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    number(value, digits)
}

/// Value, low and high as three cells.
fn estimate_cells(estimate: Estimate, digits: usize) -> [String; 3] {
    let end = |pick: fn(Interval) -> f64| {
        estimate
            .interval
            .map_or_else(|| "–".to_owned(), |i| number(pick(i), digits))
    };
    [
        number(estimate.value, digits),
        end(|i| i.low),
        end(|i| i.high),
    ]
}

/// `6.52 [6.40, 6.64]`.
fn with_interval(estimate: Estimate) -> String {
    match estimate.interval {
        Some(i) => format!(
            "{} [{}, {}]",
            short(estimate.value),
            short(i.low),
            short(i.high)
        ),
        None => short(estimate.value),
    }
}

/// The finite interval of an estimate, for drawing.
fn drawn(estimate: Estimate) -> Option<(f64, f64)> {
    let i = estimate.interval?;
    (i.low.is_finite() && i.high.is_finite()).then_some((i.low, i.high))
}

/// All finite values of the curves and of their intervals.
fn extent(series: &[Series]) -> impl Iterator<Item = f64> + '_ {
    series.iter().flat_map(|s| &s.points).flat_map(|p| {
        let (low, high) = p.interval.unwrap_or((p.y, p.y));
        [p.y, low, high]
    })
}

/// Curves that never came to be: a mark at every length, with the reason.
fn absent(context: Context<'_>, lengths: &[usize]) -> Vec<Series> {
    let one = |gone: &crate::summary::Absent| {
        let point = |&x: &usize| Point {
            x: x as f64,
            y: f64::NAN,
            interval: None,
            tip: format!("{}, {x} tokens: {}", gone.label, gone.reason),
        };
        Series {
            name: format!("{} ({})", gone.label, state_word(gone.state)),
            style: gone.index,
            points: lengths.iter().map(point).collect(),
            faint: Vec::new(),
        }
    };
    context.study.absent.iter().map(one).collect()
}

/// A state in one word.
pub(crate) fn state_word(state: crate::record::State) -> &'static str {
    use crate::record::State;
    match state {
        State::Waiting => "waiting",
        State::Running => "running",
        State::Interrupted => "interrupted",
        State::Done => "done",
        State::Diverged => "diverged",
        State::Failed => "failed",
    }
}

/// One row for each curve without a result: its name, and why, in the last column.
fn absent_rows(context: Context<'_>, data: &mut Data) {
    for gone in &context.study.absent {
        let mut row = vec![gone.label.clone()];
        row.resize(data.columns.len() - 1, "–".to_owned());
        row.push(format!("{}: {}", state_word(gone.state), gone.reason));
        data.row(row);
    }
}

/// How far neighbouring curves are moved apart: a little, or widely where there is but one length.
fn dodge(curves: usize, lengths: usize) -> f64 {
    let (room, most) = if lengths < 2 {
        (240.0, 28.0)
    } else {
        (24.0, 4.0)
    };
    (room / curves.max(1) as f64).min(most)
}

/// Many rows are sorted by their first panel, the best first; few stand in the order of the plan.
fn many(plot: Dots, down: bool) -> Dots {
    match plot.crowded() {
        true => plot.sorted(0, down),
        false => plot,
    }
}

/// Sorted, without repeats.
fn distinct(values: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut all: Vec<usize> = values.into_iter().collect();
    all.sort_unstable();
    all.dedup();
    all
}
