//! DynamoDB's tables; none has a row.

use serde_json::{Value, json};

use super::state::{State, Table, Tags, arn, still};
use super::wire::{Call, Failure, Outcome, Reply};

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    let settles = state.settings.settles;
    match call.operation.as_str() {
        "CreateTable" => create(state, call),
        "ListTagsOfResource" => {
            let name = call.need("ResourceArn")?.rsplit('/').next().unwrap_or_default();
            let tags = table(state, name)?.tags.iter();
            let tags: Vec<_> = tags.map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
            Ok(Reply::Json(200, json!({ "Tags": tags })))
        }
        "DescribeTable" => describe(state, call.need("TableName")?),
        "Scan" => {
            table(state, call.need("TableName")?)?;
            Ok(Reply::Json(200, json!({ "Count": 0, "ScannedCount": 0, "Items": [] })))
        }
        "UpdateTable" => {
            let table = idle(state, call.need("TableName")?)?;
            update(table, call)?;
            table.busy = settles;
            Ok(Reply::Json(200, json!({ "TableDescription": shown(table) })))
        }
        "DeleteTable" => {
            let table = idle(state, call.need("TableName")?)?;
            table.going = true;
            table.busy = settles;
            let answer = json!({ "TableDescription": shown(table) });
            state.tables.retain(|_, table| !(table.going && table.busy == 0));
            Ok(Reply::Json(200, answer))
        }
        _ => Err(Failure::unknown(call)),
    }
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let name = call.need("TableName")?;
    if state.tables.contains_key(name) {
        return Err(in_use(&format!("Table already exists: {name}")));
    }
    let mut description = json!({
        "TableName": name,
        "TableArn": arn("dynamodb", &format!("table/{name}")),
        "KeySchema": call.body["KeySchema"],
        "AttributeDefinitions": call.body["AttributeDefinitions"],
        "BillingModeSummary": { "BillingMode": call.body["BillingMode"] },
    });
    streamed(&mut description, &call.body["StreamSpecification"]);
    let tags = call.body["Tags"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tags: Tags = tags.map(|tag| (text(&tag["Key"]), text(&tag["Value"]))).collect();
    let table = Table { description, tags, busy: state.settings.settles, going: false };
    let answer = json!({ "TableDescription": shown(&table) });
    state.tables.insert(name.to_owned(), table);
    Ok(Reply::Json(200, answer))
}

fn streamed(description: &mut Value, stream: &Value) {
    if stream["StreamEnabled"] != true {
        return;
    }
    description["StreamSpecification"] = stream.clone();
    let stream =
        format!("{}/stream/2026-01-01T00:00:00.000", description["TableArn"].as_str().unwrap_or_default());
    description["LatestStreamArn"] = stream.into();
}

fn update(table: &mut Table, call: &Call) -> Result<(), Failure> {
    let stream = &call.body["StreamSpecification"];
    if stream["StreamEnabled"] == true && table.description["LatestStreamArn"].is_string() {
        return Err(Failure::new(400, "ValidationException", "Table already has an enabled stream"));
    }
    streamed(&mut table.description, stream);
    Ok(())
}

fn describe(state: &mut State, name: &str) -> Outcome {
    let table = table(state, name)?;
    let answer = json!({ "Table": shown(table) });
    still(&mut table.busy);
    if table.going && table.busy == 0 {
        state.tables.remove(name);
    }
    Ok(Reply::Json(200, answer))
}

fn shown(table: &Table) -> Value {
    let mut description = table.description.clone();
    let status = match (table.busy, table.going) {
        (_, true) => "DELETING",
        (0, false) => "ACTIVE",
        _ => "CREATING",
    };
    description["TableStatus"] = status.into();
    description
}

fn table<'a>(state: &'a mut State, name: &str) -> Result<&'a mut Table, Failure> {
    let message = format!("Requested resource not found: Table: {name} not found");
    state.tables.get_mut(name).ok_or_else(|| Failure::new(400, "ResourceNotFoundException", message))
}

/// One that nothing is being done to.
fn idle<'a>(state: &'a mut State, name: &str) -> Result<&'a mut Table, Failure> {
    state.tables.retain(|_, table| !(table.going && table.busy == 0));
    let table = table(state, name)?;
    // Asking passes the time here too: whoever is refused comes again.
    if still(&mut table.busy) {
        return Err(in_use(&format!("Attempt to change a resource which is still in use: {name}")));
    }
    Ok(table)
}

fn in_use(message: &str) -> Failure {
    Failure::new(400, "ResourceInUseException", message)
}
