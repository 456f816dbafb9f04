//! The providers that this build has: one line each.

#[cfg(feature = "local")]
use xcloud_core::event::Incoming;
use xcloud_core::spec::Spec;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Artifact, Binary, Events, Finding, Operate, Provider, Queues, Stage};
#[cfg(feature = "local")]
use xcloud_local::bridge::{Cloud, Start};

use crate::config::Manifest;

/// Starts the local host. Not for typing.
#[cfg(feature = "local")]
pub(crate) const HOST_VERB: &str = "__host";

/// Puts a cloud's host between the local host and a function. Not for typing.
#[cfg(feature = "local")]
pub(crate) const BRIDGE_VERB: &str = "__as";

/// The clouds that `dev --as` can be, each with its side of the wire.
#[cfg(feature = "local")]
pub(crate) const HOSTS: &[(Cloud, WireForm)] = &[
    #[cfg(feature = "aws")]
    (
        Cloud { one_call: true, ..cloud("aws", |l| Box::pin(xcloud_aws::host::start(l))) },
        xcloud_aws::host::wire_form,
    ),
    #[cfg(feature = "azure")]
    (
        Cloud { one_site: true, ..cloud("azure", |l| Box::pin(xcloud_azure::host::start(l))) },
        xcloud_azure::host::wire_form,
    ),
    #[cfg(feature = "gcp")]
    (cloud("gcp", |l| Box::pin(xcloud_gcp::host::start(l))), xcloud_gcp::host::wire_form),
    #[cfg(feature = "alibaba")]
    (cloud("alibaba", |l| Box::pin(xcloud_alibaba::host::start(l))), xcloud_alibaba::host::wire_form),
];

/// The local host behind itself: nothing changes, and every call can be seen.
#[cfg(feature = "local")]
pub(crate) const LOCAL: Cloud = cloud("local", |l| Box::pin(xcloud_local::host::start(l)));

/// An event as a cloud writes it, of a call's id, a function and its queue.
#[cfg(feature = "local")]
pub(crate) type WireForm = fn(&str, &str, &str, Incoming) -> Result<String>;

#[cfg(feature = "local")]
const fn cloud(name: &'static str, start: Start) -> Cloud {
    Cloud { name, start, one_site: false, one_call: false }
}

/// The host of a cloud.
///
/// # Errors
/// [`ErrorKind::Config`] when this build has none of this name.
#[cfg(feature = "local")]
pub(crate) fn host(name: &str) -> Result<&'static (Cloud, WireForm)> {
    HOSTS.iter().find(|(cloud, _)| cloud.name == name).ok_or_else(|| {
        let known: Vec<_> = HOSTS.iter().map(|(cloud, _)| cloud.name).collect();
        Error::new(ErrorKind::Config, format!("no cloud `{name}`; --as takes {}", known.join(", ")))
    })
}

/// Makes a package. Pure.
pub(crate) type Package = fn(&Stage, &Binary, &Spec) -> Result<Artifact>;

/// What `build` packages for when nothing else is said.
pub(crate) const CLOUDS: [&str; 4] = ["aws", "azure", "gcp", "alibaba"];

/// Finds what does not fit. Pure.
pub(crate) type Check = fn(&Stage, &Spec) -> Vec<Finding>;

/// All that are built in.
pub(crate) const PACKAGES: &[(&str, Package, Check)] = &[
    #[cfg(feature = "aws")]
    ("aws", xcloud_aws_deploy::package::package, xcloud_aws_deploy::check::check),
    #[cfg(feature = "azure")]
    ("azure", xcloud_azure_deploy::package::package, xcloud_azure_deploy::check::check),
    #[cfg(feature = "gcp")]
    ("gcp", xcloud_gcp_deploy::package::package, xcloud_gcp_deploy::check::check),
    #[cfg(feature = "alibaba")]
    ("alibaba", xcloud_alibaba_deploy::package::package, xcloud_alibaba_deploy::check::check),
    #[cfg(feature = "local")]
    ("local", xcloud_local_deploy::package::package, xcloud_local_deploy::check::check),
];

/// A provider that can be deployed to.
pub(crate) trait Deployable: Provider + Operate {
    /// Its queues.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where xcloud does not look into them.
    fn as_queues(&self) -> Result<&dyn Queues> {
        Err(Error::new(ErrorKind::Config, format!("`xcloud queue` is not there for {} yet", self.id())))
    }

