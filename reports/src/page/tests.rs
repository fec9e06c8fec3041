//! The page from synthetic runs: what is on it, what can never be on it, and that every kind of run has one.

use super::*;
use crate::figure::{Rasteriser, Theme, hides};
use crate::fixture::{self, Options};
use crate::store::LoadedRun;
use crate::summary::{Options as SummaryOptions, summarise_with};

/// With few resamples: these tests look at the page, not at the statistics.
fn summary(run: &LoadedRun) -> Summary {
    summarise_with(
        run,
        &SummaryOptions {
            resamples: 200,
            ..SummaryOptions::default()
        },
    )
}

fn sample(change: impl FnOnce(&mut Options)) -> Summary {
    let mut options = Options {
        units: 12,
        trials: 6,
        ..Options::default()
    };
    change(&mut options);
    summary(&fixture::run(&options))
}

fn page(summary: Summary) -> String {
    render(&[summary]).expect("a synthetic run renders")
}

/// What lies between the first `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let from = text.find(start).expect("the start is there") + start.len();
    &text[from..from + text[from..].find(end).expect("the end is there")]
}

/// All tags of a page: text, style sheet and script are left out.
fn tags(page: &str) -> Vec<&str> {
    let style = between(page, "<style>", "</style>");
    let script = between(page, "<script>", "</script>");
    let mut all = Vec::new();
    for part in page.split(style).flat_map(|p| p.split(script)) {
        all.extend(part.split('<').skip(1).filter_map(|t| t.split('>').next()));
    }
    all
}

fn values<'a>(tags: &[&'a str], attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    tags.iter()
        .filter_map(|t| t.split(&start).nth(1)?.split('"').next())
        .collect()
}

const HOSTILE: &str = "</script></textarea><img src=x onerror=alert(1)>\"'%_&#=cmd";

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
    for tag in ["<script", "</script", "<style", "</style"] {
        assert_eq!(page.matches(tag).count(), 1, "{tag}");
    }
    for tag in ["textarea", "figure", "table", "svg", "section"] {
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
    assert!(
        links.len() > 3 && links.iter().all(|l| l.starts_with('#') || *l == "data:,"),
        "{links:?}"
    );
    assert!(
        tags.iter()
            .all(|t| !t.contains("http:") && !t.contains("https:"))
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

#[test]
fn the_same_run_gives_the_same_bytes() {
    let (first, second) = (sample(|_| ()), sample(|_| ()));
    for (a, b) in named_figures(&first)
        .iter()
        .flatten()
        .zip(named_figures(&second).iter().flatten())
    {
        for theme in [Theme::Light, Theme::Dark] {
            assert_eq!(
                a.figure.drawing.file(theme),
                b.figure.drawing.file(theme),
                "{}",
                a.slug
            );
        }
    }
    assert_eq!(page(first), page(second));
}

#[test]
fn every_figure_has_its_table_and_its_words() {
    for summary in [sample(|_| ()), sample(|o| o.seeds = vec![0, 1, 2])] {
        let all = named_figures(&summary);
        let slugs: Vec<&str> = all.iter().flatten().map(|n| n.slug.as_str()).collect();
        for wanted in [
            "language-perplexity",
            "language-loss-by-position",
            "language-effective-length",
            "language-difference-perplexity",
            "language-training",
            "language-cost",
            "retrieval-passkey",
            "retrieval-passkey-map",
            "retrieval-passkey-distance",
            "retrieval-effective-length",
        ] {
            assert!(
                slugs.contains(&wanted),
                "{wanted} is missing from {slugs:?}"
            );
        }
        for named in all.iter().flatten() {
            let (figure, data) = (&named.figure, &named.figure.data);
            assert!(!data.rows.is_empty(), "{}", named.slug);
            assert!(
                data.rows.iter().all(|r| r.len() == data.columns.len()),
                "{}",
                named.slug
            );
            assert!(
                figure.caption.ends_with('.') && !figure.title.is_empty(),
                "{}",
                named.slug
            );
        }
        let page = page(summary);
        let figures = page.matches("<figure").count();
        assert_eq!(figures, slugs.len());
        assert_eq!(page.matches("Table of the numbers").count(), figures);
        assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), figures);
        assert_eq!(page.matches("Copy as LaTeX").count(), figures);
    }
}

