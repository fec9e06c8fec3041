use super::*;

fn ratio(a: &str, b: &str) -> f64 {
    contrast(luminance(rgb(a)), luminance(rgb(b)))
}

#[test]
fn contrast_matches_the_standard_at_its_ends() {
    assert!((ratio("#000000", "#FFFFFF") - 21.0).abs() < 1e-9);
    assert!(
        (ratio("#777777", "#FFFFFF") - 4.48).abs() < 0.01,
        "the standard's well-known border case"
    );
}

#[test]
fn curves_stand_out_on_paper_and_on_tint() {
    for (light, dark) in CURVES {
        for (ground, curve) in [
            (ROLES[0].1, light),
            (ROLES[6].1, light),
            (ROLES[0].2, dark),
            (ROLES[6].2, dark),
        ] {
            assert!(
                ratio(ground, curve) >= 3.0,
                "{curve} on {ground}: {:.2}",
                ratio(ground, curve)
            );
        }
    }
}

#[test]
fn lengths_stand_out_and_grow_away_from_the_ground() {
    for grounds in [0, 6] {
        let (_, light, dark) = ROLES[grounds];
        for pair in LENGTHS.windows(2) {
            assert!(ratio(light, pair[0].0) >= 3.0, "{}", pair[0].0);
            assert!(ratio(dark, pair[0].1) >= 3.0, "{}", pair[0].1);
            assert!(ratio(light, pair[1].0) > ratio(light, pair[0].0));
            assert!(ratio(dark, pair[1].1) > ratio(dark, pair[0].1));
        }
    }
    let used = |n| (0..n).map(|i| Ink::length(i, n)).collect::<Vec<_>>();
    assert_eq!(used(2), [Ink::Length(0), Ink::Length(5)]);
    assert_eq!(used(6), (0..6).map(Ink::Length).collect::<Vec<_>>());
}

#[test]
fn cells_of_differences_are_readable() {
    for pair in DIVERGING {
        let text = legible(pair);
        assert!(ratio(pair.0, text.0) >= 4.2, "{}", pair.0);
        assert!(ratio(pair.1, text.1) >= 4.2, "{}", pair.1);
    }
}

#[test]
fn text_is_readable() {
    for role in [1, 2, 5] {
        assert!(ratio(ROLES[0].1, ROLES[role].1) >= 4.5, "{}", ROLES[role].0);
        assert!(ratio(ROLES[0].2, ROLES[role].2) >= 4.5, "{}", ROLES[role].0);
    }
    for step in 0..=100 {
        let (Ink::Fixed(r, g, b), Ink::Fixed(tr, tg, tb)) = sequential(f64::from(step) / 100.0)
        else {
            panic!("cells have fixed colours");
        };
        let found = contrast(luminance((r, g, b)), luminance((tr, tg, tb)));
        assert!(found >= 4.2, "cell text at {step} %: contrast {found:.2}");
    }
}

#[test]
fn sequential_scale_grows_in_lightness() {
    let light = |share| match sequential(share).0 {
        Ink::Fixed(r, g, b) => luminance((r, g, b)),
        other => panic!("cells have fixed colours, found {other:?}"),
    };
    for step in 0..20 {
        assert!(light(f64::from(step + 1) / 20.0) > light(f64::from(step) / 20.0));
    }
}

#[test]
fn forty_curves_differ_in_colour_marker_or_dash() {
    let look = |i: usize| {
        (
            CURVES[i % COLOURS],
            marker(i).0 as u8,
            marker(i).1,
            DASHES[i % DASHES.len()],
        )
    };
    for i in 0..40 {
        for j in 0..i {
            assert_ne!(look(i), look(j), "{i} and {j}");
        }
    }
    let first: Vec<_> = (0..COLOURS)
        .zip(DASHES)
        .map(|(i, dash)| (marker(i), dash))
        .collect();
    for (i, a) in first.iter().enumerate() {
        for b in &first[..i] {
            assert!(a.0 != b.0 && a.1 != b.1, "{a:?} and {b:?}");
        }
    }
}

#[test]
fn paint_leaves_text_alone() {
    let svg = "<rect fill=\"#F10000\"/><text>\"#F1 and &quot;#F10000&quot;</text><line stroke=\"#F10201\"/>";
    let painted = paint(svg, Some(Theme::Light));
    assert!(painted.contains("fill=\"#FFFFFF\""), "{painted}");
    assert!(painted.contains("&quot;#F10000&quot;"), "{painted}");
    assert!(
        painted.contains("stroke=\"#D55E00\" stroke-dasharray=\"7 2.5\""),
        "{painted}"
    );
    assert!(paint(svg, None).contains("fill=\"var(--f-paper)\""));
}
