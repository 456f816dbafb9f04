//! A function: made, its settings, its code. Nothing here serves: traffic goes to published versions.

use std::collections::HashMap;

use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types as lambda;
use xcloud_core::{Error, ErrorKind, Result};

use super::{Work, busy, until};
use crate::client::{Clients, Session};
use crate::error::{failed, optional};
use crate::label::Label;
use crate::wanted;

/// Makes a function, or corrects what differs.
pub(super) async fn function(work: &Work<'_>) -> Result<()> {
    if work.creates() {
        let made = work.made(create(work).await)?.is_some();
        let now = ready(&work.session.read, &work.function(), None).await?;
        if made {
            return reserve(work).await;
        }
        // It was there when this was tried again: a try before made it, and what that may have left undone follows; or
        // that try failed, and another deployment was faster.
        if guards(work) && !is_mine(work, &now) {
            let error = Error::conflict(format!("{} has just been made", work.function()));
            return Err(busy(error));
        }
    }
    let revision = configure(work).await?;
    if work.field("code_sha256").is_some() || work.field("arch").is_some() {
        upload(work, revision).await?;
    }
    reserve(work).await
}

/// Whether this is the write that keeps other deployments out.
fn guards(work: &Work<'_>) -> bool {
    work.field("deployment").is_some()
}

/// Whether a function bears the mark of this run.
fn is_mine(work: &Work<'_>, now: &Now) -> bool {
    is_marked(now, &work.memory.run)
}

fn is_marked(now: &Now, run: &str) -> bool {
    now.description().is_some_and(|text| text.ends_with(run))
}

/// Whether the first function bears the mark of a run: no other deployment has taken over since its first write.
pub(crate) async fn holds(session: &Session, function: &str, run: &str) -> Result<bool> {
    Ok(is_marked(&configuration(&session.read, function, None).await?, run))
}

/// Makes sure that no other deployment has taken over. Asked before traffic moves.
pub(super) async fn still_holds(work: &Work<'_>) -> Result<()> {
    let Some(first) = work.desired.spec.functions.first() else { return Ok(()) };
    let function = work.names.function(&first.name);
    if holds(work.session, &function, &work.memory.run).await? {
        return Ok(());
    }
    Err(busy(Error::conflict(format!("{function} has the mark of a later one"))))
}

fn code(work: &Work<'_>) -> Result<Vec<u8>> {
    let artifact = work.desired.artifact.as_ref().map(|artifact| artifact.bytes.clone());
    artifact.ok_or_else(|| Error::new(ErrorKind::Config, "there is no package to deploy"))
}

fn architecture(work: &Work<'_>) -> lambda::Architecture {
    let arch = work.desired.artifact.as_ref().map(|artifact| artifact.binary.arch.as_str());
    if arch == Some("arm64") { lambda::Architecture::Arm64 } else { lambda::Architecture::X8664 }
}

async fn create(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    let number = |path| work.number(path);
    let environment = lambda::Environment::builder().set_variables(Some(variables(work, HashMap::new())?));
    let code = match super::data::uploaded(work).await? {
        Some((bucket, key)) => lambda::FunctionCode::builder().s3_bucket(bucket).s3_key(key),
        None => lambda::FunctionCode::builder().zip_file(Blob::new(code(work)?)),
    };
    let request = work
        .session
        .write
        .lambda()
        .create_function()
        .function_name(&function)
        .runtime(lambda::Runtime::from("provided.al2023"))
        .handler(xcloud_aws::binding::ENTRY)
        .role(work.text("role").unwrap_or_default())
        .architectures(architecture(work))
        .set_memory_size(number("memory_mb"))
        .set_timeout(number("timeout_seconds"))
        .environment(environment.build())
        .logging_config(lambda::LoggingConfig::builder().log_format(lambda::LogFormat::Json).build())
        .set_description(description(work))
        .set_tags(Some(work.tags().into_iter().collect()))
        .code(code.build());
    request.send().await.map_err(failed("lambda:CreateFunction", &function))?;
    Ok(())
}

/// What the first function of a deployment is marked with: which version is on its way, and of which run.
fn description(work: &Work<'_>) -> Option<String> {
    let number = work.text("deployment")?.strip_prefix('v')?.parse().ok()?;
    let binary = work.desired.artifact.as_ref().map(|a| a.binary.sha256.clone()).unwrap_or_default();
    let label = Label { number, binary, app: crate::label::app_digest(work.desired, work.names) };
    Some(format!("{label} {}", work.memory.run))
}

/// The variables that are to be set: those that are, changed as the plan says.
fn variables(work: &Work<'_>, mut now: HashMap<String, String>) -> Result<HashMap<String, String>> {
    let fields = &work.change.fields;
    for field in fields {
        let path = field.path.as_str();
        let Some(name) = path.strip_prefix("env.").or_else(|| path.strip_prefix("secrets.")) else {
            continue;
        };
        if field.after.is_null() {
            now.remove(name);
        } else if path.starts_with("env.") {
            now.insert(name.to_owned(), field.after.as_str().unwrap_or_default().to_owned());
        }
    }
    // All secrets, for a plan does not have them.
    for (name, secret) in work.desired.secrets.get(work.name).into_iter().flatten() {
        now.insert(name.clone(), secret.expose().to_owned());
    }
    Ok(now)
}

