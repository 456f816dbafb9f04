//! Lambda: functions and their settings. What is published of them, and what calls them, has files of its own.

mod config;
mod mappings;
mod permissions;
mod tries;
mod urls;
mod versions;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use xcloud_core::text::{base64_decode, base64_encode};

pub(super) use self::mappings::Mapping;
pub(super) use self::permissions::lets_call;
use super::state::{State, Tags, arn, still};
use super::wire::{Call, Failure, Outcome, Reply};

/// A function.
#[derive(Debug, Clone, Default)]
pub(crate) struct Function {
    /// `$LATEST`'s configuration, without its states.
    pub(super) config: Value,
    pub(super) tags: Tags,
    /// How often it is still found being made.
    pub(super) pending: u32,
    /// How often it is still found being updated.
    pub(super) updating: u32,
    /// By number.
    pub(super) versions: BTreeMap<u64, Version>,
    pub(super) numbers: u64,
    /// What `$LATEST` was when a version was last published.
    pub(super) published: Option<Value>,
    pub(super) aliases: BTreeMap<String, Value>,
    /// Statements of resource policies, by qualifier; without one: of the whole.
    pub(super) policies: BTreeMap<String, Vec<Value>>,
    /// By qualifier.
    pub(super) urls: BTreeMap<String, Value>,
    /// Provisioned concurrency, by qualifier.
    pub(super) warm: BTreeMap<String, Warm>,
    /// Reserved concurrency.
    pub(super) reserved: Option<i64>,
    /// How calls are tried again that nobody waits for, by qualifier.
    pub(super) tries: BTreeMap<String, Value>,
}

/// A published version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Version {
    pub(super) config: Value,
    pub(super) pending: u32,
}

/// Instances that are kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Warm {
    pub(super) instances: i64,
    pub(super) busy: u32,
}

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    match call.operation.as_str() {
        "CreateFunction" => create(state, call),
        "GetFunction" => get(state, call),
        "GetFunctionConfiguration" => {
            let (name, qualifier) = named(call);
            Ok(Reply::Json(200, look(function(state, &name)?, &name, qualifier.as_deref())?))
        }
        "UpdateFunctionCode" => update_code(state, call),
        "UpdateFunctionConfiguration" => update_config(state, call),
        "DeleteFunction" => delete(state, call),
        "PutFunctionConcurrency" => {
            let (name, _) = named(call);
            let most = call.body["ReservedConcurrentExecutions"].as_i64();
            let most = most.ok_or_else(|| super::wire::missing("ReservedConcurrentExecutions"))?;
            function(state, &name)?.reserved = Some(most);
            Ok(Reply::Json(200, json!({ "ReservedConcurrentExecutions": most })))
        }
        "DeleteFunctionConcurrency" => {
            let (name, _) = named(call);
            function(state, &name)?.reserved = None;
            Ok(Reply::Empty(204))
        }
        name if name.contains("EventInvokeConfig") => tries::answer(state, call),
        name if name.contains("EventSourceMapping") => mappings::answer(state, call),
        name if name.contains("FunctionUrl") => urls::answer(state, call),
        name if name.contains("Provisioned") => urls::warm(state, call),
        name if name.contains("Permission") || name.contains("Policy") => permissions::answer(state, call),
        _ => versions::answer(state, call),
    }
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let name = call.need("FunctionName")?.to_owned();
    let role = call.need("Role")?;
    if state.functions.contains_key(&name) {
        return Err(conflict(&format!("Function already exist: {name}")));
    }
    let code = code(state, &call.body["Code"])?;
    assume(state, role)?;
    let config = config::new(&call.body, &name, &code, state.id());
    let mut function = Function {
        config,
        tags: super::sqs::tags_of(call.body.get("Tags")),
        pending: state.settings.settles,
        ..Function::default()
    };
    if call.body["Publish"] == true {
        versions::publish(&mut function, state.settings.settles, None, state.id());
    }
    let answer = config::shown(&function);
    state.functions.insert(name, function);
    Ok(Reply::Json(201, answer))
}

/// The digest of the package that a request brings or names.
fn code(state: &State, code: &Value) -> Result<(String, usize), Failure> {
    if let Some(zip) = code["ZipFile"].as_str() {
        let bytes = base64_decode(zip.as_bytes()).unwrap_or_default();
        return Ok((digest(&bytes), bytes.len()));
    }
    let (bucket, key) = (code["S3Bucket"].as_str(), code["S3Key"].as_str());
    let bucket = bucket.and_then(|bucket| state.buckets.get(bucket));
    let object = key.and_then(|key| bucket?.objects.get(key));
    let none = || invalid("Error occurred while GetObject. S3 Error Code: NoSuchKey.");
    object.map(|digest| (digest.clone(), 0)).ok_or_else(none)
}

/// SHA-256, as Lambda writes it.
pub(super) fn digest(bytes: &[u8]) -> String {
    base64_encode(&Sha256::digest(bytes))
}

fn assume(state: &mut State, role: &str) -> Result<(), Failure> {
    if state.assumable(role, "lambda.amazonaws.com") {
        return Ok(());
    }
    Err(invalid("The role defined for the function cannot be assumed by Lambda."))
}

fn get(state: &mut State, call: &Call) -> Outcome {
    let (name, qualifier) = named(call);
    let function = function(state, &name)?;
    let configuration = look(function, &name, qualifier.as_deref())?;
    let mut answer = json!({
        "Configuration": configuration,
        "Code": { "RepositoryType": "S3", "Location": "https://awslambda.invalid/package" },
        "Tags": function.tags,
    });
    if let Some(most) = function.reserved {
        answer["Concurrency"] = json!({ "ReservedConcurrentExecutions": most });
    }
    Ok(Reply::Json(200, answer))
}

