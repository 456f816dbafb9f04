//! The steps of a plan: upload and queues one by one, then everything into service at once.

use serde_json::Value;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Action, Artifact, Desired, Secret, Secrets, Step};

use crate::Local;
use crate::client::app_path;
use crate::host::api::secrets::{Hidden, Vault};
use crate::host::api::{Manifest, Publish, app_key};

/// Carries out one change. A package or a queue more does not touch what serves. What is to change in service, and
/// what is to go, changes in [`publish`], all at once.
pub(crate) async fn apply(local: &Local, step: &Step<'_>) -> Result<()> {
    let key = app_key(&step.desired.stage)?;
    match (step.change.action, step.change.resource.split_once('/')) {
        (Action::Create, Some((kind @ ("queue" | "table" | "bucket" | "topic"), name))) => {
            local.control.send("PUT", &app_path(&key, &format!("/{kind}s/{name}")), b"").await?;
            Ok(())
        }
        (Action::Create | Action::Update, Some(("function", _))) => upload(local, &key, step.desired).await,
        _ => Ok(()),
    }
}

fn artifact(desired: &Desired) -> Result<&Artifact> {
    desired.artifact.as_ref().ok_or_else(|| Error::new(ErrorKind::Config, "there is no package to deploy"))
}

fn digest(artifact: &Artifact) -> String {
    artifact.sha256()
}

async fn upload(local: &Local, key: &str, desired: &Desired) -> Result<()> {
    let artifact = artifact(desired)?;
    let digest = digest(artifact);
    if local.has_uploaded(key, &digest) {
        return Ok(());
    }
    let path = app_path(key, &format!("/packages/{digest}"));
    match local.control.get::<Value>(&path).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            local.control.send("PUT", &path, &artifact.bytes).await?;
        }
        Err(error) => return Err(error),
    }
    local.uploaded(key, &digest);
    Ok(())
}

/// Puts everything into service; or, when nothing is wanted, takes everything out of it.
pub(crate) async fn publish(local: &Local, desired: &Desired) -> Result<()> {
    let key = app_key(&desired.stage)?;
    if desired.spec.functions.is_empty() {
        let data = if desired.delete_data { "?data=delete" } else { "" };
        local.control.send("DELETE", &app_path(&key, data), b"").await?;
        return Ok(());
    }
    upload(local, &key, desired).await?;
    let artifact = artifact(desired)?;
    let manifest = Manifest {
        package: digest(artifact),
        binary_sha256: artifact.binary.sha256.clone(),
        files_sha256: artifact.binary.files_sha256(),
        functions: desired.spec.functions.clone(),
        queues: desired.spec.queues.clone(),
        tables: desired.spec.tables.clone(),
        buckets: desired.spec.buckets.clone(),
        topics: desired.spec.topics.clone(),
        host: local.settings.clone(),
    };
    let publish = Publish {
        stage: desired.stage.clone(),
        manifest,
        base: local.base(&key),
        delete_data: desired.delete_data,
        secrets: vault(&desired.secrets),
        no_traffic: desired.no_traffic,
        durability: local.durability,
    };
    let answer: Value = local.control.post(&app_path(&key, "/publish"), &publish).await?;
    if !publish.no_traffic {
        local.observed(&key, answer["version"].as_u64().unwrap_or(publish.base + 1));
    }
    Ok(())
}

fn vault(secrets: &Secrets) -> Vault {
    let hidden = |(name, secret): (&String, &Secret)| (name.clone(), Hidden(secret.expose().to_owned()));
    secrets.iter().map(|(f, secrets)| (f.clone(), secrets.iter().map(hidden).collect())).collect()
}
