use super::*;

fn parse(text: &str) -> Expr {
    text.parse().unwrap()
}

#[test]
fn shift_invariance_is_seen() {
    for (text, expected) in [
        ("raw - slope[h] * max(q - k, 0)", true),
        ("raw + bias[h, bucket[q - k]]", true),
        ("raw + cos((2 * q - 1) / 3 - k / 1.5)", true),
        ("(q + n) - (k - 1)", true),
        ("-k + q", true),
        ("raw * ln(n)", true),
        ("raw * ln(q)", false),
        ("raw - ln(q - k) / ln(max(q, 64))", false),
        ("floor(q / 2) - floor(k / 2)", false),
        ("q - 2 * k", false),
        ("raw + g@k", false),
    ] {
        assert_eq!(parse(text).is_shift_invariant(), expected, "{text}");
    }
}

#[test]
fn additive_biases_are_split_off() {
    for (text, expected) in [
        ("raw", Some("0")),
        ("raw - slope[h] * (q - k)", Some("-(slope[h] * (q - k))")),
        ("1 + (raw + a[h]) - 2", Some("1 + a[h] - 2")),
        ("raw * 2", None),
        ("select(q < k, raw, -inf)", None),
        ("raw + raw", None),
        ("raw1 + 1", None),
    ] {
        let found = parse(text).additive_bias().map(|bias| bias.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    }
}

#[test]
fn windows_hide_tiles() {
    let window = parse("select(q - k < 8, raw, -inf)");
    let none = ParamValues::new();
    let tile = |queries, keys| Tile {
        queries,
        keys,
        causal: true,
    };
    assert!(window.bounds(&tile(16..20, 0..8), 20, &none).is_hidden());
    assert!(!window.bounds(&tile(16..20, 0..10), 20, &none).is_hidden());
    assert_eq!(
        window.bounds(&tile(16..20, 14..20), 20, &none),
        Interval::FINITE
    );
    assert!(
        parse("max(q - k, 5)")
            .bounds(&tile(0..4, 0..4), 4, &none)
            .is_constant()
    );
}

#[test]
fn toeplitz_is_the_bias_along_a_diagonal() {
    let params = ParamValues::from([("slope".into(), vec![1.0, 0.5])]);
    let bias = parse("-slope[h] * max(q - k, 0)");
    assert_eq!(
        bias.toeplitz(-2..3, 8.0, (1, 2), &params).unwrap(),
        [0.0, 0.0, 0.0, -0.5, -1.0]
    );
}
