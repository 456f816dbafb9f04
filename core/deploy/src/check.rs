//! What a platform can do, as a table of facts with their sources, and what of a Spec does not fit it. Pure: no
//! credentials, no calls.

use std::collections::BTreeMap;

use serde::Serialize;
use xcloud_core::env;
use xcloud_core::spec::{FunctionSpec, Settings, Spec, TriggerSpec};

use crate::provider::{Capability, Finding, Level, Stage};

/// A fact and the page that states it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Fact<T> {
    /// What is so.
    pub is: T,
    /// The page, or who says so.
    pub source: &'static str,
}

/// A fact from a page.
pub const fn fact<T>(is: T, source: &'static str) -> Fact<T> {
    Fact { is, source }
}

/// Which sizes of memory there are, in MiB.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// From, to, and the step between sizes.
    Range(u32, u32, u32),
    /// These, ascending.
    Sizes(&'static [u32]),
}

/// What carries a name that the platform limits.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Named {
    /// Each function: `<project>-<stage>-<function>`, at most so many characters.
    Function(usize),
    /// The app that holds all functions: `<project>-<stage>`.
    App(usize),
}

/// What a platform can do.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// `aws`, `azure`, `gcp`, `alibaba`.
    pub provider: &'static str,
    /// Its name in messages.
    pub platform: &'static str,
    /// The kinds of trigger that it delivers.
    pub triggers: Fact<&'static [&'static str]>,
    /// The most messages in one call; `None`: no limit is known.
    pub batch: Fact<Option<u32>>,
    /// Whether single messages of a batch can be retried.
    pub partial_failure: Fact<bool>,
    /// Whether an HTTP answer can be streamed.
    pub streaming: Fact<bool>,
    /// The longest call in seconds; `None`: no limit.
    pub timeout: Fact<Option<u32>>,
    /// The longest call for a message in seconds, where that is another limit.
    pub queue_timeout: Option<Fact<u32>>,
    /// Memory per instance.
    pub memory: Fact<Memory>,
    /// The most calls at the same time in one instance.
    pub concurrency: Fact<u32>,
    /// What `max_instances` may be.
    pub max_instances: Option<Fact<(u32, u32)>>,
    /// What `max_attempts` may be.
    pub max_attempts: Option<Fact<(u32, u32)>>,
    /// The longest name.
    pub name: Fact<Named>,
    /// The longest name of a queue.
    pub queue_name: Fact<usize>,
    /// The largest HTTP request in bytes.
    pub request: Fact<u64>,
    /// The largest buffered HTTP answer in bytes; `None`: no limit is known.
    pub response: Fact<Option<u64>>,
    /// The largest message in bytes.
    pub message: Fact<u64>,
    /// The largest package in bytes that is uploaded directly.
    pub package: Fact<u64>,
    /// All names and values of the environment together, in bytes.
    pub env: Option<Fact<usize>>,
    /// Names of the environment that the platform keeps; `*` at the end stands for any rest.
    pub reserved_env: Fact<&'static [&'static str]>,
    /// The scheme over which functions send to the platform's queues; `None`: this version of xcloud cannot.
    pub sends: Option<&'static str>,
}

impl Limits {
    /// The same facts as the [`crate::Provider`] trait gives them.
    pub fn capability(&self) -> Capability {
        let largest = match self.memory.is {
            Memory::Range(_, most, _) => Some(most),
            Memory::Sizes(sizes) => sizes.last().copied(),
        };
        Capability {
            triggers: self.triggers.is.to_vec(),
            batch: self.batch.is,
            partial_failure: self.partial_failure.is,
            streaming: self.streaming.is,
            timeout_seconds: self.timeout.is,
            memory_mb: largest,
        }
    }

    /// What of a Spec does not fit, function by function.
    fn check(&self, stage: &Stage, spec: &Spec) -> Report {
        let mut report = Report::new(self.provider);
        if let Named::App(most) = self.name.is {
            let name = format!("{}-{}", stage.project, stage.stage);
            self.name_fits(&mut report, "", &name, most, self.name.source);
        }
        for function in &spec.functions {
            self.trigger(&mut report, function);
            self.settings(&mut report, function);
            if let Named::Function(most) = self.name.is {
                let name = format!("{}-{}-{}", stage.project, stage.stage, function.name);
                self.name_fits(&mut report, &function.name, &name, most, self.name.source);
            }
            self.sends(&mut report, spec, function);
            self.tables(&mut report, function);
        }
        for queue in &spec.queues {
            let name = format!("{}-{}-{queue}", stage.project, stage.stage);
            self.name_fits(&mut report, "", &name, self.queue_name.is, self.queue_name.source);
        }
        report
    }

