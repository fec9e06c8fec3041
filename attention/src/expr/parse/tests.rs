use super::*;

fn parse(text: &str) -> Expr {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn reads_the_usual_formulas() {
    use crate::expr::{distance, lookup, number, param, raw, select_less};
    assert_eq!(
        parse("raw - slope[h] * (q - k)"),
        raw() - param("slope") * distance()
    );
    assert_eq!(
        parse("raw + bias[h, bucket[q - k]]"),
        raw() + lookup("bias", crate::expr::shared_lookup("bucket", distance()))
    );
    assert_eq!(
        parse("select(q-k < 4, raw, raw1)"),
        select_less(distance(), number(4.0), raw(), Expr::Raw(1))
    );
    assert_eq!(parse("-inf"), number(f64::NEG_INFINITY));
    assert_eq!(
        parse("1.5e-3 * gate@k"),
        number(1.5e-3) * Expr::Token("gate".into(), Side::Key)
    );
    let Expr::Net { name, .. } = parse("net fire.a(log1p(max(q - k, 0)))") else {
        panic!()
    };
    assert_eq!(&*name, "fire.a");
}

#[test]
fn errors_point_at_the_spot() {
    for (text, at, part) in [
        ("raw - slope", 6, "slope[h]"),
        ("raw + ", 6, "found the end"),
        ("max(q)", 5, "expected `,`, found `)`"),
        ("(q - k", 6, "expected `)`"),
        ("q k", 2, "operator or the end, found `k`"),
        ("1e", 0, "no number"),
        ("gate@x", 5, "after `@`"),
        ("raw300", 0, "unknown word"),
        ("ä", 0, "found `ä`"),
    ] {
        let error = text.parse::<Expr>().unwrap_err();
        let shown = error.to_string();
        assert!(error.why.contains(part), "{text}: {shown}");
        assert_eq!(error.at, at, "{text}: {shown}");
        let caret = shown.lines().last().unwrap();
        assert_eq!(caret, format!("  {}^", " ".repeat(at)));
    }
}

/// Text of any size is read or refused with one short message; what is read can be used in every way.
#[test]
fn text_that_would_exhaust_the_stack_is_refused() {
    let most = MAX_DEPTH;
    for (text, why) in [
        ("(".repeat(5000), "deep"),
        ("-".repeat(5000) + "raw", "deep"),
        (vec!["raw"; 25_000].join(" + "), "deep"),
        (vec!["raw"; 25_000].join(" * "), "deep"),
        (vec!["raw"; most + 1].join(" - "), "deep"),
        ("max(q, ".repeat(5000), "deep"),
        ("t[".repeat(5000), "deep"),
        (
            format!("({})", vec!["q"; 100].join("+"))
                .replace('q', &format!("({})", vec!["k"; 100].join("+"))),
            "parts",
        ),
        ("x".repeat(1 << 20), "at most 64"),
        ("x".repeat(1 << 20) + "[h]", "at most 64"),
        ("net ".to_string() + &"x".repeat(1 << 20), "at most 64"),
        ("1e".to_string() + &"9".repeat(1 << 20) + "e", "end"),
        ("raw + ".to_string() + &"ä".repeat(1 << 20), "found"),
        (
            " ".repeat(1 << 20) + "raw)" + &" ".repeat(1 << 20),
            "operator",
        ),
    ] {
        let error = text.parse::<Expr>().unwrap_err();
        let shown = error.to_string();
        assert!(error.why.contains(why), "{shown}");
        assert!(shown.chars().count() < 700, "{} characters", shown.len());
        assert!(shown.ends_with('^'), "{shown}");
    }
    let deepest = [
        vec!["raw"; most].join(" + "),
        "-".repeat(most - 1) + "raw",
        "abs(".repeat(most - 1) + "raw" + &")".repeat(most - 1),
    ];
    for text in deepest {
        let expr = parse(&text);
        assert_eq!(expr.excess(), None);
        assert_eq!(parse(&expr.to_string()), expr);
        // Every operand is printed once: the formula is about as long as the text.
        assert!(expr.latex().len() < 20 * text.len(), "{text}");
        assert!(expr.has_raw() && !expr.has_position());
        assert!(expr.simplified().excess().is_none());
    }
    // Sums in halves may have as many terms as parts allow.
    let halves = (0..10).fold("raw".to_string(), |half, _| format!("({half} + {half})"));
    assert_eq!(parse(&halves).excess(), None);
}