#[test]
fn identities_are_unique_even_for_two_runs() {
    let page =
        render(&[sample(|_| ()), sample(|o| o.seeds = vec![1, 2])]).expect("two runs render");
    let tags = tags(&page);
    let mut identities = values(&tags, "id");
    let all = identities.len();
    identities.sort_unstable();
    identities.dedup();
    assert_eq!(identities.len(), all);
    for link in values(&tags, "href")
        .iter()
        .filter_map(|l| l.strip_prefix('#'))
    {
        assert!(
            identities.contains(&link),
            "a link leads to #{link}, which is not there"
        );
    }
    for button in values(&tags, "data-copy") {
        assert!(identities.contains(&button), "{button}");
    }
}

#[test]
fn every_kind_of_run_has_a_page() {
    type Change = fn(&mut Options);
    let kinds: [(&str, Change); 7] = [
        ("one seed", |_| ()),
        ("three seeds", |o| o.seeds = vec![0, 1, 2]),
        ("no mishaps", |o| o.mishaps = false),
        ("only perplexity", |o| o.retrieval = false),
        ("only passkey", |o| o.language = false),
        ("one scheme", |o| o.only = Some("rope")),
        ("one length", |o| o.multiples = vec![1]),
    ];
    let maker = Rasteriser::default();
    for (kind, change) in kinds {
        let summary = sample(change);
        let page = page(summary.clone());
        assert!(page.contains("What the numbers support"), "{kind}");
        assert!(!page.contains("NaN") && !page.contains(">inf<"), "{kind}");
        for named in named_figures(&summary).iter().flatten() {
            let drawing = &named.figure.drawing;
            let png = maker
                .png(&drawing.file(Theme::Light))
                .expect("a figure renders");
            let image = resvg::tiny_skia::Pixmap::decode_png(&png).expect("our PNG decodes");
            assert_eq!(image.width(), drawing.width() * 2, "{kind}: {}", named.slug);
            assert_eq!(
                image.height(),
                drawing.height() * 2,
                "{kind}: {}",
                named.slug
            );
            let inked = image.pixels().iter().filter(|p| p.red() < 250).count();
            assert!(
                inked > 2000,
                "{kind}: {} has {inked} inked pixels",
                named.slug
            );
        }
    }
}

#[test]
fn mishaps_are_named_at_the_top_and_marked_in_the_figures() {
    let page = page(sample(|_| ()));
    assert!(between(&page, "class=\"problems\"", "</div>").contains("diverged"));
    let figure = between(&page, "id=\"run1-language-perplexity\"", "</figure>");
    assert!(figure.contains("(diverged)") && figure.contains(">undefined</text>"));
    assert!(
        figure.contains("its table has 128 positions"),
        "the refusal is in the tooltip and the table"
    );
}

#[test]
fn a_run_without_results_has_a_page() {
    let mut run = fixture::run(&Options {
        units: 4,
        trials: 4,
        ..Options::default()
    });
    for cell in &mut run.cells {
        (cell.result, cell.cost, cell.status) = (None, None, None);
    }
    let page = page(summary(&run));
    assert!(page.contains("nothing to draw yet") && !page.contains("<figure"));
    assert!(matches!(render(&[]), Err(PageError::Empty)));
}

#[test]
fn a_report_is_written_whole_and_again_the_same() {
    let place = tempfile::tempdir().expect("a folder for the test");
    let run = place.path().join("run");
    fixture::write(
        &run,
        &Options {
            units: 8,
            trials: 4,
            ..Options::default()
        },
    )
    .expect("a run folder");
    let out = place.path().join("report");
    let written = write_report(&[&run], &out).expect("a report");
    assert_eq!(written.page, out.join("report.html"));
    let files = || {
        written
            .figures
            .iter()
            .chain(&written.tables)
            .chain([&written.page])
    };
    let read = || {
        files()
            .map(|f| std::fs::read(f).expect("a listed file exists"))
            .collect::<Vec<_>>()
    };
    let first = read();
    assert!(first.iter().all(|bytes| !bytes.is_empty()));
    assert_eq!(written.figures.len() % 4, 0, "SVG and PNG, light and dark");
    assert_eq!(written.figures.len() / 4, written.tables.len() / 3);
    write_report(&[&run], &out).expect("the same report");
    assert!(first == read(), "redrawing changed a file");
    let missing = place.path().join("missing");
    assert!(matches!(
        write_report(&[&missing], &out),
        Err(PageError::Store(_))
    ));
}

#[test]
fn file_names_come_from_names_safely() {
    assert_eq!(slug("Language", 40), "language");
    assert_eq!(slug("../../etc/passwd", 40), "etc-passwd");
    assert_eq!(slug("…", 40), "study");
    assert!(slug(&"long ".repeat(50), 40).len() <= 40);
}