    fn trigger(&self, report: &mut Report, function: &FunctionSpec) {
        let kind = function.trigger.kind();
        if !self.triggers.is.contains(&kind) {
            let what =
                format!("{} has no trigger of the kind `{kind}`: nothing would call it", self.platform);
            report.error(&function.name, "trigger-unsupported", what, self.triggers.source);
        }
        let TriggerSpec::Queue { batch: Some(batch), .. } = function.trigger else { return };
        let delivered = match self.batch.is {
            Some(most) if batch > most => {
                let what =
                    format!("`batch = {batch}`: {} delivers at most {most} in one call", self.platform);
                report.warning(&function.name, "batch-clamped", what, self.batch.source);
                most
            }
            _ => batch,
        };
        if delivered > 1 && !self.partial_failure.is {
            let what = format!(
                "{} cannot retry one message of a batch: when one fails, all {delivered} come again",
                self.platform
            );
            report.warning(&function.name, "partial-failure", what, self.partial_failure.source);
        }
    }

    fn settings(&self, report: &mut Report, function: &FunctionSpec) {
        let (name, settings) = (&function.name, &function.settings);
        self.time(report, function);
        if let Some(mb) = settings.memory_mb {
            self.memory(report, name, mb);
        }
        if let Some(wanted) = settings.concurrency.filter(|n| *n > self.concurrency.is) {
            let most = self.concurrency.is;
            let what = format!("`concurrency = {wanted}`: an instance of {} takes {most}", self.platform);
            report.warning(name, "concurrency-clamped", what, self.concurrency.source);
        }
        let ranges = [
            ("max_instances", "instances-clamped", settings.max_instances, self.max_instances),
            ("max_attempts", "attempts-clamped", settings.max_attempts, self.max_attempts),
        ];
        for (key, code, wanted, range) in ranges {
            let (Some(wanted), Some(Fact { is: (least, most), source })) = (wanted, range) else { continue };
            if !(least..=most).contains(&wanted) {
                let nearest = wanted.clamp(least, most);
                let what = format!(
                    "`{key} = {wanted}`: {} takes {least} to {most}, so it will be {nearest}",
                    self.platform
                );
                report.warning(name, code, what, source);
            }
        }
        self.environment(report, name, settings);
    }

    fn time(&self, report: &mut Report, function: &FunctionSpec) {
        let Some(seconds) = function.settings.timeout_seconds else { return };
        let is_queue = matches!(function.trigger, TriggerSpec::Queue { .. });
        let of_queue = self.queue_timeout.filter(|_| is_queue).map(|f| (f.is, f.source));
        let Some((most, source)) = of_queue.or(self.timeout.is.map(|most| (most, self.timeout.source)))
        else {
            return;
        };
        if seconds > most {
            let what = format!(
                "`timeout` of {seconds} s: {} ends a call of this kind after {most} s",
                self.platform
            );
            report.error(&function.name, "timeout-too-long", what, source);
        }
    }

    fn memory(&self, report: &mut Report, name: &str, mb: u32) {
        let (least, most, next) = match self.memory.is {
            Memory::Range(least, most, step) => (least, most, mb.div_ceil(step).saturating_mul(step)),
            Memory::Sizes(sizes) => {
                let (least, most) = (sizes.first().copied().unwrap_or(0), sizes.last().copied().unwrap_or(0));
                // Every size that is offered costs more than a smaller one, and a smaller wish is met by the least.
                (0, most, sizes.iter().copied().find(|size| *size >= mb).unwrap_or(least))
            }
        };
        let platform = self.platform;
        if mb < least {
            let what = format!("`memory` of {mb} MB: {platform} gives at least {least} MB");
            report.error(name, "memory-too-small", what, self.memory.source);
        } else if mb > most {
            let what = format!("`memory` of {mb} MB: {platform} gives at most {most} MB");
            report.error(name, "memory-too-large", what, self.memory.source);
        } else if next != mb {
            let what = format!("`memory` of {mb} MB: {platform} has no such size, it will be {next} MB");
            report.warning(name, "memory-rounded", what, self.memory.source);
        }
    }

