use super::*;

fn parse(text: &str) -> Expr {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn reads_the_usual_formulas() {
    use crate::expr::{distance, lookup, number, param, raw};
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
    assert!(
        "(".repeat(5000)
            .parse::<Expr>()
            .unwrap_err()
            .why
            .contains("nested")
    );
}
