//! The page in a real browser: what is clicked, pointed at, pressed and printed. Needs Chromium and chromedriver; where a
//! machine has neither, each test says that it is skipped.

mod driver;

use driver::{Page, Screen, browse};
use fantoccini::key::Key;
use fantoccini::wd::PrintConfiguration;
use farspan_reports::fixture::{self, Options};
use farspan_reports::page::write_report;
use serde_json::json;
use std::path::{Path, PathBuf};

/// A synthetic report in a folder of its own.
fn report(place: &Path, change: impl FnOnce(&mut Options)) -> PathBuf {
    let mut options = Options {
        seeds: vec![0, 1],
        units: 12,
        trials: 4,
        mishaps: false,
        schemes: Some(5),
        ..Options::default()
    };
    change(&mut options);
    let run = place.join("run");
    fixture::write(&run, &options).expect("a synthetic run");
    write_report(&[&run], &place.join("report"))
        .expect("a report")
        .page
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

/// Opacity of what is drawn of a curve in a figure.
async fn opacity(page: &Page, figure: &str, curve: usize) -> f64 {
    // Past the transition.
    let script = format!(
        "const g = document.querySelector('#{figure} svg > g[data-c=\"{curve}\"]:not(.key)');\
         g.style.transition = 'none'; return Number(getComputedStyle(g).opacity)"
    );
    page.number(&script).await
}

const LOSS: &str = "run1-language-perplexity";
const FOUND: &str = "run1-retrieval-passkey";
const FOREST: &str = "run1-language-difference-perplexity";
const SHEET: &str = "run1-language-results-perplexity";

#[test]
fn browser_legends_pick_and_hide_in_all_figures() {
    let place = folder();
    let file = report(place.path(), |_| ());
    browse(Screen::Desktop, async |page| {
        page.open(&file, "").await;
        assert!(page.address().await.is_empty() || page.address().await == "#");
        assert_eq!(opacity(page, FOUND, 0).await, 1.0);
        page.click(&format!("#{LOSS} .tips .key[data-c='1'] rect"))
            .await;
        assert!(
            page.address().await.contains("only=rope"),
            "{}",
            page.address().await
        );
        for figure in [LOSS, FOUND] {
            assert!(opacity(page, figure, 0).await < 0.3, "{figure}");
            assert_eq!(opacity(page, figure, 1).await, 1.0, "{figure}");
        }
        // A second one is added, both are let go.
        page.click(&format!("#{FOUND} .tips .key[data-c='2'] rect"))
            .await;
        assert!(page.address().await.contains("only=rope,alibi"));
        assert_eq!(opacity(page, LOSS, 2).await, 1.0);
        page.click(&format!("#{LOSS} .tips .key[data-c='1'] rect"))
            .await;
        page.click(&format!("#{LOSS} .tips .key[data-c='2'] rect"))
            .await;
        assert_eq!(opacity(page, LOSS, 0).await, 1.0);
        // With keys.
        page.ask(&format!(
            "document.querySelector('#{LOSS} svg > .key[data-c=\"2\"]').focus()"
        ))
        .await;
        page.press(Key::Enter).await;
        assert!(
            page.address().await.contains("only=alibi"),
            "{}",
            page.address().await
        );
        page.ask("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))").await;
        assert!(!page.address().await.contains("only"));
        // Hidden: gone from figures and tables.
        page.click("#choose-open").await;
        page.click("#choose [aria-label='Hide rope']").await;
        let shown = |what: &str| {
            format!("getComputedStyle(document.querySelector('{what}')).display !== 'none'")
        };
        assert!(
            !page
                .holds(&shown(&format!("#{FOUND} svg > g[data-c=\"1\"]:not(.key)")))
                .await
        );
        assert!(
            !page
                .holds(&shown(&format!("#{SHEET} tr[data-c=\"1\"]")))
                .await
        );
        assert!(
            page.holds(&shown(&format!("#{SHEET} tr[data-c=\"0\"]")))
                .await
        );
        page.click("#choose-reset").await;
        assert!(
            page.holds(&shown(&format!("#{SHEET} tr[data-c=\"1\"]")))
                .await
        );
        // By family and study.
        page.click("#choose [data-filter='bias']").await;
        assert!(
            !page
                .holds(&shown(&format!("#{SHEET} tr[data-c=\"1\"]")))
                .await
        );
        assert!(
            page.holds(&shown(&format!("#{SHEET} tr[data-c=\"2\"]")))
                .await
        );
        page.click("#choose [data-filter='run1-study2']").await;
        assert!(
            page.holds("document.getElementById('run1-study1').hidden")
                .await
        );
        assert!(
            !page
                .holds("document.getElementById('run1-study2').hidden")
                .await
        );
    });
}

#[test]
fn browser_values_are_read_with_mouse_and_keys() {
    let place = folder();
    let file = report(place.path(), |_| ());
    browse(Screen::Desktop, async |page| {
        page.open(&file, "").await;
        page.click(&format!("#{LOSS} h3")).await;
        page.hover(&format!("#{LOSS} svg")).await;
        let readout =
            "const r = document.getElementById('readout'); return r.hidden ? '' : r.textContent";
        let seen = page.words(readout).await;
        assert!(
            seen.contains(" tokens") && seen.contains("rope") && seen.contains('['),
            "{seen}"
        );
        page.hover("h1").await;
        assert_eq!(page.words(readout).await, "");
        // From where the mouse was to the first place, then to the next.
        page.ask(&format!("document.querySelector('#{LOSS} svg').focus()"))
            .await;
        for _ in 0..4 {
            page.press(Key::Left).await;
        }
        let first = page.words(readout).await;
        page.press(Key::Right).await;
        let second = page.words(readout).await;
        assert!(
            first.starts_with("128 tokens") && second.starts_with("256 tokens"),
            "{first} {second}"
        );
        page.press(Key::Down).await;
        let current = "return document.querySelector('#readout .current').textContent";
        assert!(!page.words(current).await.is_empty());
        page.press(Key::Escape).await;
        assert_eq!(page.words(readout).await, "");
    });
}

#[test]
fn browser_another_reference_turns_the_differences_round() {
    let place = folder();
    let file = report(place.path(), |_| ());
    browse(Screen::Desktop, async |page| {
        page.open(&file, "").await;
        let title = format!("return document.querySelector('#{FOREST} h3').textContent");
        let cell = |c: usize| {
            format!(
                "return document.querySelector('#{SHEET} tr[data-c=\"{c}\"] .against').textContent"
            )
        };
        let dot = format!(
            "return document.querySelector('#{FOREST} svg > .dot[data-c=\"2\"]').innerHTML"
        );
        let (before, drawn) = (page.words(&cell(2)).await, page.words(&dot).await);
        assert!(page.words(&title).await.contains("compared with rope"));
        assert_eq!(page.words(&cell(1)).await, "reference");
        page.click("#choose-open").await;
        let select = page.find("#reference").await;
        select
            .select_by_value("alibi")
            .await
            .expect("alibi can be chosen");
        assert!(page.address().await.contains("ref=alibi"));
        assert!(page.words(&title).await.contains("compared with alibi"));
        assert_eq!(page.words(&cell(2)).await, "reference");
        // rope minus alibi is alibi minus rope with the other sign.
        let value = |text: &str| {
            let text = text.split(' ').next().unwrap_or_default();
            text.replace('−', "-")
                .replace('+', "")
                .parse::<f64>()
                .expect("a difference")
        };
        assert_eq!(value(&page.words(&cell(1)).await), -value(&before));
        assert_ne!(page.words(&dot).await, drawn);
        assert!(!page.words(&dot).await.contains("NaN"));
        select
            .select_by_value("")
            .await
            .expect("back to the declared one");
        assert_eq!(page.words(&cell(2)).await, before);
    });
}

#[test]
fn browser_tables_are_sorted_and_the_address_keeps_it() {
    let place = folder();
    let file = report(place.path(), |_| ());
    browse(Screen::Desktop, async |page| {
        page.open(&file, "").await;
        let column = format!(
            "return [...document.querySelectorAll('#{SHEET} tbody tr')].map((r) => Number(r.cells[1].dataset.value))"
        );
        let head = format!("#{SHEET} thead tr:last-child th:nth-child(2) button");
        page.click(&head).await;
        let up: Vec<f64> = serde_json::from_value(page.ask(&column).await).expect("numbers");
        assert!(up.len() == 5 && up.is_sorted(), "{up:?}");
        page.click(&head).await;
        let mut down: Vec<f64> = serde_json::from_value(page.ask(&column).await).expect("numbers");
        down.reverse();
        assert!(
            down.is_sorted() && page.address().await.contains("sort="),
            "{down:?}"
        );
        // Everything that was chosen comes back from the address.
        page.click(&format!("#{LOSS} .tips .key[data-c='1'] rect"))
            .await;
        page.click("#theme").await;
        let address = page.address().await;
        page.open(&file, &address).await;
        let again: Vec<f64> = serde_json::from_value(page.ask(&column).await).expect("numbers");
        assert!(again.iter().rev().is_sorted());
        assert!(opacity(page, LOSS, 0).await < 0.3);
        assert_eq!(page.address().await, address);
        // A link within the page keeps it, too.
        page.click(&format!("#{FOREST} .anchor")).await;
        let moved = page.address().await;
        assert!(
            moved.starts_with(&format!("#{FOREST};")) && moved.contains("only=rope"),
            "{moved}"
        );
        assert!(opacity(page, LOSS, 0).await < 0.3);
    });
}

#[test]
fn browser_themes_copying_and_no_requests() {
    let place = folder();
    let file = report(place.path(), |_| ());
    browse(Screen::Desktop, async |page| {
        page.open(&file, "#;theme=light").await;
        let ground = "return getComputedStyle(document.body).backgroundColor";
        let light = page.words(ground).await;
        page.click("#theme").await;
        assert_ne!(page.words(ground).await, light);
        page.open(&file, "#;theme=dark").await;
        assert_ne!(page.words(ground).await, light);
        page.click(".sheet [data-copy$='-latex']").await;
        let copied = "return document.querySelector('.sheet .copied').textContent \
                      + (document.querySelector('.sheet textarea.copy') || {value: ''}).value";
        page.client
            .wait()
            .for_element(fantoccini::Locator::Css(".sheet .copied:not(:empty)"))
            .await
            .expect("it says so");
        assert!(
            page.words(copied).await.contains("Cop"),
            "{}",
            page.words(copied).await
        );
        let fetched = page.number("return performance.getEntriesByType('resource').filter((r) => !r.name.startsWith('data:')).length").await;
        assert_eq!(fetched, 0.0);
        // What the policy does not allow does not run.
        let foreign = "const s = document.createElement('script'); s.textContent = 'window.foreign = 1';\
                       document.body.append(s); return window.foreign === undefined";
        assert_eq!(page.ask(foreign).await, json!(true));
    });
}

#[test]
fn browser_phone_shows_all_and_reads_by_touch() {
    let place = folder();
    for schemes in [5, 16] {
        let file = report(&place.path().join(schemes.to_string()), |o| {
            o.schemes = Some(schemes)
        });
        browse(Screen::Phone, async |page| {
            page.open(&file, "").await;
            let over = page
                .number("return document.documentElement.scrollWidth - window.innerWidth")
                .await;
            assert!(
                over <= 0.0,
                "{schemes} schemes: the page is {over} pixels too wide"
            );
            let smallest = page
                .number(
                    "return Math.min(...[...document.querySelectorAll('figure svg text')].map((t) => {\
                     const svg = t.ownerSVGElement;\
                     return Number(t.getAttribute('font-size')) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;\
                     }))",
                )
                .await;
            assert!(
                smallest >= 8.9,
                "{schemes} schemes: text of {smallest} pixels"
            );
            page.ask(&format!(
                "document.getElementById('{LOSS}').scrollIntoView({{behavior: 'instant'}})"
            ))
            .await;
            page.tap(&format!("#{LOSS} svg")).await;
            assert!(
                page.holds("!document.getElementById('readout').hidden")
                    .await
            );
            let inside = "(() => { const r = document.getElementById('readout').getBoundingClientRect();\
                          return r.left >= 0 && r.right <= window.innerWidth && r.bottom <= window.innerHeight; })()";
            assert!(page.holds(inside).await);
        });
    }
}

#[test]
fn browser_many_curves_are_named_when_picked() {
    let place = folder();
    let file = report(place.path(), |o| o.schemes = Some(16));
    browse(Screen::Desktop, async |page| {
        page.open(&file, "").await;
        let legend = format!("document.querySelectorAll('#{LOSS} svg > .key').length === 0");
        assert!(page.holds(&legend).await);
        let named = format!("return document.querySelectorAll('#{LOSS} svg .named > text').length");
        assert!((2.0..=3.0).contains(&page.number(&named).await));
        page.click("#choose-open").await;
        page.click("#choose [data-pick-curve='nope-3']").await;
        let picked =
            format!("return document.querySelector('#{LOSS} svg text.picked').textContent");
        assert_eq!(page.words(&picked).await, "nope-3");
        let map = "document.querySelectorAll('#run1-language-difference-map-perplexity svg > .cell').length >= 16 * 3";
        assert!(page.holds(map).await);
    });
}

#[test]
fn browser_print_fills_its_pages() {
    let place = folder();
    for schemes in [5, 16] {
        let file = report(&place.path().join(schemes.to_string()), |o| {
            o.schemes = Some(schemes)
        });
        browse(Screen::Desktop, async |page| {
            page.open(&file, "#;theme=dark").await;
            let pdf = page
                .client
                .print(PrintConfiguration::default())
                .await
                .expect("it prints");
            assert!(pdf.starts_with(b"%PDF"));
            let text = String::from_utf8_lossy(&pdf);
            let pages = text
                .matches("/Type /Page\n")
                .count()
                .max(text.matches("/Type /Page ").count());
            assert!(
                (3..=24).contains(&pages),
                "{schemes} schemes: {pages} pages"
            );
        });
    }
}
