//! The resolved config as TOML, each value with where it came from. It can be run itself and means the same.

use super::problem::{Origins, join};
use super::types::{Run, TaskConfig};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;

/// Column of the comments, if the value leaves room.
const COMMENT: usize = 44;

/// `run` as TOML. Every line ends with a comment that names the origin of its value.
pub fn resolved_toml(run: &Run, origins: &Origins) -> String {
    let mut text = Text {
        out: String::new(),
        origins,
    };
    text.line("name", &json(&run.name), "name");
    text.line("seeds", &json(&run.seeds), "seeds");
    text.line("reference", &json(&run.reference), "reference");
    text.line("confidence", &json(&run.confidence), "confidence");
    text.line("margin", &json(&run.margin), "margin");
    text.line("device", &json(&run.device), "device");
    for (name, study) in &run.studies {
        let path = join("studies", name);
        let header = format!("studies.{}", key(name));
        text.header(&header);
        text.line("task", &json(&study.task), &join(&path, "task"));
        text.line("schemes", &json(&study.schemes), &join(&path, "schemes"));
        text.line("seeds", &json(&study.seeds), &join(&path, "seeds"));
        let mut tables = vec![("model", json(&study.model)), ("train", json(&study.train))];
        if study.task == TaskConfig::Text {
            tables.push(("data", json(&study.data)));
        }
        for (table, value) in tables {
            text.table(&format!("{header}.{table}"), &value, &join(&path, table));
        }
        let measured = json(&study.evaluate);
        for (measure, value) in measured.as_object().into_iter().flatten() {
            let table = format!("evaluate.{measure}");
            text.table(&format!("{header}.{table}"), value, &join(&path, &table));
        }
    }
    for scheme in &run.schemes {
        let path = join(&join("schemes", &scheme.name), &scheme.id);
        text.header(&format!(
            "schemes.{}.{}",
            key(&scheme.name),
            key(&scheme.id)
        ));
        text.line("extends", &json(&scheme.base), &join(&path, "extends"));
        text.line(
            "finetune",
            &json(&scheme.finetune),
            &join(&path, "finetune"),
        );
        text.lines(&scheme.settings, &path);
    }
    text.out
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("a config is plain data, so JSON can hold it")
}

struct Text<'a> {
    out: String,
    origins: &'a Origins,
}

impl Text<'_> {
    fn header(&mut self, header: &str) {
        let _ = writeln!(self.out, "\n[{header}]");
    }

    fn table(&mut self, header: &str, value: &Value, path: &str) {
        self.header(header);
        self.lines(value, path);
    }

    fn lines(&mut self, table: &Value, path: &str) {
        for (name, value) in table.as_object().into_iter().flatten() {
            self.line(name, value, &join(path, name));
        }
    }

    /// One setting. TOML has no null: what is not set is left out.
    fn line(&mut self, name: &str, value: &Value, path: &str) {
        if !value.is_null() {
            let setting = format!("{} = {}", key(name), toml(value));
            let _ = writeln!(self.out, "{setting:COMMENT$} # {}", self.origins.get(path));
        }
    }
}

/// A key, quoted where it has to be.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) {
        name.into()
    } else {
        string(name)
    }
}

fn string(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

fn toml(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".into(),
        Value::Bool(x) => x.to_string(),
        Value::String(x) => string(x),
        Value::Number(x) => match (x.as_i64(), x.as_f64()) {
            (Some(x), _) => x.to_string(),
            (None, Some(x)) => toml::Value::Float(x).to_string(),
            (None, None) => x.to_string(),
        },
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(toml).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(map) => {
            let entries: Vec<String> = map
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| format!("{} = {}", key(name), toml(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}
