use super::super::palette::Theme;
use super::*;

fn chart(values: &[f64]) -> Chart {
    let points = values.iter().enumerate().map(|(i, &y)| Point {
        x: 128.0 * 2f64.powi(i as i32),
        y,
        interval: Some((y * 0.9, y * 1.1)),
        tip: String::new(),
    });
    Chart {
        label: "test".into(),
        x: Axis {
            title: "length (tokens)".into(),
            scale: Scale::log(
                values
                    .iter()
                    .enumerate()
                    .map(|(i, _)| 128.0 * 2f64.powi(i as i32)),
                0.05,
            ),
            ticks: vec![128.0, 256.0, 512.0],
            percent: false,
        },
        y: Axis {
            title: "perplexity".into(),
            scale: Scale::log(values.iter().copied(), 0.05),
            ticks: vec![],
            percent: false,
        },
        trained: Some(128.0),
        threshold: None,
        chance: Vec::new(),
        series: vec![Series {
            name: "rope".into(),
            points: points.collect(),
            ..Series::default()
        }],
        intervals: Intervals::Bars,
        dodge: 0.0,
        better: Better::Lower,
        reference: None,
        marker_every: 1,
        undefined: "undefined".into(),
    }
}

#[test]
fn undefined_values_get_a_marker_not_a_gap() {
    let defined = chart(&[6.0, 7.0, 8.0]).draw().file(Theme::Light);
    let broken = chart(&[6.0, f64::NAN, f64::INFINITY])
        .draw()
        .file(Theme::Light);
    let markers = |svg: &str| svg.matches("<circle").count();
    assert_eq!(markers(&defined), markers(&broken));
    assert!(broken.contains(">undefined</text>") && !defined.contains(">undefined</text>"));
    assert!(!broken.contains("NaN"));
}

#[test]
fn lengths_are_integers_and_the_trained_length_is_named() {
    let svg = chart(&[6.0, 7.0, 8.0]).draw().file(Theme::Light);
    for words in [">128<", ">256<", ">512<", "trained length 128"] {
        assert!(svg.contains(words), "{words}");
    }
}

#[test]
fn one_length_alone_draws() {
    let svg = chart(&[6.0]).draw().file(Theme::Light);
    assert!(svg.contains("<circle") && !svg.contains("NaN"));
}
