//! Inputs, and the golden events that they begin as.

use std::path::{Path, PathBuf};

use serde_json::Value;
use xcloud_core::text::base64_decode;

/// What a decoder is given.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Which of a family's decoders or functions; taken modulo their number.
    pub kind: usize,
    /// The request's headers, for those that read them.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The bytes.
    pub body: Vec<u8>,
}

impl Input {
    pub fn of(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// The input as one can paste it: escaped text.
    pub fn show(&self) -> String {
        let headers = self.headers.iter();
        let headers: String =
            headers.map(|(k, v)| format!("  {}: {}\n", k.escape_ascii(), v.escape_ascii())).collect();
        format!("kind {}\n{headers}  {}", self.kind, self.body.escape_ascii())
    }
}

/// The room's golden events: the folder of each and its `event.*`.
pub fn events(room: &str) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../providers").join(room).join("fixtures/wire");
    let mut events = Vec::new();
    for case in
        folders(&root)?.iter().map(|trigger| folders(trigger)).collect::<Result<Vec<_>, _>>()?.concat()
    {
        for file in folders(&case)? {
            if file.file_stem().is_some_and(|stem| stem == "event") {
                events.push((
                    case.clone(),
                    std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?,
                ));
            }
        }
    }
    if events.is_empty() {
        return Err(format!("{} has no golden events", root.display()));
    }
    Ok(events)
}

/// A request as `{headers, body | body_base64}`.
pub fn request(json: &[u8]) -> Result<Input, String> {
    let event: Value = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let headers = event["headers"].as_object().ok_or("no headers")?.iter();
    let headers =
        headers.map(|(name, value)| (name.clone().into_bytes(), value.as_str().unwrap_or("").into()));
    let body = match (&event["body"], &event["body_base64"]) {
        (Value::Null, Value::String(text)) => {
            base64_decode(text.as_bytes()).ok_or("body_base64 is not base64")?
        }
        (Value::Null, _) => Vec::new(),
        (json, _) => json.to_string().into_bytes(),
    };
    Ok(Input { headers: headers.collect(), body, kind: 0 })
}

/// In the order of their names: the same on every machine.
fn folders(path: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}
