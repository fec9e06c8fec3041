//! What the numbers of a study support, in sentences.
//!
//! Every sentence rests on an interval of the summary, which stands beside it. Where a measure is served by a margin, the
//! first thing that is said is how much worse it may have become, against the run's margin; whether a change is significant
//! comes second. "Better" needs several seeds and an interval, simultaneous over all comparisons, that leaves 0 out. Labels
//! and names of measures come from the records; no scheme and no measure is known here.

mod against;
mod limits;
mod quotable;
mod search;
mod served;
mod words;

use crate::record::{Better, Scale, Served, Stage};
use crate::summary::{
    Curve, Difference, Estimate, MeasureInfo, Measured, MeasuredPoint, Sentence, SentenceKind,
    Service, StudySummary,
};
use limits::{caveats, refusals};
use words::{bracket, joined, number, percent, signed};

pub(crate) use served::unlearned;
pub(crate) use words::small;

/// The verdict of a study: `margin` in the unit of the means, nats of a loss.
#[must_use]
pub fn study(study: &StudySummary, margin: f64) -> Vec<Sentence> {
    let mut said = Vec::new();
    for (i, info) in study.compared().enumerate() {
        let about = About { study, info };
        match info.record.served {
            Served::Margin => said.extend(about.kept(margin)),
            Served::AtLeast(_) | Served::OfOwn(_) => said.extend(served::sentences(about)),
            Served::Never => {}
        }
        said.extend(about.fine_tuning());
        if i == 0 {
            said.extend(search::outcomes(study));
        }
        said.extend(about.against_reference());
    }
    said.extend(refusals(study));
    let of = |kind: SentenceKind| move |text: String| Sentence { text, kind };
    let design = limits::design(study).into_iter();
    design
        .map(of(SentenceKind::Design))
        .chain(
            quotable::sentences(study, margin)
                .into_iter()
                .map(of(SentenceKind::Quotable)),
        )
        .chain(said.into_iter().map(of(SentenceKind::Finding)))
        .chain(caveats(study).into_iter().map(of(SentenceKind::Caveat)))
        .collect()
}

/// What limits a comparison with one seed; empty with several.
fn once(seeds: usize) -> &'static str {
    match seeds {
        1 => "of these trainings (one seed), not of the schemes",
        _ => "",
    }
}

/// What sentences are about: one measure of a study.
#[derive(Clone, Copy)]
struct About<'a> {
    study: &'a StudySummary,
    info: &'a MeasureInfo,
}

/// A curve with its mean at the trained length and at the longest evaluated one.
struct Ends<'a> {
    label: &'a str,
    near: &'a MeasuredPoint,
    far: &'a MeasuredPoint,
    measured: &'a Measured,
}

/// `8× the trained length (1024 tokens)`; only the tokens where curves were trained at different lengths.
fn place(study: &StudySummary, length: usize) -> String {
    match study.trained_lengths.as_slice() {
        [trained] if *trained != length => {
            let multiple = length as f64 / *trained as f64;
            format!(
                "{}× the trained length ({length} tokens)",
                number(multiple).trim_end_matches(".00")
            )
        }
        [_] => format!("the trained length ({length} tokens)"),
        _ => format!("{length} tokens"),
    }
}

/// A value of a measure as it is shown, with its interval: shares in percent.
fn value(shown: Estimate, scale: Scale) -> String {
    match scale {
        Scale::Share => percent(shown),
        Scale::Exp | Scale::Plain => {
            format!("{}{}", number(shown.value), bracket(shown.interval, number))
        }
    }
}

impl<'a> About<'a> {
    fn measured(self) -> impl Iterator<Item = (&'a Curve, &'a Measured)> {
        let of = move |c: &'a Curve| Some((c, c.measured(&self.info.key)?));
        self.study.curves.iter().filter_map(of)
    }

    /// The longest length that any curve was read at.
    fn longest(self) -> Option<usize> {
        self.measured()
            .flat_map(|(_, m)| &m.points)
            .map(|p| p.length)
            .max()
    }

    /// `loss`; of several measures that would be called so, with the heading.
    fn noun(self) -> String {
        let noun = self.info.noun();
        match self.study.compared().filter(|m| m.noun() == noun).count() {
            1 => noun.to_string(),
            _ => format!("{noun} ({})", self.info.record.title),
        }
    }

