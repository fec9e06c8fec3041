//! Nothing foreign runs, and nothing is fetched.

use super::*;

#[test]
fn hostile_names_stay_text() {
    let mut run = fixture::run(&Options {
        units: 8,
        trials: 4,
        ..Options::default()
    });
    run.plan.name = HOSTILE.into();
    run.plan.command = HOSTILE.into();
    run.resolved = Some(format!("{HOSTILE}\u{202e}\u{2028}\n"));
    for (i, cell) in run.cells.iter_mut().enumerate() {
        let name = format!(
            "=cmd{HOSTILE}\u{1b}\u{202e}{}{}",
            cell.planned.scheme,
            i % 2
        );
        cell.planned.scheme.clone_from(&name);
        cell.planned.label = format!("{HOSTILE}{i}");
        if let Some(status) = &mut cell.status {
            status.reason = Some(HOSTILE.into());
        }
        if let Some(result) = &mut cell.result {
            result.scheme.name = name;
            for text in [
                &mut result.scheme.title,
                &mut result.scheme.idea,
                &mut result.scheme.formula,
            ] {
                *text = HOSTILE.into();
            }
            result.scheme.settings = serde_json::json!({ HOSTILE: HOSTILE });
            result.data.description = format!("{HOSTILE}\u{200b}\u{2067}\0");
        }
    }
    let summary = summary(&run);
    let page = page(summary.clone());
    for (tag, times) in [
        ("<script", 2),
        ("</script", 2),
        ("<style", 1),
        ("</style", 1),
    ] {
        assert_eq!(page.matches(tag).count(), times, "{tag}");
    }
    for tag in ["pre", "figure", "table", "svg", "section"] {
        let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
        assert_eq!(
            page.matches(&open).count(),
            page.matches(&close).count(),
            "{tag}"
        );
    }
    assert!(!page.contains("<img"));
    let hidden = |c: char| hides(c) && !matches!(c, '\n' | '\r' | '\t');
    assert!(
        !page.contains(hidden),
        "what turns the reading reached the page"
    );
    assert!(page.contains('\u{fffd}'), "and is not left out in silence");
    assert!(
        page.contains("&#60;img") || page.contains("&lt;img"),
        "the name is shown as text"
    );
    assert!(
        tags(&page).iter().all(|t| !t.contains("onerror")),
        "an attribute came from a name"
    );
    let maker = Rasteriser::default();
    for named in named_figures(&summary).iter().flatten() {
        let svg = named.figure.drawing.file(Theme::Light);
        assert!(
            !svg.contains("<img") && !svg.contains("<script"),
            "{}",
            named.slug
        );
        maker
            .png(&svg)
            .expect("a figure with hostile names is valid SVG");
        assert!(!svg.contains(hidden), "{}", named.slug);
        for text in [
            named.figure.data.markdown(),
            named.figure.data.latex("", ""),
        ] {
            assert!(!text.contains(hidden), "{}: {text:?}", named.slug);
        }
        assert!(
            named.figure.data.csv().lines().all(|l| !l.starts_with('=')),
            "{}",
            named.slug
        );
        let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(
            named.slug.chars().all(fit) && named.slug.len() <= 80,
            "{}",
            named.slug
        );
    }
}

#[test]
fn nothing_is_fetched() {
    let page = page(sample(|_| ()));
    let tags = tags(&page);
    assert!(values(&tags, "src").is_empty());
    let links = values(&tags, "href");
    // A paper is fetched by who clicks on it, not by the page.
    let paper = |l: &str| l.starts_with("https://arxiv.org/abs/");
    assert!(
        links.len() > 3
            && links
                .iter()
                .all(|l| l.starts_with('#') || *l == "data:," || paper(l)),
        "{links:?}"
    );
    let elsewhere = |t: &&&str| t.contains("http:") || t.contains("https:");
    assert!(
        tags.iter()
            .filter(elsewhere)
            .all(|t| t.starts_with("a href=\"https://arxiv.org/abs/"))
    );
    let style = between(&page, "<style>", "</style>");
    assert!(!style.contains("@import") && !style.contains("http"));
    assert_eq!(
        style.matches("url(").count(),
        style.matches("url(data:font/woff2;base64,").count()
    );
    let script = between(&page, "<script>", "</script>");
    for way in [
        "http",
        "fetch(",
        "XMLHttpRequest",
        "import(",
        "innerHTML",
        "eval(",
    ] {
        assert!(!script.contains(way), "{way}");
    }
}

#[test]
fn the_policy_allows_exactly_our_style_and_script() {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let page = page(sample(|_| ()));
    let policy = between(
        &page,
        "http-equiv=\"Content-Security-Policy\" content=\"",
        "\"",
    );
    assert!(
        policy.starts_with("default-src &#39;none&#39;;"),
        "{policy}"
    );
    for (name, start, end) in [
        ("style", "<style>", "</style>"),
        ("script", "<script>", "</script>"),
    ] {
        let digest = Sha256::digest(between(&page, start, end).as_bytes());
        let hash = base64::engine::general_purpose::STANDARD.encode(digest);
        // The template writes + and / as they are and = too; quotes become &#39;.
        assert!(
            policy.contains(&format!("{name}-src &#39;sha256-{hash}&#39;")),
            "{name}: {policy}"
        );
    }
    assert!(!policy.contains("unsafe"));
    assert!(
        tags(&page)
            .iter()
            .all(|t| !t.contains(" style=") && !t.contains(" onclick"))
    );
}
