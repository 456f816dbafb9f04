//! The attribute's arguments: one trigger (`http = "…"`, `queue = "…"`, …), what goes with it, `sends = …`.

use proc_macro2::{Span, TokenStream};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitInt, LitStr, Token, bracketed};

/// What calls the function.
pub(crate) enum Trigger {
    Http { method: Option<String>, path: String },
    Queue { queue: String },
    Raw,
    Object { bucket: String },
    Schedule { schedule: String },
    Change { table: String },
    Topic { topic: String },
    Event,
}

impl Trigger {
    /// The attribute's key and the type of its event.
    pub(crate) const fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Http { .. } => ("http", "Http"),
            Self::Queue { .. } => ("queue", "Queue"),
            Self::Raw => ("raw", "Raw"),
            Self::Object { .. } => ("object", "Object"),
            Self::Schedule { .. } => ("schedule", "Tick"),
            Self::Change { .. } => ("change", "Change"),
            Self::Topic { .. } => ("topic", "Topic"),
            Self::Event => ("event", "CloudEvent"),
        }
    }
}

/// The types of events.
pub(crate) const EVENTS: [&str; 8] =
    ["Http", "Queue", "Raw", "Object", "Tick", "Change", "Topic", "CloudEvent"];

/// The arguments, checked.
pub(crate) struct Args {
    pub(crate) trigger: Option<(Trigger, Span)>,
    pub(crate) batch: Option<u32>,
    batch_span: Option<Span>,
    /// `Created`, `Deleted` or `Any`, as core names them.
    pub(crate) on: Option<Ident>,
    on_span: Option<Span>,
    pub(crate) timezone: Option<LitStr>,
    timezone_span: Option<Span>,
    pub(crate) sends: Vec<LitStr>,
    pub(crate) sends_span: Option<Span>,
    pub(crate) tables: Vec<LitStr>,
    pub(crate) tables_span: Option<Span>,
    /// Keys whose names could not be read: nobody knows how many they would be.
    pub(crate) unread: Vec<&'static str>,
    pub(crate) errors: Vec<Error>,
}

const KEYS: [&str; 13] = [
    "http", "queue", "topic", "object", "schedule", "change", "event", "raw", "batch", "on", "timezone",
    "sends", "tables",
];
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// One `key` or `key = value`.
struct Argument {
    key: Ident,
    value: Option<Value>,
}

enum Value {
    Text(LitStr),
    List(Vec<LitStr>),
    Number(LitInt),
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key: Ident = input.parse()?;
        if !input.peek(Token![=]) {
            return Ok(Self { key, value: None });
        }
        input.parse::<Token![=]>()?;
        let value = if input.peek(LitStr) {
            Value::Text(input.parse()?)
        } else if input.peek(LitInt) {
            Value::Number(input.parse()?)
        } else if input.peek(syn::token::Bracket) {
            let content;
            bracketed!(content in input);
            Value::List(Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?.into_iter().collect())
        } else {
            return Err(input.error("expected a string, a number or a list of strings"));
        };
        Ok(Self { key, value: Some(value) })
    }
}

impl Args {
    pub(crate) fn parse(tokens: TokenStream) -> Self {
        let mut args = Self {
            trigger: None,
            batch: None,
            batch_span: None,
            on: None,
            on_span: None,
            timezone: None,
            timezone_span: None,
            sends: Vec::new(),
            sends_span: None,
            tables: Vec::new(),
            tables_span: None,
            unread: Vec::new(),
            errors: Vec::new(),
        };
        let empty = tokens.is_empty();
        match Punctuated::<Argument, Token![,]>::parse_terminated.parse2(tokens) {
            Ok(list) => {
                let mut seen: Vec<String> = Vec::new();
                for argument in list {
                    let name = argument.key.to_string();
                    if seen.contains(&name) {
                        args.errors.push(Error::new(argument.key.span(), format!("`{name}` is given twice")));
                    } else {
                        args.take(argument);
                    }
                    seen.push(name);
                }
            }
            Err(error) => args.errors.push(error),
        }
        if args.trigger.is_none() && args.errors.is_empty() {
            let what =
                if empty { "say what calls this handler" } else { "nothing says what calls this handler" };
            let message = format!(
                "{what}: `#[handler(http = \"POST /path\")]`, `#[handler(queue = \"name\")]`, `topic = \"name\"`, \
                 `object = \"bucket\"`, `schedule = \"every 5 minutes\"`, `change = \"table\"`, `event` or `raw`"
            );
            args.errors.push(Error::new(Span::call_site(), message));
        }
        args.check_companions();
        args
    }

