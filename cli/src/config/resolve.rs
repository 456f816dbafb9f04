//! The Spec of a stage: what the binary says, completed by xcloud.toml.

use xcloud_core::spec::{FunctionSpec, Settings, Spec, TriggerSpec};
use xcloud_core::{Error, ErrorKind, Result};

use super::manifest::{FunctionTable, Functions, Manifest};
use super::toml::nearest;

/// Merges the file's functions into the Spec, the stage's last.
///
/// # Errors
/// [`ErrorKind::Config`]: a function that the app does not have, or a setting that its trigger does not take.
pub(crate) fn resolve(mut spec: Spec, manifest: &Manifest, stage: &str) -> Result<Spec> {
    merge(&mut spec, &manifest.functions)?;
    if let Some((_, stage)) = manifest.stages.get(stage) {
        merge(&mut spec, &stage.functions)?;
    }
    Ok(spec)
}

fn merge(spec: &mut Spec, functions: &Functions) -> Result<()> {
    for (name, (place, table)) in functions {
        let known: Vec<_> = spec.functions.iter().map(|f| f.name.clone()).collect();
        // A handler may be called by its Rust name too.
        let cloud = xcloud_core::env::cloud_name(name);
        let Some(function) = spec.functions.iter_mut().find(|f| f.name == cloud) else {
            let near = nearest(&cloud, known.iter().map(String::as_str));
            let hint = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            let message =
                format!("{place}: the app has no function `{name}`{hint} (it has {})", known.join(", "));
            return Err(Error::new(ErrorKind::Config, message));
        };
        apply(function, table, place)?;
    }
    Ok(())
}

fn apply(function: &mut FunctionSpec, table: &FunctionTable, place: &str) -> Result<()> {
    if let Some(wanted) = table.batch {
        let TriggerSpec::Queue { batch, .. } = &mut function.trigger else {
            let message = format!("{place}: `batch` is for queue functions, `{}` is not one", function.name);
            return Err(Error::new(ErrorKind::Config, message));
        };
        *batch = Some(wanted);
    }
    let cors = cors(function, table, place)?;
    let Settings {
        memory_mb,
        timeout_seconds,
        concurrency,
        min_instances,
        max_instances,
        public,
        max_attempts,
        env,
    } = table.settings.clone();
    let settings = &mut function.settings;
    settings.memory_mb = memory_mb.or(settings.memory_mb);
    settings.timeout_seconds = timeout_seconds.or(settings.timeout_seconds);
    settings.concurrency = concurrency.or(settings.concurrency);
    settings.min_instances = min_instances.or(settings.min_instances);
    settings.max_instances = max_instances.or(settings.max_instances);
    settings.public = public.or(settings.public);
    settings.max_attempts = max_attempts.or(settings.max_attempts);
    if let Some(cors) = cors {
        settings.env.get_or_insert_default().insert(xcloud_core::env::CORS.to_owned(), cors);
    }
    if let Some(env) = env {
        settings.env.get_or_insert_default().extend(env);
    }
    Ok(())
}

/// As the function reads it from its environment: so it is the same on every provider.
fn cors(function: &FunctionSpec, table: &FunctionTable, place: &str) -> Result<Option<String>> {
    let Some(cors) = &table.cors else { return Ok(None) };
    if !matches!(function.trigger, TriggerSpec::Http { .. }) {
        let message = format!("{place}: `cors` is for HTTP, `{}` is not called so", function.name);
        return Err(Error::new(ErrorKind::Config, message));
    }
    Ok(Some(cors.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::toml::Source;

    fn spec() -> Spec {
        let function = |name: &str, trigger| FunctionSpec {
            name: name.to_owned(),
            trigger,
            sends: Vec::new(),
            tables: Vec::new(),
            settings: Settings::default(),
        };
        let http = TriggerSpec::Http { routes: Vec::new(), mounted: false };
        let queue = TriggerSpec::Queue { queue: "placed".to_owned(), batch: Some(10) };
        Spec {
            version: 1,
            functions: vec![function("http", http), function("fulfil-all", queue)],
            queues: Vec::new(),
            ..Spec::default()
        }
    }

    fn resolved(text: &str, stage: &str) -> Result<Spec> {
        resolve(spec(), &Manifest::read(&Source::of(text)).unwrap(), stage)
    }

    #[test]
    fn the_stage_comes_last() {
        let text = "[functions.http]\ntimeout = \"15s\"\nenv = { A = \"1\" }\n[functions.fulfil_all]\nbatch = 2\n\
                    [stages.prod.functions.http]\ntimeout = \"5s\"\nenv = { B = \"2\" }\n";
        let dev = resolved(text, "dev").unwrap();
        assert_eq!(dev.functions[0].settings.timeout_seconds, Some(15));
        assert!(matches!(dev.functions[1].trigger, TriggerSpec::Queue { batch: Some(2), .. }));
        let prod = resolved(text, "prod").unwrap();
        assert_eq!(prod.functions[0].settings.timeout_seconds, Some(5));
        assert_eq!(prod.functions[0].settings.env.as_ref().unwrap().len(), 2);
    }

    #[test]
    fn unknown_functions_and_misplaced_settings_are_errors() {
        let error = resolved("\n[functions.fulfil_al]\n", "dev").unwrap_err();
        assert!(
            error.message().starts_with("xcloud.toml:2:") && error.message().contains("`fulfil-all`"),
            "{error}"
        );
        let error = resolved("[functions.http]\nbatch = 2\n", "dev").unwrap_err();
        assert!(error.message().contains("queue functions"), "{error}");
        let cors = "cors = { origins = [\"*\"] }";
        let error = resolved(&format!("[functions.fulfil_all]\n{cors}\n"), "dev").unwrap_err();
        assert!(error.message().contains("`cors` is for HTTP"), "{error}");
        let spec = resolved(&format!("[functions.http]\n{cors}\n"), "dev").unwrap();
        let env = &spec.functions[0].settings.env.as_ref().unwrap()["XCLOUD_CORS"];
        assert_eq!(xcloud_core::cors::Cors::parse(env).unwrap().origins, ["*"]);
    }
}
