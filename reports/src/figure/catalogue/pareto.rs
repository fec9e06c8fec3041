//! What length costs: how far each scheme is served over all studies, against the processor time that it took.

use super::{Data, Figure, short};
use crate::figure::canvas::{Anchor, Canvas, Type};
use crate::figure::chart::{LABEL, SMALL, TICK, WIDE};
use crate::figure::palette::{Ink, Shape};
use crate::figure::scale::{self, Scale};
use crate::figure::text;
use crate::record::Stage;
use crate::summary::{Summary, usual_machine};

const HEIGHT: f64 = 330.0;
const LEFT: f64 = 52.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 48.0;
const RIGHT: f64 = 130.0;

/// A scheme that was trained from scratch.
struct Row {
    label: String,
    minutes: f64,
    /// Mean over the studies of the longest length that is served, in trained lengths; 0 where none is.
    reach: f64,
}

/// Of several studies whose cells tell their processor time.
pub(super) fn figure(summary: &Summary) -> Option<Figure> {
    let mut rows = rows(summary);
    if summary.studies.len() < 2 || rows.len() < 2 {
        return None;
    }
    rows.sort_by(|a, b| {
        a.minutes
            .total_cmp(&b.minutes)
            .then(b.reach.total_cmp(&a.reach))
    });
    let front = front(&rows);
    let mut data = Data::new(&[
        "scheme",
        "#processor minutes",
        "#mean length served",
        "on the front",
    ]);
    for (i, row) in rows.iter().enumerate() {
        let on = if front.contains(&i) { "yes" } else { "" };
        let numbers = [short(row.minutes), short(row.reach)];
        data.row(
            [row.label.clone()]
                .into_iter()
                .chain(numbers)
                .chain([on.to_string()])
                .collect(),
        );
    }
    Some(Figure {
        slug: "pareto".into(),
        title: "Length against cost".into(),
        caption: format!(
            "Schemes trained from scratch that have all {} studies on one kind of machine. Across: processor minutes of all studies \
             and seeds, training and reading, logarithmic. Up: the longest length shown to be served, in trained lengths, mean over the studies, 0 where \
             none is. Named, where there is room: those that no other beats in both.",
            summary.studies.len()
        ),
        drawing: draw(&rows, &front).finish(
            WIDE,
            HEIGHT,
            &format!(
                "Length served against cost of {} schemes; the numbers are in the table below.",
                rows.len()
            ),
        ),
        data,
    })
}

fn rows(summary: &Summary) -> Vec<Row> {
    let first = summary.studies.iter().take(1).flat_map(|s| &s.curves);
    let trained = first.filter(|c| c.scheme.stage == Stage::Trained);
    let all = summary.studies.iter().flat_map(|s| &s.curves);
    let costs = all.filter_map(|c| c.cost.as_ref()).flat_map(|c| &c.seeds);
    let usual = usual_machine(costs.map(|(_, cost)| cost));
    let of = |label: &String| {
        let (mut seconds, mut reach) = (0.0, 0.0);
        for study in &summary.studies {
            let curve = study.curves.iter().find(|c| c.label == *label)?;
            let costs = &curve.cost.as_ref()?.seeds;
            if costs.iter().any(|(_, c)| Some(c.machine.as_str()) != usual) {
                return None;
            }
            seconds += costs.iter().map(|(_, cost)| cost.cpu_seconds).sum::<f64>();
            let key = &study.compared().next()?.key;
            reach += curve.measured(key)?.effective.as_ref()?.multiple;
        }
        (seconds > 0.0).then(|| Row {
            label: label.clone(),
            minutes: seconds / 60.0,
            reach: reach / summary.studies.len() as f64,
        })
    };
    trained.filter_map(|c| of(&c.label)).collect()
}

/// Rows that reach farther than all that cost less, of rows by cost.
fn front(rows: &[Row]) -> Vec<usize> {
    let mut best = f64::NEG_INFINITY;
    let mut front = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        if row.reach > best {
            best = row.reach;
            front.push(i);
        }
    }
    front
}