    fn environment(&self, report: &mut Report, name: &str, settings: &Settings) {
        let none = BTreeMap::new();
        let vars = settings.env.as_ref().unwrap_or(&none);
        let bytes: usize = vars.iter().map(|(key, value)| key.len() + value.len()).sum();
        if let Some(most) = self.env.filter(|most| bytes > most.is) {
            let what = format!("`env` has {bytes} bytes: {} takes {}", self.platform, most.is);
            report.error(name, "env-too-large", what, most.source);
        }
        let kept = |key: &str| {
            self.reserved_env.is.iter().any(|reserved| match reserved.strip_suffix('*') {
                Some(prefix) => key.starts_with(prefix),
                None => key == *reserved,
            })
        };
        for key in vars.keys().filter(|key| kept(key)) {
            let what = format!("`env.{key}`: {} keeps that name for itself", self.platform);
            report.error(name, "env-reserved", what, self.reserved_env.source);
        }
        let body = vars.get(env::MAX_BODY).and_then(|text| text.parse::<u64>().ok());
        if let Some(body) = body.filter(|body| *body > self.request.is) {
            let what = format!(
                "`env.{}` of {body} bytes: {} refuses requests over {} bytes before they reach the app",
                env::MAX_BODY,
                self.platform,
                self.request.is
            );
            report.warning(name, "payload-limit", what, self.request.source);
        }
    }

    fn sends(&self, report: &mut Report, spec: &Spec, function: &FunctionSpec) {
        if function.sends.is_empty() {
            return;
        }
        if let Some(scheme) = self.sends {
            if !spec.sends_over.iter().any(|known| known == scheme) {
                let what = format!(
                    "sending to `{}` needs the feature `bindings` of the crate xcloud, which this binary was built \
                     without: name a feature that turns it on under `[build] features`",
                    function.sends.join("`, `")
                );
                report.error(&function.name, "sends-unbound", what, "");
            }
            return;
        }
        let what = format!(
            "sending to `{}`: this version of xcloud sends to queues of the local provider only; on {} it answers 503",
            function.sends.join("`, `"),
            self.platform
        );
        report.warning(&function.name, "sends-unbound", what, "");
    }

    fn tables(&self, report: &mut Report, function: &FunctionSpec) {
        if function.tables.is_empty() {
            return;
        }
        let what = format!(
            "using table `{}`: this version of xcloud has tables on the local provider only; on {} it answers 503",
            function.tables.join("`, `"),
            self.platform
        );
        report.warning(&function.name, "tables-unbound", what, "");
    }

    fn name_fits(&self, report: &mut Report, function: &str, name: &str, most: usize, source: &str) {
        if name.len() > most {
            let what = format!(
                "`{name}` has {} characters: {} takes {most}, so it will be shortened, a hash at its end",
                name.len(),
                self.platform
            );
            report.warning(function, "name-shortened", what, source);
        }
    }
}

/// Findings of one provider as they are made.
#[derive(Debug)]
pub struct Report {
    provider: &'static str,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Nothing found yet.
    pub const fn new(provider: &'static str) -> Self {
        Self { provider, findings: Vec::new() }
    }

    /// What of a Spec does not fit the limits; a room adds what only it knows.
    pub fn of(limits: &Limits, stage: &Stage, spec: &Spec) -> Self {
        limits.check(stage, spec)
    }

    /// It will not work. An empty `function` is the whole app; an empty `source` adds no page to the message.
    pub fn error(&mut self, function: &str, code: &str, what: String, source: &str) {
        self.add(Level::Error, function, code, what, source);
    }

    /// It will work differently.
    pub fn warning(&mut self, function: &str, code: &str, what: String, source: &str) {
        self.add(Level::Warning, function, code, what, source);
    }

    fn add(&mut self, level: Level, function: &str, code: &str, what: String, source: &str) {
        let message = if source.is_empty() { what } else { format!("{what} ({source})") };
        self.findings.push(Finding {
            provider: self.provider.to_owned(),
            function: function.to_owned(),
            level,
            code: code.to_owned(),
            message,
        });
    }
}