/// Its settings, in one write. The first function's is the deployment's guard: its revision after that is what the
/// next write of it has to find.
async fn configure(work: &Work<'_>) -> Result<Option<String>> {
    let other = |path: &str| !matches!(path, "code_sha256" | "arch" | "max_instances");
    if !work.change.fields.iter().any(|field| other(&field.path)) {
        return Ok(None);
    }
    let function = work.function();
    let now = configuration(&work.session.read, &function, None).await?;
    // What was seen when the plan was made: another revision by now is somebody else's. Once the mark is there, it is ours.
    let seen = match is_mine(work, &now) {
        true => now.revision_id().map(str::to_owned),
        false => work.memory.revision(&function),
    };
    let seen = seen.filter(|_| guards(work));
    let variables_now = now.environment().and_then(|env| env.variables().cloned()).unwrap_or_default();
    let touches = |prefix: &str| work.change.fields.iter().any(|field| field.path.starts_with(prefix));
    let environment = if touches("env.") || touches("secrets.") {
        let all = variables(work, variables_now)?;
        Some(lambda::Environment::builder().set_variables(Some(all)).build())
    } else {
        None
    };
    let format = work.field("log_format").map(|_| lambda::LogFormat::Json);
    let logging = format.map(|format| lambda::LoggingConfig::builder().log_format(format).build());
    let request = work
        .session
        .write
        .lambda()
        .update_function_configuration()
        .function_name(&function)
        .set_revision_id(seen)
        .set_role(work.text("role").map(str::to_owned))
        .set_handler(work.text("handler").map(str::to_owned))
        .set_runtime(work.text("runtime").map(lambda::Runtime::from))
        .set_memory_size(work.number("memory_mb"))
        .set_timeout(work.number("timeout_seconds"))
        .set_environment(environment)
        .set_logging_config(logging)
        .set_description(description(work));
    let sent = request.send().await.map_err(failed("lambda:UpdateFunctionConfiguration", &function));
    match sent {
        Err(error) if guards(work) && error.kind() == ErrorKind::Conflict => return Err(busy(error)),
        sent => sent.map(drop)?,
    }
    let now = ready(&work.session.read, &function, None).await?;
    Ok(now.revision_id.filter(|_| guards(work)))
}

async fn upload(work: &Work<'_>, revision: Option<String>) -> Result<()> {
    let function = work.function();
    let request = work.session.write.lambda().update_function_code().function_name(&function);
    let request = match super::data::uploaded(work).await? {
        Some((bucket, key)) => request.s3_bucket(bucket).s3_key(key),
        None => request.zip_file(Blob::new(code(work)?)),
    };
    let sent = request.architectures(architecture(work)).set_revision_id(revision.clone()).send().await;
    match sent.map_err(failed("lambda:UpdateFunctionCode", &function)) {
        Err(error) if revision.is_some() && error.kind() == ErrorKind::Conflict => return Err(busy(error)),
        sent => sent.map(drop)?,
    }
    ready(&work.session.read, &function, None).await.map(drop)
}

/// Reserved concurrency is of the function, with a call of its own.
async fn reserve(work: &Work<'_>) -> Result<()> {
    let Some(field) = work.field(wanted::MAX_INSTANCES) else { return Ok(()) };
    let function = work.function();
    let Some(most) = field.as_i64() else {
        let gone = work.session.write.lambda().delete_function_concurrency().function_name(&function);
        let gone = gone.send().await.map_err(failed("lambda:DeleteFunctionConcurrency", &function));
        return optional(gone).map(drop);
    };
    let put = work.session.write.lambda().put_function_concurrency().function_name(&function);
    let put = put.reserved_concurrent_executions(i32::try_from(most).unwrap_or(i32::MAX));
    put.send().await.map_err(failed("lambda:PutFunctionConcurrency", &function))?;
    Ok(())
}

/// A function's, or one of its versions', settings and state.
type Now = GetFunctionConfigurationOutput;

async fn configuration(clients: &Clients, function: &str, version: Option<&str>) -> Result<Now> {
    let asked = clients.lambda().get_function_configuration().function_name(function);
    let asked = asked.set_qualifier(version.map(str::to_owned)).send().await;
    asked.map_err(failed("lambda:GetFunctionConfiguration", function))
}

/// Waits until a function, or a version of it, takes calls and further updates.
pub(super) async fn ready(clients: &Clients, function: &str, version: Option<&str>) -> Result<Now> {
    until(|| async {
        let now = configuration(clients, function, version).await?;
        let reason = now.state_reason().or(now.last_update_status_reason()).unwrap_or("no reason was given");
        let failed = now.state() == Some(&lambda::State::Failed)
            || now.last_update_status() == Some(&lambda::LastUpdateStatus::Failed);
        if failed {
            return Err(Error::handler(format!("Lambda could not make {function} ready: {reason}")));
        }
        let settled = now.last_update_status() != Some(&lambda::LastUpdateStatus::InProgress);
        Ok((settled && now.state() != Some(&lambda::State::Pending)).then_some(now))
    })
    .await
}

/// With all its versions, its alias and who may call it.
pub(super) async fn delete(work: &Work<'_>) -> Result<()> {
    let function = work.function();
    let gone = work.session.write.lambda().delete_function().function_name(&function).send().await;
    optional(gone.map_err(failed("lambda:DeleteFunction", &function)))?;
    Ok(())
}

/// The binary that this deployment brings.
pub(super) fn binary(work: &Work<'_>) -> String {
    work.desired.artifact.as_ref().map(|a| a.binary.sha256.clone()).unwrap_or_default()
}

/// What the package's hash is to be.
pub(super) fn code_sha256(work: &Work<'_>) -> String {
    wanted::code_sha256(work.desired)
}