    /// Keys that go with one trigger alone.
    fn check_companions(&mut self) {
        let Some((trigger, _)) = &self.trigger else { return };
        let (key, _) = trigger.words();
        for (span, wanted, message) in [
            (self.batch_span, "queue", "`batch` is for queue handlers"),
            (self.on_span, "object", "`on` is for object handlers"),
            (self.timezone_span, "schedule", "`timezone` is for schedules"),
        ] {
            if let Some(span) = span.filter(|_| key != wanted) {
                self.errors.push(Error::new(span, message));
            }
        }
    }

    fn take(&mut self, argument: Argument) {
        let Argument { key, value } = argument;
        let span = key.span();
        match (key.to_string().as_str(), value) {
            ("http", Some(Value::Text(text))) => self.http(&text, span),
            ("queue", Some(Value::Text(text))) => {
                self.check_name(&text, "queue");
                self.set_trigger(Trigger::Queue { queue: text.value() }, span);
            }
            ("raw", None) => self.set_trigger(Trigger::Raw, span),
            ("event", None) => self.set_trigger(Trigger::Event, span),
            ("topic", Some(Value::Text(text))) => {
                self.check_name(&text, "topic");
                self.set_trigger(Trigger::Topic { topic: text.value() }, span);
            }
            ("object", Some(Value::Text(text))) => {
                self.check_name(&text, "bucket");
                self.set_trigger(Trigger::Object { bucket: text.value() }, span);
            }
            ("change", Some(Value::Text(text))) => {
                self.check_name(&text, "table");
                self.set_trigger(Trigger::Change { table: text.value() }, span);
            }
            ("schedule", Some(Value::Text(text))) => self.schedule(&text, span),
            ("on", Some(Value::Text(text))) => self.on(&text, span),
            ("timezone", Some(Value::Text(text))) => {
                if let Err(why) = xcloud_schedule::check_zone(&text.value()) {
                    self.errors.push(Error::new(text.span(), why));
                }
                self.timezone = Some(text);
                self.timezone_span = Some(span);
            }
            ("batch", Some(Value::Number(number))) => match number.base10_parse::<u32>() {
                Ok(n @ 1..=10_000) => {
                    self.batch = Some(n);
                    self.batch_span = Some(span);
                }
                _ => self.errors.push(Error::new(number.span(), "`batch` is a number from 1 to 10000")),
            },
            ("sends", Some(Value::Text(text))) => self.sends(vec![text], span),
            ("sends", Some(Value::List(list))) => self.sends(list, span),
            ("tables", Some(Value::Text(text))) => self.tables(vec![text], span),
            ("tables", Some(Value::List(list))) => self.tables(list, span),
            ("http", _) => self.errors.push(Error::new(span, "write `http = \"POST /path\"`")),
            ("queue", _) => self.errors.push(Error::new(span, "write `queue = \"name\"`")),
            ("raw", _) => self.errors.push(Error::new(span, "`raw` takes no value")),
            ("event", _) => self.errors.push(Error::new(span, "`event` takes no value")),
            ("topic" | "change", _) => {
                self.errors.push(Error::new(span, format!("write `{key} = \"name\"`")));
            }
            ("object", _) => self.errors.push(Error::new(span, "write `object = \"bucket\"`")),
            ("schedule", _) => {
                self.errors
                    .push(Error::new(span, "write `schedule = \"every 5 minutes\"`, or cron in five fields"));
            }
            ("on", _) => self.errors.push(Error::new(span, "write `on = \"created\"`")),
            ("timezone", _) => self.errors.push(Error::new(span, "write `timezone = \"Europe/Berlin\"`")),
            ("batch", _) => self.errors.push(Error::new(span, "write `batch = 10`")),
            ("sends", _) => {
                self.unread.push("sends");
                self.errors.push(Error::new(span, "write `sends = \"name\"` or `sends = [\"a\", \"b\"]`"))
            }
            ("tables", _) => {
                self.unread.push("tables");
                self.errors.push(Error::new(span, "write `tables = \"name\"` or `tables = [\"a\", \"b\"]`"))
            }
            (unknown, _) => {
                let near = KEYS.iter().find(|k| near(k, unknown)).map(|k| format!("; did you mean `{k}`?"));
                let message = format!(
                    "unknown key `{unknown}`{}; the keys are {}",
                    near.unwrap_or_default(),
                    KEYS.join(", ")
                );
                self.errors.push(Error::new(span, message));
            }
        }
    }