    /// Where events are put in by hand.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where xcloud cannot.
    fn as_events(&self) -> Result<&dyn Events> {
        let message = format!(
            "`xcloud emit` is for `local` and `xcloud dev`; on {} use its own tools to put an event in",
            self.id()
        );
        Err(Error::new(ErrorKind::Config, message))
    }
}

#[cfg(feature = "local")]
impl Deployable for xcloud_local_deploy::Local {
    fn as_queues(&self) -> Result<&dyn Queues> {
        Ok(self)
    }

    fn as_events(&self) -> Result<&dyn Events> {
        Ok(self)
    }
}

#[cfg(feature = "aws")]
impl Deployable for xcloud_aws_deploy::Aws {}

/// The names, checked; `all` is every provider of this build.
///
/// # Errors
/// [`ErrorKind::Config`] for a name that is none.
pub(crate) fn names(asked: &[String]) -> Result<Vec<&'static str>> {
    let mut names: Vec<&'static str> = Vec::new();
    for name in asked.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let found: Vec<_> =
            PACKAGES.iter().map(|(n, ..)| *n).filter(|n| name == "all" || *n == name).collect();
        if found.is_empty() {
            let known: Vec<_> = PACKAGES.iter().map(|(n, ..)| *n).collect();
            let message = format!("no provider `{name}`; this build has {}, and `all`", known.join(", "));
            return Err(Error::new(ErrorKind::Config, message));
        }
        for name in found {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// How to package for a provider.
///
/// # Errors
/// [`ErrorKind::Config`] when this build does not have it.
pub(crate) fn package(name: &str) -> Result<Package> {
    entry(name).map(|(_, package, _)| *package)
}

/// How to check for a provider.
///
/// # Errors
/// [`ErrorKind::Config`] when this build does not have it.
pub(crate) fn check(name: &str) -> Result<Check> {
    entry(name).map(|(.., check)| *check)
}

fn entry(name: &str) -> Result<&'static (&'static str, Package, Check)> {
    let found = PACKAGES.iter().find(|(n, ..)| *n == name);
    found.ok_or_else(|| Error::new(ErrorKind::Config, format!("this build has no provider `{name}`")))
}

/// Opens a provider to deploy to.
///
/// # Errors
/// [`ErrorKind::Config`]: so far only the local one can be deployed to.
#[cfg_attr(
    not(any(feature = "local", feature = "aws")),
    expect(unused_variables, reason = "only the local provider is set up by it")
)]
pub(crate) fn open(name: &str, manifest: &Manifest) -> Result<Box<dyn Deployable>> {
    #[cfg(feature = "local")]
    if name == "local" {
        let settings = xcloud_local_deploy::HostSettings {
            idle_timeout_seconds: manifest.local.idle_timeout_seconds,
            keep_versions: manifest.keep_versions,
        };
        return Ok(Box::new(local(manifest.local.durability.as_deref())?.with(settings)));
    }
    #[cfg(feature = "aws")]
    if name == "aws" {
        let crate::config::AwsTable { region, profile, endpoint, endpoints } = manifest.aws.clone();
        let keep_versions = manifest.keep_versions;
        let config = xcloud_aws_deploy::Config { region, profile, endpoint, endpoints, keep_versions };
        return Ok(Box::new(xcloud_aws_deploy::Aws::new(config)));
    }
    let message = format!(
        "xcloud cannot deploy to {name} yet: this version deploys to `local` and `aws`, and `xcloud build -p {name}` makes the \
         package for {name}"
    );
    Err(Error::new(ErrorKind::Config, message))
}

/// The local provider; `durability` as xcloud.toml has it.
///
/// # Errors
/// [`ErrorKind::Config`]: no directory for its host, or no such durability.
#[cfg(feature = "local")]
pub(crate) fn local(durability: Option<&str>) -> Result<xcloud_local_deploy::Local> {
    let home = xcloud_local_deploy::Config::default_home(|name| std::env::var(name).ok())?;
    let program = std::env::current_exe()?;
    let host_command = vec![program.into_os_string(), HOST_VERB.into()];
    let durability = durability.map(str::parse).transpose()?;
    let config =
        xcloud_local_deploy::Config { home, host_command, durability, notice: crate::printer::notice };
    Ok(xcloud_local_deploy::Local::new(config))
}
