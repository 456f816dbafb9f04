//! Published versions, and aliases that go to them.

use serde_json::{Value, json};

use super::super::state::{State, arn};
use super::super::wire::{Call, Failure, Outcome, Reply, missing};
use super::{Function, Version, absent, config, conflict, expected, function, idle, invalid, named};

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    let (name, _) = named(call);
    match call.operation.as_str() {
        "PublishVersion" => asked(state, call, &name),
        "ListVersionsByFunction" => {
            let function = function(state, &name)?;
            let versions = function.versions.values().map(config::of_version);
            let all: Vec<_> = std::iter::once(config::shown(function)).chain(versions).collect();
            Ok(Reply::Json(200, json!({ "Versions": all })))
        }
        "CreateAlias" => create_alias(state, call, &name),
        "GetAlias" => {
            let alias = function(state, &name)?.aliases.get(call.part(4));
            Ok(Reply::Json(200, alias.ok_or_else(|| no_alias(&name, call.part(4)))?.clone()))
        }
        "UpdateAlias" => update_alias(state, call, &name),
        "TagResource" => {
            let given = super::super::sqs::tags_of(call.body.get("Tags"));
            let tags = &mut function(state, &name)?.tags;
            tags.extend(given);
            Ok(Reply::Empty(204))
        }
        "ListTags" => Ok(Reply::Json(200, json!({ "Tags": function(state, &name)?.tags }))),
        _ => Err(Failure::unknown(call)),
    }
}

fn asked(state: &mut State, call: &Call, name: &str) -> Outcome {
    let (id, settles) = (state.id(), state.settings.settles);
    let function = function(state, name)?;
    idle(function)?;
    expected(&function.config, call.text("RevisionId"))?;
    let (wanted, now) = (call.text("CodeSha256"), &function.config["CodeSha256"]);
    if !wanted.is_empty() && now != wanted {
        let message =
            format!("CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({now}).");
        return Err(invalid(&message));
    }
    let number = publish(function, settles, call.body["Description"].as_str(), id);
    Ok(Reply::Json(201, config::of_version(&function.versions[&number])))
}

/// Publishes `$LATEST`; where it is as it was when the last version was made, that is the version.
pub(super) fn publish(function: &mut Function, settles: u32, description: Option<&str>, id: String) -> u64 {
    let mut now = function.config.clone();
    now["RevisionId"] = Value::Null;
    if function.published.as_ref() == Some(&now) && function.versions.contains_key(&function.numbers) {
        return function.numbers;
    }
    function.published = Some(now.clone());
    function.numbers += 1;
    let number = function.numbers;
    let mut config = now;
    let arn = format!("{}:{number}", config["FunctionArn"].as_str().unwrap_or_default());
    config["FunctionArn"] = arn.into();
    config["Version"] = number.to_string().into();
    config["RevisionId"] = id.into();
    if let Some(description) = description {
        config["Description"] = description.into();
    }
    function.versions.insert(number, Version { config, pending: settles });
    number
}

fn create_alias(state: &mut State, call: &Call, name: &str) -> Outcome {
    let id = state.id();
    let (alias, version) = (call.need("Name")?, call.need("FunctionVersion")?);
    let function = function(state, name)?;
    there(function, name, version)?;
    let arn = arn("lambda", &format!("function:{name}:{alias}"));
    if function.aliases.contains_key(alias) {
        return Err(conflict(&format!("Alias already exists: {arn}")));
    }
    let made = json!({
        "AliasArn": arn,
        "Name": alias,
        "FunctionVersion": version,
        "Description": call.text("Description"),
        "RevisionId": id,
    });
    function.aliases.insert(alias.to_owned(), made.clone());
    Ok(Reply::Json(201, made))
}

/// Shares are replaced by those that the request brings; without any in it they stay.
fn update_alias(state: &mut State, call: &Call, name: &str) -> Outcome {
    let id = state.id();
    let function = function(state, name)?;
    let version = call.text("FunctionVersion");
    if !version.is_empty() {
        there(function, name, version)?;
    }
    let alias = function.aliases.get_mut(call.part(4)).ok_or_else(|| no_alias(name, call.part(4)))?;
    expected(alias, call.text("RevisionId"))?;
    if !version.is_empty() {
        alias["FunctionVersion"] = version.into();
    }
    if let Some(weights) = call.body["RoutingConfig"]["AdditionalVersionWeights"].as_object() {
        alias["RoutingConfig"] = json!({ "AdditionalVersionWeights": weights });
        if let Some(all) = alias.as_object_mut().filter(|_| weights.is_empty()) {
            all.remove("RoutingConfig");
        }
    }
    alias["RevisionId"] = id.into();
    Ok(Reply::Json(200, alias.clone()))
}

fn there(function: &Function, name: &str, version: &str) -> Result<(), Failure> {
    let number = version.parse::<u64>().map_err(|_| missing("FunctionVersion"))?;
    let found = function.versions.contains_key(&number);
    found.then_some(()).ok_or_else(|| absent(&format!("{name}:{version}")))
}

fn no_alias(name: &str, alias: &str) -> Failure {
    let arn = arn("lambda", &format!("function:{name}:{alias}"));
    Failure::new(404, "ResourceNotFoundException", format!("Cannot find alias arn: {arn}"))
}
