//! Chromium, driven through chromedriver; what a test does with a page.

use fantoccini::actions::{
    InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction, TouchActions,
};
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What the browser is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    /// 1280 × 900 pixels and a mouse.
    Desktop,
    /// 390 × 844 pixels and a finger.
    Phone,
}

/// A chromedriver; it ends with this value.
struct Driver {
    process: Child,
    port: u16,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let all = std::env::split_paths(&path).flat_map(|f| names.iter().map(move |n| f.join(n)));
    all.into_iter().find(|p| p.is_file())
}

/// Chromium and its driver, if the machine has both.
fn programs() -> Option<(PathBuf, PathBuf)> {
    let browser = program(&["chromium", "chromium-browser", "google-chrome"])?;
    Some((browser, program(&["chromedriver"])?))
}

fn start(driver: &Path) -> Driver {
    let mut process = Command::new(driver)
        .arg("--port=0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("chromedriver starts");
    let said = process.stdout.take().expect("its output is piped");
    let mut lines = BufReader::new(said).lines();
    // `ChromeDriver was started successfully on port 38765.`
    let port = lines.by_ref().find_map(|line| {
        let line = line.expect("its output is text");
        line.split("successfully on port ")
            .nth(1)?
            .trim_end_matches('.')
            .parse()
            .ok()
    });
    // The rest is read, so that it never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    let port = port.expect("chromedriver says its port");
    Driver { process, port }
}

/// Runs a test in a browser of its own; says so where the machine has none.
pub(crate) fn browse(screen: Screen, test: impl AsyncFnOnce(&Page)) {
    let Some((browser, driver)) = programs() else {
        eprintln!("skipped: this machine has no Chromium with chromedriver");
        return;
    };
    let driver = start(&driver);
    let mut options = json!({
        "binary": browser,
        "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"],
    });
    if screen == Screen::Phone {
        let metrics = json!({"width": 390, "height": 844, "pixelRatio": 2, "touch": true});
        options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
    }
    let capabilities = json!({ "browserName": "chrome", "goog:chromeOptions": options });
    let Value::Object(capabilities) = capabilities else {
        unreachable!("written as an object");
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the driver");
    runtime.block_on(async {
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .expect("a browser session");
        let page = Page { client };
        test(&page).await;
        page.client.close().await.expect("the session ends");
    });
}

/// The page that a browser shows.
pub(crate) struct Page {
    pub(crate) client: Client,
}

impl Page {
    pub(crate) async fn open(&self, file: &Path, choices: &str) {
        // From elsewhere, so that a change of choices alone loads the page again.
        self.client.goto("about:blank").await.expect("a blank page");
        let address = format!("file://{}{choices}", file.display());
        self.client.goto(&address).await.expect("the page loads");
    }

    /// What a script returns.
    pub(crate) async fn ask(&self, script: &str) -> Value {
        let answer = self.client.execute(script, Vec::new()).await;
        answer.unwrap_or_else(|e| panic!("{script}: {e}"))
    }

    pub(crate) async fn number(&self, script: &str) -> f64 {
        let answer = self.ask(script).await;
        answer
            .as_f64()
            .unwrap_or_else(|| panic!("{script}: {answer}"))
    }

    pub(crate) async fn words(&self, script: &str) -> String {
        let answer = self.ask(script).await;
        let words = answer.as_str().map(str::to_owned);
        words.unwrap_or_else(|| panic!("{script}: {answer}"))
    }

    pub(crate) async fn holds(&self, script: &str) -> bool {
        let answer = self.ask(&format!("return Boolean({script});")).await;
        answer == Value::Bool(true)
    }

    pub(crate) async fn find(&self, css: &str) -> Element {
        let found = self.client.find(Locator::Css(css)).await;
        found.unwrap_or_else(|e| panic!("{css}: {e}"))
    }

    pub(crate) async fn click(&self, css: &str) {
        let element = self.find(css).await;
        // The bar at the top covers what is scrolled there.
        self.client
            .execute(
                "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})",
                vec![serde_json::to_value(&element).expect("an element is JSON")],
            )
            .await
            .expect("it can be scrolled to");
        element
            .click()
            .await
            .unwrap_or_else(|e| panic!("{css}: {e}"));
    }

    /// Moves the mouse over the middle of an element.
    pub(crate) async fn hover(&self, css: &str) {
        let element = self.find(css).await;
        let over = PointerAction::MoveToElement {
            element,
            duration: None,
            x: 0.0,
            y: 0.0,
        };
        let actions = MouseActions::new("mouse".into()).then(over);
        self.client
            .perform_actions(actions)
            .await
            .expect("the mouse moves");
    }

    /// A finger touches the middle of an element and is lifted.
    pub(crate) async fn tap(&self, css: &str) {
        let element = self.find(css).await;
        let actions = TouchActions::new("finger".into())
            .then(PointerAction::MoveToElement {
                element,
                duration: None,
                x: 0.0,
                y: 0.0,
            })
            .then(PointerAction::Down {
                button: MOUSE_BUTTON_LEFT,
            })
            .then(PointerAction::Up {
                button: MOUSE_BUTTON_LEFT,
            });
        self.client
            .perform_actions(actions)
            .await
            .expect("the finger taps");
    }

    /// Presses a key where the focus is.
    pub(crate) async fn press(&self, key: Key) {
        let focused = self
            .client
            .active_element()
            .await
            .expect("something has the focus");
        let key = char::from(key).to_string();
        focused.send_keys(&key).await.expect("a key is pressed");
    }

    pub(crate) async fn address(&self) -> String {
        self.words("return location.hash").await
    }
}