/// A configuration with its states; who looks passes the time.
fn look(function: &mut Function, name: &str, qualifier: Option<&str>) -> Result<Value, Failure> {
    let Some(qualifier) = qualifier.filter(|qualifier| *qualifier != "$LATEST") else {
        let shown = config::shown(function);
        still(&mut function.pending);
        still(&mut function.updating);
        return Ok(shown);
    };
    let number = function.aliases.get(qualifier).and_then(|alias| alias["FunctionVersion"].as_str());
    let number = number.unwrap_or(qualifier).parse::<u64>().ok();
    let version = number.and_then(|number| function.versions.get_mut(&number));
    let version = version.ok_or_else(|| absent(&format!("{name}:{qualifier}")))?;
    let shown = config::of_version(version);
    still(&mut version.pending);
    Ok(shown)
}

fn update_code(state: &mut State, call: &Call) -> Outcome {
    let (name, _) = named(call);
    let (digest, size) = code(state, &call.body)?;
    let (id, settles) = (state.id(), state.settings.settles);
    let function = function(state, &name)?;
    idle(function)?;
    expected(&function.config, call.text("RevisionId"))?;
    function.config["CodeSha256"] = digest.into();
    function.config["CodeSize"] = size.into();
    if call.body["Architectures"].is_array() {
        function.config["Architectures"] = call.body["Architectures"].clone();
    }
    function.config["RevisionId"] = id.into();
    function.updating = settles;
    if call.body["Publish"] == true {
        let id = state.id();
        let function = self::function(state, &name)?;
        let number = versions::publish(function, settles, None, id);
        return Ok(Reply::Json(200, config::of_version(&function.versions[&number])));
    }
    Ok(Reply::Json(200, config::shown(self::function(state, &name)?)))
}

fn update_config(state: &mut State, call: &Call) -> Outcome {
    let (name, _) = named(call);
    idle(function(state, &name)?)?;
    expected(&function(state, &name)?.config, call.text("RevisionId"))?;
    if let Some(role) = call.body["Role"].as_str() {
        assume(state, role)?;
    }
    let (id, settles) = (state.id(), state.settings.settles);
    let function = function(state, &name)?;
    config::change(&mut function.config, &call.body);
    function.config["RevisionId"] = id.into();
    function.updating = settles;
    Ok(Reply::Json(200, config::shown(function)))
}

/// All of it, or one version that no alias goes to. Mappings stay behind.
fn delete(state: &mut State, call: &Call) -> Outcome {
    let (name, qualifier) = named(call);
    let function = function(state, &name)?;
    let Some(qualifier) = qualifier else {
        state.functions.remove(&name);
        return Ok(Reply::Empty(204));
    };
    let goes = |alias: &Value| {
        alias["FunctionVersion"] == qualifier.as_str()
            || alias["RoutingConfig"]["AdditionalVersionWeights"].get(&qualifier).is_some()
    };
    if function.aliases.values().any(goes) {
        let message = format!("Unable to delete version because aliases reference it: {name}:{qualifier}");
        return Err(conflict(&message));
    }
    let gone = qualifier.parse::<u64>().ok().and_then(|number| function.versions.remove(&number));
    gone.map(|_| Reply::Empty(204)).ok_or_else(|| absent(&format!("{name}:{qualifier}")))
}

/// The name and qualifier that a path says: `name`, `name:qualifier`, or an ARN of either; or the query's qualifier.
fn named(call: &Call) -> (String, Option<String>) {
    let (name, qualifier) = split(call.part(2));
    (name, qualifier.or_else(|| call.qualifier().map(str::to_owned)))
}

fn split(text: &str) -> (String, Option<String>) {
    let text = text.split_once(":function:").map_or(text, |(_, rest)| rest);
    match text.split_once(':') {
        Some((name, qualifier)) => (name.to_owned(), Some(qualifier.to_owned())),
        None => (text.to_owned(), None),
    }
}

fn function<'a>(state: &'a mut State, name: &str) -> Result<&'a mut Function, Failure> {
    state.functions.get_mut(name).ok_or_else(|| absent(name))
}

/// What changes a function has to wait until it is not being changed.
fn idle(function: &mut Function) -> Result<(), Failure> {
    let arn = function.config["FunctionArn"].as_str().unwrap_or_default().to_owned();
    // Asking passes the time here too: whoever is refused comes again.
    if still(&mut function.pending) {
        let what = "The function is currently in the following state: Pending";
        return Err(conflict(&format!("The operation cannot be performed at this time. {what}")));
    }
    if still(&mut function.updating) {
        let what = format!("An update is in progress for resource: {arn}");
        return Err(conflict(&format!("The operation cannot be performed at this time. {what}")));
    }
    Ok(())
}

/// Whether the revision is the one that a request expects.
fn expected(now: &Value, revision: &str) -> Result<(), Failure> {
    if revision.is_empty() || now["RevisionId"] == revision {
        return Ok(());
    }
    let message = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API \
                   to retrieve the latest Revision Id";
    Err(Failure::new(412, "PreconditionFailedException", message))
}

fn conflict(message: &str) -> Failure {
    Failure::new(409, "ResourceConflictException", message)
}

fn invalid(message: &str) -> Failure {
    Failure::new(400, "InvalidParameterValueException", message)
}

fn absent(name: &str) -> Failure {
    let message = format!("Function not found: {}", arn("lambda", &format!("function:{name}")));
    Failure::new(404, "ResourceNotFoundException", message)
}
