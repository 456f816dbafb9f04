//! Results on stdout, everything else on stderr.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use xcloud_core::Error;
use xcloud_deploy::{Action, Change, Plan, Progress, State};

use crate::args::{Args, Color, Output};
use crate::exit;

/// For those who are told things and are handed no printer.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Says something that whoever typed the command should know, whatever it was.
#[cfg(feature = "local")]
pub(crate) fn notice(text: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        err(&format!("note: {text}\n"));
    }
}

/// What a verb came to.
pub(crate) struct Done {
    /// One sentence, for JSON.
    pub message: String,
    /// For JSON.
    pub data: Value,
    /// For people, as it is printed.
    pub text: Vec<u8>,
    /// The exit code.
    pub code: u8,
    /// Everything is printed already.
    pub silent: bool,
    /// For people, after the text.
    pub after: String,
    /// Of several providers, those that came to no good end.
    pub failures: Vec<(&'static str, Error)>,
}

impl Done {
    /// Success.
    pub(crate) fn new(message: impl Into<String>, data: Value, text: impl Into<Vec<u8>>) -> Self {
        Self {
            message: message.into(),
            data,
            text: text.into(),
            code: 0,
            silent: false,
            after: String::new(),
            failures: Vec::new(),
        }
    }
}

/// A failure as scripts read it.
struct Failure {
    message: String,
    code: String,
    provider: Option<String>,
    resource: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// The provider is the one that the error names, else `asked`.
    fn of(mut error: Error, asked: Option<&str>) -> Self {
        let hint = error.take("hint");
        let provider = error.take("provider").or_else(|| asked.map(str::to_owned));
        Self {
            code: error.fact("code").unwrap_or_else(|| error.kind().name()).to_owned(),
            resource: error.fact("step").map(str::to_owned),
            message: error.to_string(),
            provider,
            hint,
        }
    }

    fn data(&self) -> Value {
        let Self { code, provider, resource, hint, .. } = self;
        json!({ "code": code, "provider": provider, "resource": resource, "hint": hint })
    }
}

/// Adds the failures of some of several providers to what the others came to.
fn add(data: &mut Value, failures: &[Failure]) {
    let (Some(first), Some(data)) = (failures.first(), data.as_object_mut()) else { return };
    let whole = match failures {
        [only] => only.data(),
        _ => {
            let same = failures.iter().all(|failure| failure.code == first.code);
            let code = if same { &first.code } else { "Several" };
            json!({ "code": code, "provider": null, "resource": null, "hint": null })
        }
    };
    data.extend(whole.as_object().cloned().unwrap_or_default());
    let each = failures.iter().map(|failure| {
        let mut each = failure.data();
        each["message"] = json!(failure.message);
        each
    });
    data.insert("failures".to_owned(), each.collect());
}

/// What failed, then what did not.
fn message(failures: &[Failure], fine: &str) -> String {
    let failed = failures
        .iter()
        .map(|failure| format!("{} failed: {}", failure.provider.as_deref().unwrap_or("-"), failure.message));
    failed.chain((!fine.is_empty()).then(|| fine.to_owned())).collect::<Vec<_>>().join("; ")
}

/// Knows how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    json: bool,
    quiet: bool,
    color: bool,
    when: Color,
}

impl Printer {
    /// As the options and the environment say.
    pub(crate) fn new(args: &Args) -> Self {
        let json = args.global.output == Output::Json;
        QUIET.store(args.global.quiet, Ordering::Relaxed);
        let printer = Self { json, quiet: args.global.quiet, color: false, when: args.global.color };
        Self { color: printer.colors(std::io::stderr().is_terminal()), ..printer }
    }

    /// Whether what goes to a terminal, or to something else, is coloured.
    pub(crate) fn colors(&self, terminal: bool) -> bool {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        match self.when {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !plain && terminal,
        }
    }

    /// Prints a result.
    pub(crate) fn done(&self, mut done: Done) -> ExitCode {
        if done.silent {
            return ExitCode::from(done.code);
        }
        let failures: Vec<_> =
            done.failures.drain(..).map(|(name, error)| Failure::of(error, Some(name))).collect();
        if self.json {
            let success = failures.is_empty() && (done.code == 0 || done.code == exit::CHANGES);
            add(&mut done.data, &failures);
            object(success, &message(&failures, &done.message), &done.data);
        } else {
            out(&done.text);
        }
        if !done.after.is_empty() {
            self.note(&done.after);
        }
        if !self.json {
            for failure in &failures {
                self.tell(failure, &format!("{}: ", failure.provider.as_deref().unwrap_or("-")));
            }
        }
        ExitCode::from(done.code)
    }

