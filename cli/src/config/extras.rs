//! What a deployment takes from xcloud.toml beside the Spec.

use std::collections::BTreeMap;

use xcloud_core::env::cloud_name;
use xcloud_core::spec::Spec;
use xcloud_core::{Error, ErrorKind, Result};

use super::manifest::{Existing, Functions, Manifest, Origin};
use super::toml::{Placed, nearest};

/// By function, by variable.
pub(super) type References = BTreeMap<String, BTreeMap<String, Placed<Origin>>>;

/// What a deployment takes from xcloud.toml beside the Spec.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// Where secrets are.
    pub(super) secrets: References,
    /// By resource, `queue/order-placed`: the provider's name of what somebody else has made.
    pub(crate) existing: BTreeMap<String, String>,
    pub(super) native: BTreeMap<String, BTreeMap<&'static str, BTreeMap<String, String>>>,
}

impl Extras {
    /// What a stage's deployment takes; the Spec is resolved already.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: a variable that is set twice, or a resource that the app does not have.
    pub(crate) fn of(manifest: &Manifest, stage: &str, spec: &Spec) -> Result<Self> {
        let mut extras = Self::default();
        extras.add(&manifest.functions);
        extras.existing(&manifest.existing, spec)?;
        if let Some((_, stage)) = manifest.stages.get(stage) {
            extras.add(&stage.functions);
            extras.existing(&stage.existing, spec)?;
        }
        extras.set_once(spec)?;
        Ok(extras)
    }

    /// By function: what its table for this provider says.
    pub(crate) fn native(&self, provider: &str) -> BTreeMap<String, BTreeMap<String, String>> {
        let of = |(function, tables): (&String, &BTreeMap<_, BTreeMap<String, String>>)| {
            Some((function.clone(), tables.get(provider)?.clone()))
        };
        self.native.iter().filter_map(of).collect()
    }

    /// The Spec as a platform's limits are to be held against it: a secret's name is taken like any other variable's.
    pub(crate) fn complete(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        for function in &mut spec.functions {
            if let Some(secrets) = self.secrets.get(&function.name) {
                let env = function.settings.env.get_or_insert_default();
                env.extend(secrets.keys().map(|name| (name.clone(), String::new())));
            }
        }
        spec
    }

    fn add(&mut self, functions: &Functions) {
        for (name, (_, table)) in functions {
            let name = cloud_name(name);
            if let Some(secrets) = &table.secrets {
                self.secrets.entry(name.clone()).or_default().extend(secrets.clone());
            }
            for (provider, settings) in &table.native {
                let own = self.native.entry(name.clone()).or_default().entry(provider).or_default();
                own.extend(settings.clone());
            }
        }
    }

    fn existing(&mut self, existing: &Existing, spec: &Spec) -> Result<()> {
        let has = [
            ("queue", &spec.queues),
            ("bucket", &spec.buckets),
            ("table", &spec.tables),
            ("topic", &spec.topics),
        ];
        for (id, (place, named)) in existing {
            let (kind, name) = id.split_once('/').unwrap_or_default();
            let known = has.iter().find(|(known, _)| *known == kind).map_or(&[][..], |(_, names)| names);
            if !known.contains(&name.to_owned()) {
                let near = nearest(name, known.iter().map(String::as_str));
                let hint = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
                let message = format!("{place}: the app has no {kind} `{name}`{hint}");
                return Err(Error::new(ErrorKind::Config, message));
            }
            self.existing.insert(id.clone(), named.clone());
        }
        Ok(())
    }

    fn set_once(&self, spec: &Spec) -> Result<()> {
        for function in &spec.functions {
            let env = function.settings.env.iter().flatten().map(|(name, _)| name);
            let secrets = self.secrets.get(&function.name);
            for name in env {
                if let Some(Placed { place, key, .. }) = secrets.and_then(|secrets| secrets.get(name)) {
                    let message =
                        format!("{place}: `{key}` is in the function's `env` too: keep one of the two");
                    return Err(Error::new(ErrorKind::Config, message));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, resolve};
    use xcloud_core::spec::{FunctionSpec, Settings, TriggerSpec};

    fn extras(text: &str, stage: &str) -> Result<Extras> {
        let function = |name: &str| FunctionSpec {
            name: name.to_owned(),
            trigger: TriggerSpec::Raw,
            sends: Vec::new(),
            tables: Vec::new(),
            settings: Settings::default(),
        };
        let spec = Spec {
            version: 1,
            functions: vec![function("http"), function("fulfil-all")],
            queues: vec!["placed".to_owned()],
            ..Spec::default()
        };
        let manifest = Manifest::read(&Source::of(text)).unwrap();
        let spec = resolve(spec, &manifest, stage).unwrap();
        Extras::of(&manifest, stage, &spec)
    }

    #[test]
    fn stages_come_last() {
        let text = "[functions.fulfil_all]\nsecrets = { A = \"env:A\", B = \"env:B\" }\n\
                    [functions.fulfil_all.aws]\nrole = \"arn:aws:iam::1:role/a\"\n\
                    [queues.placed]\nexisting = \"dev-queue\"\n[stages.prod.queues.placed]\nexisting = \"arn:q\"\n\
                    [stages.prod.functions.fulfil_all]\nsecrets = { B = \"file:b\" }\naws = { role = \"arn:aws:iam::1:role/b\" }\n";
        for (stage, file, role, queue) in [("dev", false, "a", "dev-queue"), ("prod", true, "b", "arn:q")] {
            let extras = extras(text, stage).unwrap();
            let secrets = &extras.secrets["fulfil-all"];
            assert_eq!((secrets.len(), matches!(secrets["B"].value, Origin::File(_))), (2, file));
            assert_eq!(extras.native("aws")["fulfil-all"]["role"], format!("arn:aws:iam::1:role/{role}"));
            assert_eq!(extras.existing["queue/placed"], queue);
            assert!(extras.native("gcp").is_empty());
        }
    }

    #[test]
    fn a_variable_is_set_once_and_what_exists_is_the_apps() {
        let twice = "[functions.http]\nenv = { A = \"1\" }\n[stages.prod.functions.http]\nsecrets = { A = \"env:A\" }\n";
        assert!(extras(twice, "dev").is_ok());
        let error = extras(twice, "prod").unwrap_err();
        let message = error.message();
        assert!(message.starts_with("xcloud.toml:4: `stages.prod.functions.http.secrets.A`"), "{message}");
        let error = extras("[queues.place]\nexisting = \"x\"\n", "dev").unwrap_err();
        assert!(error.message().contains("no queue `place`: did you mean `placed`?"), "{error}");
    }

    #[test]
    fn limits_are_held_against_the_names_of_secrets_too() {
        let extras = extras("[functions.http]\nsecrets = { AWS_REGION = \"env:A\" }\n", "dev").unwrap();
        let mut spec = Spec::default();
        spec.functions.push(FunctionSpec {
            name: "http".to_owned(),
            trigger: TriggerSpec::Raw,
            sends: Vec::new(),
            tables: Vec::new(),
            settings: Settings::default(),
        });
        let env = extras.complete(&spec).functions[0].settings.env.clone().unwrap();
        assert_eq!(env.into_iter().collect::<Vec<_>>(), [("AWS_REGION".to_owned(), String::new())]);
    }
}
