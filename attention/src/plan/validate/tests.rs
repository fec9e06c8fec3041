use super::*;
use crate::expr::{param, raw};
use crate::plan::Pairing;
use crate::plan::{Positions, QkRotation};

const GEOMETRY: Geometry = Geometry {
    layers: 1,
    width: 8,
    heads: 4,
    kv_heads: 2,
    head_dim: 4,
    trained_length: 16,
};

fn spec(name: &str, shape: &[usize]) -> ParamSpec {
    ParamSpec {
        name: name.into(),
        shape: shape.to_vec(),
        init: Init::Constant(0.5),
        learned: true,
        per_layer: false,
        clamp: None,
    }
}

fn refused(plan: Plan, part: &str) {
    let message = plan.validate(&GEOMETRY).unwrap_err().to_string();
    assert!(message.contains(part), "{message}");
}

fn with_score(text: &str, params: &[ParamSpec]) -> Plan {
    Plan {
        score: text.parse().unwrap(),
        params: params.to_vec(),
        ..Plan::default()
    }
}

fn with_turn(edit: fn(&mut QkRotation)) -> Plan {
    let mut turn = QkRotation::rotary(vec![1.0, 0.1], 1.0, Pairing::HalfSplit);
    edit(&mut turn);
    Plan {
        rotations: vec![turn],
        ..Plan::default()
    }
}

#[test]
fn whole_plans_pass() {
    Plan::default().validate(&GEOMETRY).unwrap();
    with_turn(|_| ()).validate(&GEOMETRY).unwrap();
    let net = [
        spec("f.w1", &[3]),
        spec("f.b1", &[3]),
        spec("f.w2", &[4, 3]),
        spec("f.b2", &[4]),
    ];
    with_score("raw + net f(q - k)", &net)
        .validate(&GEOMETRY)
        .unwrap();
}

#[test]
fn broken_plans_are_refused_with_the_place() {
    refused(with_score("raw1", &[]), "raw score 1");
    refused(
        with_score("raw + a[h]", &[]),
        "\"a\", which is no parameter",
    );
    refused(
        with_score("raw + a[h]", &[spec("a", &[3])]),
        "[4], but its shape is [3]",
    );
    refused(with_score("raw + t[h, q]", &[spec("t", &[4])]), "[4, rows]");
    refused(with_score("raw + net f(q)", &[spec("f.w1", &[3])]), "f.b1");
    refused(
        with_score("raw + g@k", &[]),
        "\"g\", which is no token vector",
    );
    refused(with_score("raw", &[spec("a", &[4])]), "nothing reads it");
    refused(
        with_score("raw + a[h]", &[spec("a", &[4]), spec("a", &[4])]),
        "named twice",
    );
    refused(
        with_score("raw", &[spec("a b", &[4])]),
        "a name has at most 64 letters",
    );
    refused(
        with_turn(|turn| turn.query.inv_freq = vec![1.0; 3]),
        "3 pairs for queries, 2 for keys",
    );
    refused(
        with_turn(|turn| turn.key.position = Positions::All(Expr::Query)),
        "anything but k and n",
    );
    refused(
        with_turn(|turn| turn.query.position = Positions::PerHead(vec![Expr::Query])),
        "1 positions for 4 heads",
    );
    refused(with_turn(|turn| turn.query.amplitude = f64::NAN), "finite");
    let wide = Plan {
        rotations: vec![QkRotation::rotary(vec![1.0; 3], 1.0, Pairing::HalfSplit)],
        ..Plan::default()
    };
    refused(wide, "6 channels, head_dim is 4");
    refused(
        Plan {
            query_scale: Some(Expr::Key),
            ..Plan::default()
        },
        "query_scale: `k`",
    );
    refused(
        Plan {
            query_scale: Some(raw() * param("a")),
            ..Plan::default()
        },
        "query_scale",
    );
    let odd = Geometry {
        kv_heads: 3,
        ..GEOMETRY
    };
    assert!(
        Plan::default()
            .validate(&odd)
            .unwrap_err()
            .to_string()
            .contains("do not divide")
    );
    let table = Embed::Table {
        table: "wpe".into(),
        rows: 16,
        resize: None,
    };
    refused(
        Plan {
            embed: table,
            params: vec![spec("wpe", &[16, 9])],
            ..Plan::default()
        },
        "[16, 8]",
    );
}

/// A scheme in Rust may build what no text could: it is refused before anything walks through it.
#[test]
fn expressions_that_are_too_deep_are_refused_with_the_place() {
    let deep = |terms: usize| (1..terms).fold(Expr::Raw(0), |sum, _| sum + Expr::Raw(0));
    let plan = |terms| Plan {
        score: deep(terms),
        ..Plan::default()
    };
    plan(Expr::MAX_DEPTH).validate(&GEOMETRY).unwrap();
    let message = plan(2000).validate(&GEOMETRY).unwrap_err().to_string();
    assert!(message.contains("score: more than 256 deep"), "{message}");
}
