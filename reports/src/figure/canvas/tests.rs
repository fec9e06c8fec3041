use super::super::palette::Theme;
use super::*;

fn small() -> Drawing {
    let mut canvas = Canvas::default();
    canvas.line((1.0, 1.0), (9.5, 9.0), Ink::Line(1), 1.5);
    canvas.marker((5.0, 5.0), 9, 3.0);
    canvas.text(
        (2.0, 8.0),
        "</text><script>\u{1b}&'\"",
        Type::new(9.0, Ink::Text),
        Anchor::Start,
    );
    canvas.sideways((2.0, 8.0), "#F10001", Type::bold(9.0, Ink::Text));
    canvas.tip((0.0, 0.0), (4.0, 4.0), "<img onerror=x>");
    canvas.finish(20.0, 10.0, "a \"label\" <b>")
}

#[test]
fn text_is_escaped_everywhere() {
    for svg in [
        small().file(Theme::Light),
        small().file(Theme::Dark),
        small().inline(),
    ] {
        assert!(
            !svg.contains("<script") && !svg.contains("<img") && !svg.contains("<b>"),
            "{svg}"
        );
        assert!(svg.contains("&lt;script&gt;\u{fffd}&amp;"), "{svg}");
    }
}

#[test]
fn themes_differ_only_in_colours_and_no_stand_in_is_left() {
    let (light, dark) = (small().file(Theme::Light), small().file(Theme::Dark));
    assert_ne!(light, dark);
    for svg in [&light, &dark, &small().inline()] {
        assert!(!svg.contains("\"#F1"), "{svg}");
    }
    assert!(
        light.contains("#F10001"),
        "a user's text may look like a stand-in"
    );
    assert!(small().inline().contains("var(--c1)"));
}

#[test]
fn the_same_marks_give_the_same_bytes() {
    assert_eq!(small().file(Theme::Light), small().file(Theme::Light));
}

#[test]
fn what_has_no_length_is_not_drawn() {
    let mut canvas = Canvas::default();
    canvas.line((3.0, 4.0), (3.01, 4.0), Ink::Grid, 1.0);
    assert!(
        !canvas
            .finish(20.0, 10.0, "empty")
            .file(Theme::Light)
            .contains("<path")
    );
}
