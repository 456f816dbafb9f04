//! What `xcloud dev` prints: log lines on stdout, interleaved and coloured by function; news of its own on stderr.
//! With `-o json` everything is NDJSON on stdout.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};
use xcloud_deploy::LogLine;
use xcloud_deploy::metrics::Invocation;

use crate::printer::{self, Printer};

/// One for each function, in the order in which they first say something.
const COLORS: [&str; 6] = ["36", "35", "33", "34", "32", "96"];

/// What functions do.
pub(super) enum News {
    /// A line that one has written.
    Line(LogLine),
    /// A call that has ended.
    Call(Invocation),
}

impl News {
    /// When, RFC 3339.
    pub(super) fn time(&self) -> &str {
        match self {
            Self::Line(line) => &line.time,
            Self::Call(call) => &call.time,
        }
    }
}

/// Knows how to print.
pub(super) struct Show {
    printer: Printer,
    json: bool,
    color: bool,
    verbose: bool,
    functions: Mutex<Vec<String>>,
}

impl Show {
    pub(super) fn new(printer: Printer, json: bool, verbose: bool) -> Self {
        let color = printer.colors(std::io::stdout().is_terminal());
        Self { printer, json, color, verbose, functions: Mutex::default() }
    }

    /// Something that `dev` did: `event` and `data` for scripts, `text` for people.
    pub(super) fn news(&self, event: &str, text: &str, data: Value) {
        if !self.json {
            return self.printer.note(text);
        }
        let mut object = Map::from_iter([("event".to_owned(), Value::from(event))]);
        object.extend(data.as_object().cloned().unwrap_or_default());
        printer::out(format!("{}\n", Value::Object(object)).as_bytes());
    }

