//! IAM's roles, and STS: who asks.

use serde_json::Value;
use xcloud_core::text::percent_encode;

use super::state::{ACCOUNT, NOW, Role, State, Tags};
use super::wire::xml::{element, leaf};
use super::wire::{Call, Failure, Outcome, Reply};

/// STS.
pub(super) fn identity(state: &mut State, call: &Call) -> Outcome {
    match call.operation.as_str() {
        "GetCallerIdentity" => {
            let arn = format!("arn:aws:iam::{ACCOUNT}:user/simulated");
            Ok(Reply::Result([leaf("Arn", &arn), leaf("UserId", "AIDA"), leaf("Account", ACCOUNT)].concat()))
        }
        "AssumeRole" => assume(state, call),
        _ => Err(Failure::unknown(call)),
    }
}

/// Other programs try a new role themselves before they give it to a function.
fn assume(state: &mut State, call: &Call) -> Outcome {
    let role = call.need("RoleArn")?;
    if !state.assumable(role, "sts:AssumeRole") {
        let message = format!("User is not authorized to perform: sts:AssumeRole on resource: {role}");
        return Err(Failure::new(403, "AccessDenied", message));
    }
    let credentials = [
        leaf("AccessKeyId", "ASIASIMULATED"),
        leaf("SecretAccessKey", "secret"),
        leaf("SessionToken", "token"),
        leaf("Expiration", "2099-01-01T00:00:00Z"),
    ];
    Ok(Reply::Result(element("Credentials", &credentials.concat())))
}

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    match call.operation.as_str() {
        "CreateRole" => create(state, call),
        "ListRoles" => {
            let prefix = call.text("PathPrefix");
            let roles = state.roles.iter().filter(|(_, role)| role.path.starts_with(prefix));
            let members: String = roles.map(|(name, role)| element("member", &shown(name, role))).collect();
            Ok(Reply::Result([element("Roles", &members), leaf("IsTruncated", "false")].concat()))
        }
        "GetRole" => {
            let name = call.need("RoleName")?;
            let role = state.roles.get(name).ok_or_else(|| no_role(name))?;
            Ok(Reply::Result(element("Role", &shown(name, role))))
        }
        "GetRolePolicy" => get_policy(state, call),
        "DeleteRole" => delete(state, call),
        _ => change(state, call),
    }
}

/// Operations that change one role.
fn change(state: &mut State, call: &Call) -> Outcome {
    let name = call.need("RoleName")?;
    let role = state.roles.get_mut(name).ok_or_else(|| no_role(name))?;
    match call.operation.as_str() {
        "UpdateAssumeRolePolicy" => role.trust = document(call, "PolicyDocument")?,
        "PutRolePolicy" => {
            let policy = document(call, "PolicyDocument")?;
            role.policies.insert(call.need("PolicyName")?.to_owned(), policy);
        }
        "DeleteRolePolicy" => {
            let policy = call.need("PolicyName")?;
            role.policies.remove(policy).ok_or_else(|| no_policy(policy))?;
        }
        "AttachRolePolicy" => {
            let arn = call.need("PolicyArn")?.to_owned();
            role.attached.retain(|other| *other != arn);
            role.attached.push(arn);
        }
        _ => return Err(Failure::unknown(call)),
    }
    Ok(Reply::Result(String::new()))
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let name = call.need("RoleName")?;
    if state.roles.contains_key(name) {
        let message = format!("Role with name {name} already exists.");
        return Err(Failure::new(409, "EntityAlreadyExists", message));
    }
    let path = if call.text("Path").is_empty() { "/" } else { call.text("Path") };
    let role = Role {
        path: path.to_owned(),
        description: call.text("Description").to_owned(),
        trust: document(call, "AssumeRolePolicyDocument")?,
        tags: tags(call),
        unknown: state.settings.roles,
        ..Role::default()
    };
    let shown = element("Role", &shown(name, &role));
    state.roles.insert(name.to_owned(), role);
    Ok(Reply::Result(shown))
}

fn get_policy(state: &State, call: &Call) -> Outcome {
    let (name, policy) = (call.need("RoleName")?, call.need("PolicyName")?);
    let role = state.roles.get(name).ok_or_else(|| no_role(name))?;
    let document = role.policies.get(policy).ok_or_else(|| no_policy(policy))?;
    let document = leaf("PolicyDocument", &percent_encode(document));
    Ok(Reply::Result([leaf("RoleName", name), leaf("PolicyName", policy), document].concat()))
}

fn delete(state: &mut State, call: &Call) -> Outcome {
    let name = call.need("RoleName")?;
    let role = state.roles.get(name).ok_or_else(|| no_role(name))?;
    if !role.policies.is_empty() {
        return Err(Failure::new(409, "DeleteConflict", "Cannot delete entity, must delete policies first."));
    }
    if !role.attached.is_empty() {
        let message = "Cannot delete entity, must detach all policies first.";
        return Err(Failure::new(409, "DeleteConflict", message));
    }
    state.roles.remove(name);
    Ok(Reply::Result(String::new()))
}

/// A document has to be one.
fn document(call: &Call, name: &str) -> Result<String, Failure> {
    let text = call.need(name)?;
    let value = serde_json::from_str::<Value>(text);
    let value =
        value.map_err(|_| Failure::new(400, "MalformedPolicyDocument", "Syntax errors in policy."))?;
    Ok(value.to_string())
}

/// `Tags.member.1.Key`
pub(super) fn tags(call: &Call) -> Tags {
    let pair = |n: u32| {
        let key = call.body[format!("Tags.member.{n}.Key")].as_str()?.to_owned();
        Some((key, call.text(&format!("Tags.member.{n}.Value")).to_owned()))
    };
    (1..).map_while(pair).collect()
}

fn shown(name: &str, role: &Role) -> String {
    let arn = format!("arn:aws:iam::{ACCOUNT}:role{}{name}", role.path);
    [
        leaf("Path", &role.path),
        leaf("RoleName", name),
        leaf("RoleId", "AROA"),
        leaf("Arn", &arn),
        leaf("CreateDate", &NOW.replace(".000+0000", "Z")),
        leaf("AssumeRolePolicyDocument", &percent_encode(&role.trust)),
        leaf("Description", &role.description),
        leaf("MaxSessionDuration", "3600"),
    ]
    .concat()
}

fn no_role(name: &str) -> Failure {
    Failure::new(404, "NoSuchEntity", format!("The role with name {name} cannot be found."))
}

fn no_policy(name: &str) -> Failure {
    Failure::new(404, "NoSuchEntity", format!("The role policy with name {name} cannot be found."))
}