fn draw(rows: &[Row], front: &[usize]) -> Canvas {
    let mut canvas = Canvas::default();
    let across = Scale::log(rows.iter().map(|r| r.minutes), 0.06);
    let up = Scale::linear(rows.iter().map(|r| r.reach).chain([0.0]), 0.06);
    let (right, bottom) = (WIDE - RIGHT, HEIGHT - BOTTOM);
    let at = |row: &Row| {
        (
            LEFT + across.at(row.minutes) * (right - LEFT),
            bottom - up.at(row.reach) * (bottom - TOP),
        )
    };
    let font = Type::new(TICK, Ink::Muted);
    for tick in up.ticks(6) {
        let y = bottom - up.at(tick) * (bottom - TOP);
        canvas.line((LEFT, y), (right, y), Ink::Grid, 0.8);
        canvas.text(
            (LEFT - 7.0, y + TICK * 0.36),
            &scale::label(tick),
            font,
            Anchor::End,
        );
    }
    canvas.line((LEFT, bottom), (right, bottom), Ink::Axis, 1.0);
    for tick in across.ticks(6) {
        let x = LEFT + across.at(tick) * (right - LEFT);
        canvas.line((x, bottom), (x, bottom + 4.0), Ink::Axis, 1.0);
        canvas.text(
            (x, bottom + 16.5),
            &scale::label(tick),
            font,
            Anchor::Middle,
        );
    }
    let title = Type::new(LABEL, Ink::Text);
    let middle = ((LEFT + right) / 2.0, bottom + 37.0);
    canvas.text(middle, "processor minutes", title, Anchor::Middle);
    canvas.sideways(
        (13.0, (TOP + bottom) / 2.0),
        "mean length served (× trained)",
        title,
    );
    canvas.path(
        front.iter().map(|&i| at(&rows[i])).collect(),
        Ink::Line(0),
        1.2,
    );
    for (i, row) in rows.iter().enumerate() {
        let (x, y) = at(row);
        let on = front.contains(&i);
        let ink = if on { Ink::Curve(0) } else { Ink::Crowd };
        canvas.shape(
            (x, y),
            Shape::Circle,
            false,
            ink,
            if on { 4.0 } else { 3.0 },
        );
        let tip = format!(
            "{}: {} min, {}×",
            row.label,
            short(row.minutes),
            short(row.reach)
        );
        canvas.tip((x - 5.0, y - 5.0), (10.0, 10.0), &tip);
    }
    let mut taken = Vec::new();
    // The farthest are named first.
    for &i in front.iter().rev() {
        let label = &rows[i].label;
        let Some((at, anchor)) = room(at(&rows[i]), text::width(label, SMALL, true), &mut taken)
        else {
            continue;
        };
        let font = Type::bold(SMALL, Ink::Curve(0));
        canvas.text(at, label, font, anchor);
    }
    canvas
}

/// Left, top, right and bottom.
type Extent = (f64, f64, f64, f64);

/// Where a label as wide as this stands beside its point without touching others: the front rises to the right, so it is
/// out of the way at the upper left and at the lower right.
fn room((x, y): (f64, f64), width: f64, taken: &mut Vec<Extent>) -> Option<((f64, f64), Anchor)> {
    let places = [
        (x - 7.0, y - 5.0, Anchor::End),
        (x + 7.0, y + 12.0, Anchor::Start),
        (x + 7.0, y - 5.0, Anchor::Start),
        (x - 7.0, y + 12.0, Anchor::End),
    ];
    let extent = |(x, y, anchor): (f64, f64, Anchor)| {
        let left = if anchor == Anchor::End { x - width } else { x };
        (left, y - SMALL, left + width, y + 2.0)
    };
    let free = |place: &(f64, f64, Anchor)| {
        let e = extent(*place);
        let apart = |o: &Extent| e.2 <= o.0 || o.2 <= e.0 || e.3 <= o.1 || o.3 <= e.1;
        e.0 >= LEFT && e.1 >= 0.0 && e.2 <= WIDE && taken.iter().all(apart)
    };
    let found = places.into_iter().find(free)?;
    taken.push(extent(found));
    // Nor may a label cover the next point.
    taken.push((x - 4.0, y - 4.0, x + 4.0, y + 4.0));
    Some(((found.0, found.1), found.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_none_beats_in_both() {
        let row = |minutes: f64, reach: f64| Row {
            label: String::new(),
            minutes,
            reach,
        };
        let rows = [
            row(1.0, 2.0),
            row(1.0, 1.0),
            row(2.0, 2.0),
            row(3.0, 5.0),
            row(4.0, 4.0),
        ];
        assert_eq!(front(&rows), [0, 3]);
    }

    #[test]
    fn labels_keep_clear_of_each_other() {
        let mut taken = Vec::new();
        let at = (LEFT + 200.0, 100.0);
        let anchors: Vec<_> = (0..5)
            .map(|_| room(at, 40.0, &mut taken).map(|r| r.1))
            .collect();
        let [first, second, third, fourth, fifth] = anchors[..] else {
            panic!("five");
        };
        assert_eq!((first, second), (Some(Anchor::End), Some(Anchor::Start)));
        assert_eq!((third, fourth), (Some(Anchor::Start), Some(Anchor::End)));
        assert_eq!(fifth, None);
        assert_eq!(
            room((LEFT + 10.0, 100.0), 40.0, &mut Vec::new()).map(|r| r.1),
            Some(Anchor::Start)
        );
    }
}