    /// Names that will say something: the width of their column is known before they do.
    pub(super) fn expect<'a>(&self, functions: impl Iterator<Item = &'a str>) {
        for function in functions {
            self.column(function);
        }
    }

    /// Something that only people want to know.
    pub(super) fn hint(&self, text: &str) {
        if !self.json {
            self.printer.note(text);
        }
    }

    /// Whether what goes to stderr is coloured.
    pub(super) fn color(&self) -> bool {
        self.printer.colors(std::io::stderr().is_terminal())
    }

    /// Something that a function did.
    pub(super) fn happened(&self, news: &News) {
        let (event, data) = match news {
            News::Line(line) => ("log", json!(line)),
            News::Call(call) => ("call", json!(call)),
        };
        if self.json {
            return self.news(event, "", data);
        }
        let text = match news {
            News::Line(line) => self.line(line),
            News::Call(call) => self.call(call),
        };
        printer::out(format!("{text}\n").as_bytes());
    }

    /// A call that has ended.
    fn call(&self, call: &Invocation) -> String {
        let cold = if call.cold_start { ", the first of its instance" } else { "" };
        let text = format!("{} in {:.1} ms{cold}", call.outcome, call.duration_ms);
        let text = self.paint(if call.outcome == "ok" { "2" } else { "31" }, &text);
        format!("{} {text}", self.head(&call.time, &call.function, Some(&call.request_id)))
    }

    /// When, who, and in which call.
    fn head(&self, time: &str, function: &str, id: Option<&str>) -> String {
        let id = id.map(|id| if self.verbose { id } else { short(id) });
        let id = id.map(|id| format!(" {}", self.paint("2", id))).unwrap_or_default();
        let (color, width) = self.column(function);
        let name = self.paint(color, &format!("{function:width$}"));
        format!("{} {name}{id}", self.paint("2", time.get(11..23).unwrap_or(time)))
    }

    fn line(&self, line: &LogLine) -> String {
        let head = self.head(&line.time, &line.function, line.request_id.as_deref());
        let text = match serde_json::from_str::<Map<String, Value>>(&line.line) {
            Ok(fields) if fields.contains_key("form") => return format!("{head} {}", self.wire(&fields)),
            Ok(fields) => self.fields(fields, &line.function),
            Err(_) => line.line.clone(),
        };
        if line.stream == "stdout" {
            return format!("{head} {text}");
        }
        format!("{head} {} {text}", self.stream(&line.stream))
    }

    /// A line of `cx.log()` in any platform's dialect: level, message, the other fields.
    fn fields(&self, mut fields: Map<String, Value>, function: &str) -> String {
        let mut take = |names: &[&str]| names.iter().find_map(|name| fields.remove(*name)).map(plain);
        let level = take(&["level", "severity"]).unwrap_or_default();
        let message = take(&["message"]).unwrap_or_default();
        let (_, _, handler) =
            (take(&["timestamp", "time"]), take(&["request_id", "requestId"]), take(&["handler"]));
        let handler = handler.filter(|name| xcloud_core::env::cloud_name(name) != function);
        let color = match level.as_str() {
            "ERROR" => "31;1",
            "WARN" | "WARNING" => "33",
            _ => "32",
        };
        let mut text = format!("{} {message}", self.paint(color, &format!("{level:5}")));
        let handler = handler.map(|name| ("handler".to_owned(), Value::from(name)));
        for (name, value) in fields.into_iter().chain(handler) {
            text += &format!(" {}{}", self.paint("2", &format!("{name}=")), plain(value));
        }
        text
    }

    /// One form of a call, as the bridge of `--as` writes it: every line of it below the first one.
    fn wire(&self, fields: &Map<String, Value>) -> String {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let arrow = if text("way") == "in" { "->" } else { "<-" };
        let head = self.paint("1", &format!("{arrow} {}", text("form")));
        let lines = text("message").lines().map(|line| format!("\n    {line}"));
        head + &lines.collect::<String>()
    }

    fn stream(&self, stream: &str) -> String {
        self.paint(if stream == "platform" { "35" } else { "31" }, &format!("[{stream}]"))
    }

    /// A function's colour, and the width of the longest name so far.
    fn column(&self, function: &str) -> (&'static str, usize) {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        let known = functions.iter().position(|name| name == function);
        let at = known.unwrap_or_else(|| {
            functions.push(function.to_owned());
            functions.len() - 1
        });
        (COLORS[at % COLORS.len()], functions.iter().map(String::len).max().unwrap_or(0))
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// What tells calls of one session apart: the end of an id.
fn short(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// How long something took, for people and for scripts.
pub(super) fn seconds(time: std::time::Duration) -> (String, Value) {
    let seconds = time.as_secs_f64();
    (format!("{seconds:.2} s"), json!((seconds * 1000.0).round() / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use clap::Parser;

    fn show() -> Show {
        let args = Args::parse_from(["xcloud", "--color", "never", "status"]);
        Show::new(Printer::new(&args), false, false)
    }

    fn line(stream: &str, text: &str, id: Option<&str>) -> LogLine {
        LogLine {
            time: "2026-11-25T01:02:03.456Z".to_owned(),
            function: "http".to_owned(),
            stream: stream.to_owned(),
            line: text.to_owned(),
            request_id: id.map(str::to_owned),
        }
    }

    #[test]
    fn lines_of_every_dialect_look_alike() {
        let show = show();
        let ours = r#"{"timestamp":"t","level":"INFO","message":"hi","request_id":"6a-1b-0001","handler":"get","n":1}"#;
        let google = r#"{"time":"t","severity":"INFO","message":"hi","request_id":"6a-1b-0001","handler":"get","n":1}"#;
        let aws = r#"{"timestamp":"t","level":"INFO","message":"hi","requestId":"6a-1b-0001","handler":"get","n":1}"#;
        for text in [ours, google, aws] {
            let shown = show.line(&line("stdout", text, Some("6a-1b-0001")));
            assert_eq!(shown, "01:02:03.456 http 0001 INFO  hi n=1 handler=get");
        }
        let wire = r#"{"form":"aws","way":"out","message":"{\"statusCode\":200}"}"#;
        let shown = show.line(&line("stderr", wire, Some("6a-1b-0001")));
        assert_eq!(shown, "01:02:03.456 http 0001 <- aws\n    {\"statusCode\":200}");
        assert_eq!(show.line(&line("stderr", "plain", None)), "01:02:03.456 http [stderr] plain");
    }
}
