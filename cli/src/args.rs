//! What can be typed.

use std::path::PathBuf;

use clap::{ArgAction, Args as Group, Parser, Subcommand, ValueEnum};

use crate::scaffold::Template;

/// One business function, the same bytes on every cloud.
#[derive(Debug, Parser)]
#[command(name = "xcloud", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Args {
    /// What every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Group)]
pub(crate) struct Global {
    /// Work in this directory
    #[arg(short = 'C', value_name = "DIR", global = true, default_value = ".")]
    pub directory: PathBuf,
    /// The project's file, instead of xcloud.toml
    #[arg(long, value_name = "FILE", global = true, env = "XCLOUD_CONFIG")]
    pub config: Option<PathBuf>,
    /// aws, azure, gcp, alibaba, local or all; `a,b` or repeated for several
    #[arg(short, long, value_name = "NAME", global = true, env = "XCLOUD_PROVIDER", value_delimiter = ',')]
    pub provider: Vec<String>,
    /// The stage
    #[arg(short, long, value_name = "NAME", global = true, env = "XCLOUD_STAGE", default_value = "dev")]
    pub stage: String,
    /// How to print: text, or one JSON object
    #[arg(short, long, value_name = "FORMAT", global = true, env = "XCLOUD_OUTPUT", default_value = "text")]
    pub output: Output,
    /// Do not ask
    #[arg(long, global = true)]
    pub yes: bool,
    /// Say more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say less
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Colours: auto, always or never
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub color: Color,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One object for scripts.
    Json,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Even into a pipe.
    Always,
    /// Not at all.
    Never,
}

/// The verbs that are there.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a new app
    New(New),
    /// Build one static binary, and each provider's package around it
    Build,
    /// Say what each provider cannot do as asked; no credentials needed
    Check(Check),
    /// Print what the app needs, as its binary says and xcloud.toml completes
    Describe,
    /// Show what a deployment would change
    Plan(Plan),
    #[cfg(feature = "local")]
    /// Serve the app here; build and swap whenever a source is saved
    Dev(Dev),
    /// Build, show what changes, and apply it
    Deploy(Deploy),
    /// Call a deployed function
    Invoke(Invoke),
    /// Print what deployed functions have logged
    Logs(Logs),
    /// Say how deployed functions are
    Status,
    #[cfg(feature = "local")]
    /// The local host: is it there, start it, end it
    Local(Local),
    /// Write xcloud.toml into an existing cargo package, and say what else it needs
    Init(Init),
    /// Print the JSON Schema of xcloud.toml
    Schema,
    /// Print a script that completes what is typed, for a shell
    Completions(Completions),
    /// Look whether this machine has what building and deploying need
    Doctor,
    /// What was measured of calls: counts, errors, times, processor, memory
    Metrics(Metrics),
    /// List the versions that are kept, and what each gets of the traffic
    Versions,
    /// Make an earlier version current: its code, environment, memory and timeouts
    Rollback(Rollback),
    /// Give versions shares of the traffic: `xcloud traffic v4=10`
    Traffic(Traffic),
    /// Take everything down
    Destroy(Destroy),
    /// Look at queues, try failed messages again, throw messages away
    Queue(Queue),
    /// Put an event in by hand, as if the platform had made it
    Emit(Emit),
}

/// `xcloud new`
#[derive(Debug, Group)]
pub(crate) struct New {
    /// The app's name: its directory, its package, the beginning of its resources' names
    pub name: String,
    /// What to begin with
    #[arg(short, long, value_name = "TEMPLATE", default_value = "http")]
    pub template: Template,
    /// Depend on the xcloud crate in this checkout
    #[arg(long, value_name = "DIR")]
    pub path_to_xcloud: Option<PathBuf>,
}

/// Where the binary comes from.
#[derive(Debug, Group)]
pub(crate) struct From {
    /// Take what the last build left in .xcloud/build
    #[arg(long)]
    pub no_build: bool,
    /// Take what a build left in DIR, a copy of .xcloud/build: build once, deploy many times
    #[arg(long, value_name = "DIR", conflicts_with = "no_build")]
    pub artifact: Option<PathBuf>,
}

