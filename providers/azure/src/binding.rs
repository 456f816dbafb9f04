//! Facts that both halves of this room share: names, and the files that tell the host which functions there are.

use serde_json::{Value, json};
use xcloud_core::spec::{FunctionSpec, TriggerSpec};
use xcloud_core::text::parse_json;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_schedule::{Dialect, Schedule, lower};

/// The port the host wants the handler on; the host sets it for its child alone.
pub const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";
/// The folder that holds `host.json` and the functions' folders.
pub const APP_ROOT: &str = "FUNCTIONS_APP_ROOT_PATH";
/// The region, as App Service names it.
pub const REGION: &str = "REGION_NAME";
/// The function app's name.
pub const SITE: &str = "WEBSITE_SITE_NAME";
/// On every invocation, not on the host's pings.
pub const INVOCATION_HEADER: &str = "x-azure-functions-invocationid";
/// Headers that the host adds for itself and handlers do not see.
pub const HOST_HEADERS: &str = "x-azure-functions-";
/// The file in the package that the host starts (`customHandler.description.defaultExecutablePath`).
pub const ENTRY: &str = "handler";
/// The name of every trigger's binding.
pub const TRIGGER: &str = "event";
/// The app setting that holds the storage account's connection; queue triggers name it.
pub const CONNECTION: &str = "AzureWebJobsStorage";
/// The methods that the HTTP trigger passes on.
pub const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];
/// The app setting that holds the connection of the Service Bus namespace; topics' triggers name it.
pub const SERVICE_BUS: &str = "XCLOUD_SERVICEBUS";
/// The app setting that holds the connection of the Cosmos DB account; changes' triggers name it.
pub const COSMOS: &str = "XCLOUD_COSMOSDB";
/// The app setting that names the database in that account.
pub const COSMOS_DATABASE: &str = "XCLOUD_COSMOSDB_DATABASE";
/// How many hex digits follow an event function's name.
pub const SUFFIX_LEN: usize = 16;
/// The largest envelope in bytes: a page of a change feed has 4 MB, and every quote in it comes as four characters.
pub const MAX_ENVELOPE: usize = 32 * 1024 * 1024;
/// How often a firing of a timer is tried, where the configuration does not say.
pub const TIMER_ATTEMPTS: u32 = 5;

/// Whether this environment is that of a custom handler.
pub fn detect(get: impl Fn(&str) -> Option<String>) -> bool {
    get(PORT).is_some_and(|v| !v.is_empty())
}

/// `host.json`: proxied HTTP (both ways streamed, headers untouched), no route prefix.
pub fn host_json() -> Value {
    json!({
        "version": "2.0",
        "extensionBundle": { "id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)" },
        "extensions": { "http": { "routePrefix": "" } },
        "customHandler": {
            "description": { "defaultExecutablePath": ENTRY, "arguments": [], "workingDirectory": "" },
            "enableProxyingHttpRequest": true
        }
    })
}

/// `function.json` of a function; `None` for a raw handler, which no trigger calls.
///
/// - Messages come as bytes (`dataType: binary`): of a text that is a JSON object the host writes every member over the
///   metadata of the same name, so that a message with an `id` would lose the queue's own.
/// - A topic is a Service Bus topic, one message a call, since the host settles a call as a whole; the subscription has
///   the function's name.
/// - An object is an event of Event Grid, not a `blobTrigger`: that one tells of no deletion, and posts the whole blob.
///   Which container and which actions, the deployer says in the event subscription.
/// - Where the platform drops what failed (timers, Cosmos DB), a retry policy keeps it.
///
/// # Errors
/// [`ErrorKind::Config`]: a schedule that NCRONTAB cannot express.
pub fn function_json(function: &FunctionSpec) -> Result<Option<Value>> {
    let trigger = match &function.trigger {
        TriggerSpec::Http { .. } => return Ok(Some(json!({ "bindings": http_bindings() }))),
        TriggerSpec::Queue { queue, .. } => json!({
            "type": "queueTrigger", "queueName": queue, "connection": CONNECTION, "dataType": "binary"
        }),
        TriggerSpec::Topic { topic } => json!({
            "type": "serviceBusTrigger", "topicName": topic, "subscriptionName": function.name,
            "connection": SERVICE_BUS, "dataType": "binary", "cardinality": "one"
        }),
        TriggerSpec::Schedule { schedule, timezone } => json!({
            "type": "timerTrigger", "schedule": ncrontab(function, schedule, timezone.as_deref())?
        }),
        TriggerSpec::Change { table } => json!({
            "type": "cosmosDBTrigger", "databaseName": format!("%{COSMOS_DATABASE}%"), "containerName": table,
            "connection": COSMOS, "leaseContainerName": "leases", "leaseContainerPrefix": function.name,
            "createLeaseContainerIfNotExists": true
        }),
        TriggerSpec::Object { .. } | TriggerSpec::Event => json!({ "type": "eventGridTrigger" }),
        _ => return Ok(None),
    };
    let mut trigger = trigger;
    trigger["direction"] = "in".into();
    trigger["name"] = TRIGGER.into();
    let mut json = json!({ "bindings": [trigger] });
    if let Some(retry) = retry(function) {
        json["retry"] = retry;
    }
    Ok(Some(json))
}

