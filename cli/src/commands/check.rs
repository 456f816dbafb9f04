//! `xcloud check`

use serde_json::json;
use xcloud_core::Result;
use xcloud_core::spec::Spec;
use xcloud_deploy::{Finding, Level, Stage};

use super::Project;
use crate::args::{self, Args};
use crate::exit;
use crate::printer::{Done, Printer};
use crate::registry::{self, CLOUDS};

/// What each provider cannot do as asked. Pure but for the build that gives the Spec.
pub(super) async fn run(
    project: &Project,
    args: &Args,
    options: &args::Check,
    printer: &Printer,
) -> Result<Done> {
    let providers = project.providers(args, &CLOUDS)?;
    let app = project.app(&options.from, printer).await?;
    let findings = findings(&providers, &project.stage, &app.extras.complete(&app.spec))?;
    let errors = findings.iter().filter(|f| f.level == Level::Error).count();
    let message =
        format!("{errors} errors and {} warnings for {}", findings.len() - errors, providers.join(", "));
    let text = text(&findings) + &message + "\n";
    let mut done = Done::new(message, json!({ "findings": findings }), text);
    if errors > 0 {
        done.code = exit::PORTABILITY;
    }
    Ok(done)
}

fn findings(providers: &[&str], stage: &Stage, spec: &Spec) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for provider in providers {
        findings.extend(registry::check(provider)?(stage, spec));
    }
    Ok(findings)
}

/// A line for each; what is about the whole app has `-` for the function.
fn text(findings: &[Finding]) -> String {
    let line = |f: &Finding| {
        let level = match f.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        let function = if f.function.is_empty() { "-" } else { &f.function };
        format!("{level}\t{}\t{function}\t{}\t{}\n", f.provider, f.code, f.message)
    };
    findings.iter().map(line).collect()
}

#[cfg(test)]
#[cfg(all(feature = "aws", feature = "azure", feature = "gcp", feature = "alibaba"))]
mod limits;

#[cfg(test)]
#[cfg(all(feature = "aws", feature = "azure", feature = "gcp", feature = "alibaba"))]
mod tests {
    use super::limits::golden;
    use super::*;
    use crate::config::{Manifest, Source, resolve};
    use xcloud_core::spec::{FunctionSpec, RouteSpec, Settings, TriggerSpec};

    const GOLDEN: &str = "goldens/check.txt";

    fn function(name: &str, trigger: TriggerSpec, sends: &[&str]) -> FunctionSpec {
        let sends = sends.iter().map(|s| (*s).to_owned()).collect();
        let tables = if name == "hoard" { vec!["hoarded".to_owned()] } else { Vec::new() };
        let name = name.to_owned();
        FunctionSpec { name, trigger, sends, tables, settings: Settings::default() }
    }

    fn app() -> Spec {
        let route = |method: &str, path: &str| RouteSpec {
            method: Some(method.to_owned()),
            path: path.to_owned(),
            handler: "h".to_owned(),
        };
        let routes = vec![
            route("GET", "/ok"),
            route("TRACE", "/trace"),
            route("GET", "/admin/users"),
            route("GET", "/healthz"),
            route("GET", "/_ah/warmup"),
            route("GET", "/{quiz}"),
        ];
        let queue = |name: &str, batch| TriggerSpec::Queue { queue: name.to_owned(), batch: Some(batch) };
        Spec {
            version: 1,
            functions: vec![
                function("http", TriggerSpec::Http { routes, mounted: false }, &["order-placed"]),
                function("fulfil", queue("order-placed", 10), &[]),
                function("hoard", queue(&"q".repeat(130), 20_000), &[]),
                function("anything", TriggerSpec::Raw, &[]),
            ],
            queues: vec!["order-placed".to_owned(), "q".repeat(130)],
            tables: vec!["hoarded".to_owned()],
            ..Spec::default()
        }
    }

    /// Everything that the table of any provider can find, in words that are kept.
    #[test]
    fn a_spec_that_breaks_everything() {
        let toml = format!(
            "[functions.http]\nmemory = \"64GB\"\ntimeout = \"1501m\"\nconcurrency = 2000\nmax_instances = 5\n\
             env = {{ PORT = \"1\", FC_X = \"1\", FUNCTIONS_X = \"1\", AWS_REGION = \"x\", XCLOUD_MAX_BODY = \"999999999\", LONG = \"{}\" }}\n\
             [functions.fulfil]\nmemory = \"100MB\"\ntimeout = \"20m\"\nmax_attempts = 2\nenv = {{ LONG = \"short\" }}\n\
             [functions.hoard]\nmax_attempts = 2000\nmin_instances = 1\nmemory = \"600MB\"\n",
            "x".repeat(4096)
        );
        let spec = resolve(app(), &Manifest::read(&Source::of(&toml)).unwrap(), "dev").unwrap();
        let stage = Stage { project: "p".repeat(40), stage: "a-stage-with-a-long-name".to_owned() };
        let found = text(&findings(&CLOUDS, &stage, &spec).unwrap());
        golden(GOLDEN, &found);
    }

    #[test]
    fn what_fits_everywhere_has_no_findings() {
        let http = TriggerSpec::Http { routes: Vec::new(), mounted: true };
        let one = TriggerSpec::Queue { queue: "q".to_owned(), batch: None };
        let functions = vec![function("http", http, &[]), function("work", one, &[])];
        let queues = vec!["q".to_owned()];
        let spec = Spec { version: 1, functions, queues, ..Spec::default() };
        let toml = "[functions.http]\nmemory = \"512MB\"\ntimeout = \"15s\"\nenv = { LOG = \"info\" }\n";
        let spec = resolve(spec, &Manifest::read(&Source::of(toml)).unwrap(), "dev").unwrap();
        let stage = Stage { project: "shop".to_owned(), stage: "dev".to_owned() };
        assert_eq!(findings(&CLOUDS, &stage, &spec).unwrap(), Vec::<Finding>::new());
    }
}