/// `xcloud init`
#[derive(Debug, Group)]
pub(crate) struct Init {
    /// The project's name; the package's when absent
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Depend on the xcloud crate in this checkout
    #[arg(long, value_name = "DIR")]
    pub path_to_xcloud: Option<PathBuf>,
}

/// `xcloud completions`
#[derive(Debug, Group)]
pub(crate) struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `xcloud check`
#[derive(Debug, Group)]
pub(crate) struct Check {
    /// The binary
    #[command(flatten)]
    pub from: From,
}

/// `xcloud plan`
#[derive(Debug, Group)]
pub(crate) struct Plan {
    /// The binary
    #[command(flatten)]
    pub from: From,
    /// Exit with 3 when something would change
    #[arg(long)]
    pub exit_code: bool,
    /// Plan to delete queues and buckets that hold data
    #[arg(long)]
    pub delete_data: bool,
    /// Plan what `xcloud destroy` does; nothing is built
    #[arg(long, conflicts_with_all = ["no_build", "artifact"])]
    pub destroy: bool,
    /// Print the rights that applying this plan needs, in the provider's own form, instead of the plan
    #[arg(long, conflicts_with = "exit_code")]
    pub policy: bool,
}

/// `xcloud deploy`
#[derive(Debug, Group)]
pub(crate) struct Deploy {
    /// The binary
    #[command(flatten)]
    pub from: From,
    /// Delete queues and buckets that are no longer wanted, with what they hold
    #[arg(long)]
    pub delete_data: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Publish the new version without any traffic; `xcloud traffic` gives it some
    #[arg(long)]
    pub no_traffic: bool,
}

/// `xcloud dev`
#[cfg(feature = "local")]
#[derive(Debug, Group)]
pub(crate) struct Dev {
    /// The loopback port; the one of the last time, else the first free one from 8600
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// The cargo profile
    #[arg(long, value_name = "NAME", default_value = "dev")]
    pub profile: String,
    /// Call the app over this cloud's wire: aws, azure, gcp or alibaba; -v shows every call
    #[arg(long = "as", value_name = "CLOUD")]
    pub cloud: Option<String>,
}

/// `xcloud invoke`
#[derive(Debug, Group)]
pub(crate) struct Invoke {
    /// The function: `http`, or an event function's name
    #[arg(required_unless_present = "example")]
    pub function: Option<String>,
    /// Make the call up, for the first function of this kind: -d, --path and the others change it
    #[arg(long, value_name = "KIND")]
    pub example: Option<Example>,
    #[cfg(feature = "local")]
    /// Show the example as this cloud's event; sent where `xcloud dev --as` runs, printed elsewhere
    #[arg(long = "as", value_name = "CLOUD", requires = "example")]
    pub cloud: Option<String>,
    /// The body or message, or the CloudEvent for other kinds: text, @file, or - for standard input
    #[arg(short, long, value_name = "DATA")]
    pub data: Option<String>,
    /// HTTP method; POST with data, else GET
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    /// HTTP path and query
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// An HTTP header, `name: value`
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
}

/// What an example is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Example {
    /// A request of the first route
    Http,
    /// A message of a queue
    Queue,
    /// An object was put into a bucket; -d is its key
    Object,
    /// A schedule fires
    #[value(alias = "tick")]
    Schedule,
    /// A row was written; -d is the row
    Change,
    /// A message of a topic
    Topic,
    /// Any CloudEvent; -d is its data
    Event,
    /// Any other event
    Raw,
}

impl Example {
    /// The trigger's word in a Spec.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Queue => "queue",
            Self::Object => "object",
            Self::Schedule => "schedule",
            Self::Change => "change",
            Self::Topic => "topic",
            Self::Event => "event",
            Self::Raw => "raw",
        }
    }
}

/// `xcloud logs`
#[derive(Debug, Group)]
pub(crate) struct Logs {
    /// One function; all when absent
    pub function: Option<String>,
    /// At most so many lines, the newest
    #[arg(short = 'n', long, value_name = "LINES")]
    pub lines: Option<usize>,
    /// Go on with what is logged from now on, until Ctrl-C; with -o json one object a line
    #[arg(short, long)]
    pub follow: bool,
    /// Not older than this: 30s, 10m, 2h, 1d ago, or a time like 2026-11-25T09:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Of one call: its request id, or the end of it
    #[arg(long, value_name = "ID")]
    pub request: Option<String>,
}