    fn set_trigger(&mut self, trigger: Trigger, span: Span) {
        if self.trigger.is_some() {
            let message = "a handler has one trigger: `http`, `queue`, `topic`, `object`, `schedule`, `change`, `event` or `raw`";
            self.errors.push(Error::new(span, message));
        } else {
            self.trigger = Some((trigger, span));
        }
    }

    fn http(&mut self, text: &LitStr, span: Span) {
        let value = text.value();
        let (method, path) = match value.split_once(' ') {
            Some((method, path)) => (Some(method.to_owned()), path),
            None => (None, value.as_str()),
        };
        if let Some(method) = method.as_deref().filter(|m| !METHODS.contains(m)) {
            let upper = method.to_ascii_uppercase();
            let hint =
                if METHODS.contains(&upper.as_str()) { format!("; write `{upper}`") } else { String::new() };
            let message = format!("`{method}` is not one of {}{hint}", METHODS.join(", "));
            self.errors.push(Error::new(text.span(), message));
        } else if let Err(why) = check_path(path) {
            self.errors.push(Error::new(text.span(), why));
        }
        self.set_trigger(Trigger::Http { method, path: path.to_owned() }, span);
    }

    fn schedule(&mut self, text: &LitStr, span: Span) {
        if let Err(why) = xcloud_schedule::Schedule::parse(&text.value()) {
            self.errors.push(Error::new(text.span(), why));
        }
        self.set_trigger(Trigger::Schedule { schedule: text.value() }, span);
    }

    fn on(&mut self, text: &LitStr, span: Span) {
        let variant = match text.value().as_str() {
            "created" => "Created",
            "deleted" => "Deleted",
            "any" => "Any",
            other => {
                let message = format!("`{other}` is not one of created, deleted, any");
                self.errors.push(Error::new(text.span(), message));
                return;
            }
        };
        self.on = Some(Ident::new(variant, Span::call_site()));
        self.on_span = Some(span);
    }

    fn sends(&mut self, list: Vec<LitStr>, span: Span) {
        for name in &list {
            self.check_name(name, "queue");
        }
        self.sends = list;
        self.sends_span = Some(span);
    }

    fn tables(&mut self, list: Vec<LitStr>, span: Span) {
        for name in &list {
            self.check_name(name, "table");
        }
        self.tables = list;
        self.tables_span = Some(span);
    }

    /// The strictest of the clouds: Azure storage queues take 3 to 63 of `a-z0-9-`; 40 leave room for project and stage.
    fn check_name(&mut self, text: &LitStr, what: &str) {
        let name = text.value();
        let fits = name.len() >= 3
            && name.len() <= 40
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && !name.ends_with('-')
            && !name.contains("--")
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !fits {
            let message = format!(
                "`{name}` cannot be a {what}'s name on every cloud: 3 to 40 of a-z, 0-9 and single `-`, starting with a letter"
            );
            self.errors.push(Error::new(text.span(), message));
        }
    }
}

fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("the path `{path}` must begin with `/`: `POST /orders`"));
    }
    if path.contains(['?', '#', ' ']) {
        return Err("a route is a path only: no query, fragment or space".to_owned());
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let mut names: Vec<&str> = Vec::new();
    for (i, segment) in segments.iter().enumerate() {
        let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else {
            if segment.contains(['{', '}', '*']) {
                return Err(format!(
                    "`{segment}`: a parameter is a whole segment: `{{name}}`, or `{{*rest}}` at the end"
                ));
            }
            continue;
        };
        let plain = name.strip_prefix('*').unwrap_or(name);
        if name.starts_with('*') && i + 1 != segments.len() {
            return Err(format!("`{{{name}}}` takes the rest of the path, so it comes last"));
        }
        if plain.is_empty() || !plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("`{segment}`: a parameter's name is letters, digits and `_`"));
        }
        if names.contains(&plain) {
            return Err(format!("the parameter `{plain}` is there twice"));
        }
        names.push(plain);
    }
    Ok(())
}

/// Whether two words differ by at most two edits.
fn near(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut last = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (row[j + 1] + 1).min(row[j] + 1).min(last + usize::from(x != y));
            last = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()] <= 2
}
