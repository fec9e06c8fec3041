//! The page from synthetic runs: what is on it, what can never be on it, and that every kind of run has one.

mod many;
mod safety;

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
        let apart = page.matches("<p class=\"apart\">").count();
        assert_eq!(
            page.matches("Table of the numbers").count() + apart,
            figures
        );
        assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), figures);
        let sheets = page.matches("<table class=\"results\"").count();
        assert!(sheets >= 2, "a table for each study, found {sheets}");
        assert_eq!(page.matches("Copy as LaTeX").count(), sheets);
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
    let kinds: [(&str, Change); 8] = [
        ("one seed", |_| ()),
        ("three seeds", |o| o.seeds = vec![0, 1, 2]),
        ("no mishaps", |o| o.mishaps = false),
        ("only perplexity", |o| o.retrieval = false),
        ("only passkey", |o| o.language = false),
        ("one scheme", |o| o.only = Some("rope")),
        ("one length", |o| o.multiples = vec![1]),
        ("many schemes", |o| o.schemes = Some(84)),
    ];
    let maker = Rasteriser::default();
    for (kind, change) in kinds {
        let summary = sample(change);
        let page = page(summary.clone());
        assert!(page.contains("<table class=\"results\""), "{kind}");
        let shown = page.replace(between(&page, "<script>", "</script>"), "");
        assert!(!shown.contains("NaN") && !shown.contains(">inf<"), "{kind}");
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
    assert!(between(&page, "class=\"problems\"", "</details>").contains("diverged"));
    let figure = between(&page, "id=\"run1-language-perplexity\"", "</figure>");
    assert!(figure.contains("(diverged)") && figure.contains(">undefined</text>"));
    assert!(
        figure.contains("its table has 128 positions"),
        "the refusal is in the tooltip and the table"
    );
}

#[test]
fn many_schemes_have_no_long_legend_and_a_map() {
    let summary = sample(|o| o.schemes = Some(84));
    let all = named_figures(&summary);
    let find = |slug: &str| {
        all.iter()
            .flatten()
            .find(|n| n.slug == slug)
            .map(|n| &n.figure)
    };
    let curves = find("language-perplexity").expect("the curves are drawn");
    let svg = curves.drawing.file(Theme::Light);
    assert_eq!(svg.matches("class=\"key\"").count(), 0);
    assert!(curves.wide());
    for role in ["best", "worst"] {
        assert_eq!(
            svg.matches(&format!("({role})</text>")).count(),
            1,
            "{role}"
        );
    }
    let map = find("language-difference-map-perplexity").expect("the map is drawn");
    // A page of A4 between margins is 1.4 times as high as wide.
    for figure in [
        map,
        find("retrieval-passkey-map").expect("the other map is drawn"),
    ] {
        let (width, height) = (figure.drawing.width(), figure.drawing.height());
        assert!(
            figure.wide() && height * 10 < width * 14,
            "{width} x {height}"
        );
    }
    let forest = find("language-difference-perplexity").expect("the forest is drawn");
    assert!(forest.wide());
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
    let sheets = written
        .tables
        .iter()
        .filter(|t| t.to_string_lossy().contains("-results-"));
    assert_eq!(
        written.tables.len() / 3,
        written.figures.len() / 4 + sheets.count() / 3
    );
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

/// What a reader sees of a page: one line for each piece of text outside of figures, tables, style and script.
fn words(page: &str) -> String {
    let mut page = page.to_string();
    for tag in ["style", "script", "svg", "table", "textarea"] {
        while let Some(from) = page.find(&format!("<{tag}")) {
            let end = format!("</{tag}>");
            let len = page[from..].find(&end).expect("tags are closed") + end.len();
            page.replace_range(from..from + len, " ");
        }
    }
    let pieces = page.split('<').filter_map(|piece| piece.split_once('>'));
    let pieces = pieces.map(|(_, text)| text.split_whitespace().collect::<Vec<_>>().join(" "));
    pieces
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Word by word; new words are taken with `INSTA_UPDATE=always`.
#[test]
fn the_text_of_a_page() {
    let page = page(sample(|options| options.seeds = vec![0, 1, 2]));
    insta::assert_snapshot!(words(&page));
}