/// `xcloud local`
#[cfg(feature = "local")]
#[derive(Debug, Group)]
pub(crate) struct Local {
    /// What to do
    #[command(subcommand)]
    pub action: LocalAction,
}

/// What to do with the local host.
#[cfg(feature = "local")]
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum LocalAction {
    /// Say whether it runs, and what it has
    Status,
    /// Start it with every app that is deployed; other commands do so when they need it
    Start,
    /// End it; calls on their way end first, and what is deployed stays deployed
    Stop,
}

/// `xcloud destroy`
#[derive(Debug, Group)]
pub(crate) struct Destroy {
    /// Delete queues and buckets too, with what they hold
    #[arg(long)]
    pub delete_data: bool,
}

/// `xcloud emit`
#[derive(Debug, Group)]
pub(crate) struct Emit {
    /// What happens
    #[command(subcommand)]
    pub verb: EmitVerb,
}

/// What `xcloud emit` can make happen.
#[derive(Debug, Subcommand)]
pub(crate) enum EmitVerb {
    /// A file is put into a bucket, or an object removed from it
    Object {
        /// The bucket
        bucket: String,
        /// The file; with --deleted the object's key
        file: PathBuf,
        /// The object's key; the file's name when absent
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Remove the object instead
        #[arg(long, conflicts_with = "key")]
        deleted: bool,
    },
    /// A schedule fires now
    Tick {
        /// The scheduled function
        function: String,
    },
    /// A message is sent to a queue
    Message {
        /// The queue
        queue: String,
        /// The message: text, @file, or - for standard input
        data: String,
    },
    /// A message is published
    Topic {
        /// The topic
        topic: String,
        /// The message: text, @file, or - for standard input
        data: String,
        /// An attribute, `name=value`
        #[arg(short, long = "attribute", value_name = "NAME=VALUE")]
        attributes: Vec<String>,
    },
    /// A row is written, or removed
    Change {
        /// The table
        table: String,
        /// The row's key
        key: String,
        /// The row, as JSON: text, @file, or - for standard input
        #[arg(required_unless_present = "deleted")]
        row: Option<String>,
        /// Remove the row instead
        #[arg(long, conflicts_with = "row")]
        deleted: bool,
    },
    /// Any CloudEvent; id, source and time are made where they are missing
    Event {
        /// The event as JSON: text, @file, or - for standard input
        event: String,
    },
}

/// `xcloud queue`
#[derive(Debug, Group)]
pub(crate) struct Queue {
    /// What to do with it
    #[command(subcommand)]
    pub verb: QueueVerb,
}

/// What `xcloud queue` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueVerb {
    /// List queues: messages that wait, are in flight, were put aside
    Ls,
    /// Show the oldest messages, without taking them
    Peek {
        /// The queue
        name: String,
        /// Those that were put aside
        #[arg(long)]
        dead: bool,
        /// At most so many
        #[arg(short, long, value_name = "MESSAGES", default_value_t = 10)]
        n: usize,
    },
    /// Let messages that were put aside wait again
    Redrive {
        /// The queue
        name: String,
    },
    /// Remove the messages that wait
    Purge {
        /// The queue
        name: String,
        /// Those that were put aside, instead
        #[arg(long)]
        dead: bool,
    },
}

/// `xcloud rollback`
#[derive(Debug, Group)]
pub(crate) struct Rollback {
    /// The version; the one before the current when absent
    #[arg(value_name = "vN")]
    pub to: Option<String>,
}

/// `xcloud traffic`
#[derive(Debug, Group)]
pub(crate) struct Traffic {
    /// A function (all when absent), then shares in percent: `fulfil v4=10`; with --promote a version: `v4`
    #[arg(value_name = "FUNCTION|vN=PERCENT")]
    pub words: Vec<String>,
    /// Make the version that has a share the current one
    #[arg(long)]
    pub promote: bool,
    /// Give everything back to the current version
    #[arg(long, conflicts_with = "promote")]
    pub abort: bool,
}

/// `xcloud metrics`
#[derive(Debug, Group)]
pub(crate) struct Metrics {
    /// One function; all when absent
    pub function: Option<String>,
    /// Show so many single calls, the newest
    #[arg(short = 'n', long, value_name = "CALLS", default_value_t = 10)]
    pub invocations: usize,
}