fn http_bindings() -> Value {
    json!([
        {
            "type": "httpTrigger", "direction": "in", "name": TRIGGER, "authLevel": "anonymous",
            "methods": METHODS, "route": "{*path}"
        },
        { "type": "http", "direction": "out", "name": "$return" }
    ])
}

fn ncrontab(function: &FunctionSpec, schedule: &str, zone: Option<&str>) -> Result<String> {
    let lowered = Schedule::parse(schedule).and_then(|parsed| lower(&parsed, zone, Dialect::Ncrontab));
    lowered.map_err(|why| {
        let message =
            format!("function `{}`: Azure cannot run the schedule `{schedule}`: {why}", function.name);
        Error::new(ErrorKind::Config, message)
    })
}

/// <https://learn.microsoft.com/azure/azure-functions/functions-bindings-error-pages#retry-policies>: without one a failed
/// firing is gone, and the change feed goes on past a failed document. A change is tried for ever (`-1`) unless the
/// configuration says how often: nothing keeps what was given up.
fn retry(function: &FunctionSpec) -> Option<Value> {
    let attempts = function.settings.max_attempts;
    let retries = |attempts: u32| i64::from(attempts.max(1)) - 1;
    let count = match function.trigger {
        TriggerSpec::Schedule { .. } => retries(attempts.unwrap_or(TIMER_ATTEMPTS)),
        TriggerSpec::Change { .. } => attempts.map_or(-1, retries),
        _ => return None,
    };
    (count != 0).then(|| {
        json!({
            "strategy": "exponentialBackoff", "maxRetryCount": count,
            "minimumInterval": "00:00:05", "maximumInterval": "00:05:00"
        })
    })
}

/// The folder of a function. One site carries all functions behind a catch-all route, so a request to `/fulfil` and an
/// event for `fulfil` would look alike: event functions carry a suffix that an outsider cannot guess.
pub fn function_folder(function: &FunctionSpec, suffix: &str) -> String {
    match function.trigger {
        TriggerSpec::Http { .. } => function.name.clone(),
        _ => format!("{}-{suffix}", function.name),
    }
}

/// The function's name in a folder's name, when that ends in a suffix.
pub fn function_of_folder(folder: &str) -> Option<&str> {
    let (name, suffix) = folder.rsplit_once('-')?;
    let hex = suffix.len() == SUFFIX_LEN && suffix.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && !name.is_empty()).then_some(name)
}

/// What is known of a function beside the envelopes that it is sent: most of it stands in its `function.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binding {
    /// The function's cloud name.
    pub function: String,
    /// The function app's name.
    pub site: Option<String>,
    /// Values come as bytes, not as text.
    pub binary: bool,
    /// The queue, topic, event hub or container that the trigger names.
    pub listens: Option<String>,
}

impl Binding {
    /// What is known without a `function.json`.
    pub fn new(function: impl Into<String>) -> Self {
        Self { function: function.into(), ..Self::default() }
    }

    /// The same with what a `function.json` says of its trigger.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when it is not JSON or names no trigger.
    pub fn with_json(mut self, json: &[u8]) -> Result<Self> {
        let wrong = |why: String| {
            Error::new(ErrorKind::Config, format!("function.json of `{}`: {why}", self.function))
        };
        let json: Value = parse_json(json).map_err(|e| wrong(e.to_string()))?;
        let text = |binding: &Value, name: &str| binding.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_trigger = |binding: &&Value| {
            text(binding, "type").is_some_and(|ty| ty.to_ascii_lowercase().ends_with("trigger"))
        };
        let bindings = json.get("bindings").and_then(Value::as_array);
        let trigger = bindings.and_then(|bindings| bindings.iter().find(is_trigger));
        let trigger = trigger.ok_or_else(|| wrong("it has no trigger among its `bindings`".to_owned()))?;
        self.binary = text(trigger, "dataType").is_some_and(|ty| ty.eq_ignore_ascii_case("binary"));
        let names = ["queueName", "topicName", "eventHubName", "containerName"];
        // An app setting (`%NAME%`) is the host's to read.
        self.listens = names.iter().find_map(|name| text(trigger, name)).filter(|name| !name.contains('%'));
        Ok(self)
    }

    /// What the function listens to, or its own name.
    pub fn source(&self) -> &str {
        self.listens.as_deref().unwrap_or(&self.function)
    }

    /// The function as the source of events: `<app>/<function>`.
    pub fn function_source(&self) -> String {
        match &self.site {
            Some(site) => format!("azure:functions:{site}/{}", self.function),
            None => format!("azure:functions:{}", self.function),
        }
    }
}

#[cfg(test)]
mod tests;