    /// Prints an error, what to do about it on a line of its own.
    pub(crate) fn failed(&self, error: Error, args: &Args) -> ExitCode {
        let code = exit::code(&error);
        let asked = match args.global.provider.as_slice() {
            [one] => Some(one.as_str()),
            _ => None,
        };
        let failure = Failure::of(error, asked);
        if self.json {
            object(false, &failure.message, &failure.data());
        } else {
            self.tell(&failure, "");
        }
        ExitCode::from(code)
    }

    /// A failure, for people; `whose` comes before what is said.
    fn tell(&self, failure: &Failure, whose: &str) {
        err(&format!("{} {whose}{}\n", self.paint("31;1", "error:"), failure.message));
        if let Some(hint) = &failure.hint {
            err(&format!("{} {hint}\n", self.paint("36", "hint:")));
        }
    }

    /// A line about what is going on.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            err(&format!("{line}\n"));
        }
    }

    /// A plan, for people.
    pub(crate) fn plan(&self, plan: &Plan) -> String {
        let mut text = String::new();
        for change in &plan.changes {
            let (mark, color) = match change.action {
                Action::Create => ("+ create", "32"),
                Action::Update => ("~ update", "33"),
                Action::Delete => ("- delete", "31"),
                Action::Unchanged => ("= unchanged", "2"),
                Action::Kept => ("= kept", "2"),
            };
            let line = format!(
                "{} {} {} ({})",
                self.paint(color, mark),
                plan.provider,
                change.resource,
                change.reason
            );
            text.push_str(&line);
            text.push('\n');
            if change.action == Action::Update {
                for field in change.fields.iter().filter(|field| field.before != field.after) {
                    text.push_str(&format!("    {}: {} -> {}\n", field.path, field.before, field.after));
                }
            }
        }
        text
    }

    /// Text in a colour, where colours are on.
    pub(crate) fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

impl Printer {
    /// Whether somebody sees steps while they run.
    pub(crate) fn is_live(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// What a step came to, as a line. Of one that only runs there is none: it is seen by what is missing.
    pub(crate) fn line(&self, name: &str, state: State<'_>, since: Duration) -> String {
        let (color, word, why) = match state {
            State::Running => return String::new(),
            State::Warning(error) => ("33", "waiting", Some(error.to_string())),
            State::Done => ("32", "done", None),
            State::Failed(error) => ("31", "failed", Some(error.to_string())),
            State::Skipped => ("2", "skipped", None),
        };
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        format!("{} {name} ({:.2} s){why}\n", self.paint(color, word), since.as_secs_f64())
    }
}

impl Progress for Printer {
    fn step(&self, change: &Change, state: State<'_>, since: Duration) {
        let line = self.line(&change.resource, state, since);
        if !line.is_empty() {
            self.note(line.trim_end());
        }
    }

    fn again(&self, error: &Error, plan: &Plan) {
        self.note(&format!("{error}: this deployment has taken over, looks again and goes on"));
        self.note(self.plan(plan).trim_end());
    }
}

/// A wrong command line, or a question for help.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::var("XCLOUD_OUTPUT").is_ok_and(|v| v == "json")
        || std::env::args().any(|a| a == "-ojson" || a == "--output=json" || a == "-o=json")
        || std::env::args()
            .zip(std::env::args().skip(1))
            .any(|(a, b)| (a == "-o" || a == "--output") && b == "json");
    if error.use_stderr() && wants_json {
        let message = error.to_string();
        let data = json!({ "code": "Usage", "provider": null, "resource": null, "hint": "xcloud --help" });
        object(false, message.trim_end(), &data);
        return ExitCode::from(exit::USAGE);
    }
    // Nobody is left to tell when the terminal is gone.
    drop(error.print());
    if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS }
}

fn object(success: bool, message: &str, data: &Value) {
    let object = json!({ "success": success, "message": message, "data": data });
    out(format!("{object}\n").as_bytes());
}

/// Writes to stdout; false when nobody reads it any more.
pub(crate) fn out(bytes: &[u8]) -> bool {
    let mut stdout = std::io::stdout().lock();
    // A reader that went away (`| head`) is not an error of ours.
    stdout.write_all(bytes).and_then(|()| stdout.flush()).is_ok()
}

/// Writes whole lines to stderr, above those of a display where there is one.
fn err(text: &str) {
    if crate::progress::above(text) {
        return;
    }
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}