    /// How the mean at the longest length compares with the one at the trained length.
    fn kept(self, margin: f64) -> Vec<String> {
        let Some(far) = self.longest() else {
            return Vec::new();
        };
        let (noun, unit, at) = (self.noun(), self.info.unit(), place(self.study, far));
        let of = |(curve, measured): (&'a Curve, &'a Measured)| {
            let far = measured.at(far).filter(|p| p.change.is_some())?;
            Some(Ends {
                label: &curve.label,
                near: measured.at(curve.trained_length)?,
                far,
                measured,
            })
        };
        let all: Vec<Ends<'_>> = self.measured().filter_map(of).collect();
        let improves = |e: &Ends<'_>| {
            let interval = e.far.change.and_then(|c| c.mean.interval);
            interval.is_some_and(|i| match self.info.record.better {
                Better::Lower => i.high < 0.0,
                Better::Higher => i.low > 0.0,
            })
        };
        let listed = |wanted: &dyn Fn(&Ends<'_>) -> bool, words: &dyn Fn(&Ends<'_>) -> String| {
            let items: Vec<String> = all.iter().filter(|e| wanted(e)).map(words).collect();
            (!items.is_empty()).then(|| joined(&items))
        };
        let (beside, turn, turns, turned) = match self.info.record.better {
            Better::Lower => ("below", "rise", "rises", "risen"),
            Better::Higher => ("above", "fall", "falls", "fallen"),
        };
        let mut said = Vec::new();
        let better = listed(&improves, &|e| self.change(e));
        said.extend(better.map(|who| {
            format!("At {at} the {noun} is {beside} the {noun} at the trained length for {who}.")
        }));
        let kept = listed(
            &|e| e.far.service == Some(Service::Served) && !improves(e),
            &|e| self.change(e),
        );
        said.extend(kept.map(|who| {
            format!(
                "At {at} a {turn} of the {noun} by {margin}{unit} or more is excluded for {who}."
            )
        }));
        let open = listed(&|e| e.far.service == Some(Service::NotShown), &|e| {
            format!("{}{}", self.change(e), self.reached(e, margin))
        });
        said.extend(open.map(|who| {
            format!("At {at} it is not shown whether the {noun} {turns} by {margin}{unit} or more for {who}.")
        }));
        let worse = |e: &&Ends<'_>| e.far.service == Some(Service::NotServed);
        let scale = self.info.record.scale;
        let bare = |p: &MeasuredPoint| {
            value(
                Estimate {
                    interval: None,
                    ..p.shown
                },
                scale,
            )
        };
        let words = |e: &Ends<'_>| {
            let change = e
                .far
                .change
                .map(|c| self.factor(c.mean))
                .unwrap_or_default();
            let (near, far) = (bare(e.near), bare(e.far));
            format!(
                "{} from {near} to {far}{change}{}",
                e.label,
                self.reached(e, margin)
            )
        };
        let worse: Vec<String> = all.iter().filter(worse).map(words).collect();
        if !worse.is_empty() {
            let quantity = &self.info.record.quantity;
            said.push(format!(
                "At {at} {quantity} has {turned} for {}.",
                worse.join("; ")
            ));
        }
        for (curve, measured) in self.measured() {
            let found = measured.effective.as_ref();
            if let Some(found) = found.filter(|e| !e.gaps.is_empty()) {
                said.push(format!(
                    "The {noun} of {} is served at {} tokens, though {}.",
                    curve.label,
                    found.length,
                    found.holes()
                ));
            }
        }
        said
    }

    /// `alibi (change +0.021 [+0.012, +0.030] nats, a significant rise)`.
    fn change(self, e: &Ends<'_>) -> String {
        let Some(change) = e.far.change else {
            return e.label.to_string();
        };
        let significant = match (change.worse, self.info.record.better) {
            (Some(true), Better::Lower) => ", a significant rise",
            (Some(true), Better::Higher) => ", a significant fall",
            _ => "",
        };
        format!(
            "{} (change {}{}{}{significant})",
            e.label,
            signed(change.mean.value),
            bracket(change.mean.interval, signed),
            self.info.unit()
        )
    }

    /// How far a curve is served that is not served at the longest length.
    fn reached(self, e: &Ends<'_>, margin: f64) -> String {
        match &e.measured.effective {
            Some(x) if x.multiple > 1.0 => {
                let to = if x.gaps.is_empty() { "up to" } else { "at" };
                format!(
                    ", by less than {margin}{} {to} {} tokens",
                    self.info.unit(),
                    x.length
                )
            }
            _ => String::new(),
        }
    }

    /// What fine-tuning did for a scheme that was also read without it; said only where the difference is significant.
    fn fine_tuning(self) -> Vec<String> {
        let Some(far) = self.longest() else {
            return Vec::new();
        };
        let shown = |tuned: &Curve, stage: Stage| {
            let same = |c: &&Curve| c.scheme.name == tuned.scheme.name && c.scheme.stage == stage;
            let point = self
                .study
                .curves
                .iter()
                .find(same)?
                .measured(&self.info.key)?
                .at(far)?;
            let bare = Estimate {
                interval: None,
                ..point.shown
            };
            Some(value(bare, self.info.record.scale))
        };
        let told = |d: &&Difference| d.outcome.significant();
        let mine = |d: &&Difference| d.key == self.info.key && d.length == far;
        let words = |d: &Difference| {
            let tuned = self.study.curves.iter().find(|c| c.label == d.label)?;
            let (before, after) = (
                shown(tuned, Stage::ZeroShot)?,
                shown(tuned, Stage::FineTuned)?,
            );
            let change = self.factor(d.difference);
            let seeds = if d.seeds == 1 { ", one seed" } else { "" };
            Some(format!(
                "{} from {before} to {after}{change}{seeds}",
                tuned.scheme.name
            ))
        };
        let all = self.study.fine_tuning.iter().filter(mine).filter(told);
        let changed: Vec<String> = all.filter_map(words).collect();
        if changed.is_empty() {
            return Vec::new();
        }
        let what = match self.info.record.scale {
            Scale::Exp => &self.info.record.quantity,
            Scale::Share | Scale::Plain => &self.info.record.title,
        };
        let at = place(self.study, far);
        vec![format!(
            "Fine-tuning changes the {what} at {at}: {}.",
            changed.join("; ")
        )]
    }

    /// A change of means: of losses as ` (×3.49 [3.41, 3.57])`, else as it is. Small factors get a digit more, so that
    /// they do not read as none.
    fn factor(self, change: Estimate) -> String {
        let shown = match self.info.record.scale {
            Scale::Exp => change.map(f64::exp),
            Scale::Share | Scale::Plain => change,
        };
        let small = (shown.value - 1.0).abs() < 0.0995;
        let text = |x: f64| match self.info.record.scale {
            Scale::Exp if small => format!("×{x:.3}"),
            Scale::Exp => format!("×{}", number(x)),
            Scale::Share | Scale::Plain => signed(x),
        };
        let bare = |x: f64| text(x).trim_start_matches('×').to_string();
        match shown.interval {
            Some(_) => format!(" ({}{})", text(shown.value), bracket(shown.interval, bare)),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
