//! Facts that both halves of this room share: names, and the files that tell the host which functions there are.

use serde_json::{Value, json};
use xcloud_core::spec::{FunctionSpec, TriggerSpec};

/// The port the host wants the handler on; the host sets it for its child alone.
pub const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";
/// The folder that holds `host.json` and the functions' folders.
pub const APP_ROOT: &str = "FUNCTIONS_APP_ROOT_PATH";
/// The region, as App Service names it.
pub const REGION: &str = "REGION_NAME";
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
/// How many hex digits follow an event function's name.
pub const SUFFIX_LEN: usize = 16;

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

/// `function.json` of a function; `None` where Azure has no trigger for it.
pub fn function_json(function: &FunctionSpec) -> Option<Value> {
    let bindings = match &function.trigger {
        TriggerSpec::Http { .. } => json!([
            {
                "type": "httpTrigger", "direction": "in", "name": TRIGGER, "authLevel": "anonymous",
                "methods": METHODS, "route": "{*path}"
            },
            { "type": "http", "direction": "out", "name": "$return" }
        ]),
        TriggerSpec::Queue { queue, .. } => json!([
            { "type": "queueTrigger", "direction": "in", "name": TRIGGER, "queueName": queue, "connection": CONNECTION }
        ]),
        _ => return None,
    };
    Some(json!({ "bindings": bindings }))
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
