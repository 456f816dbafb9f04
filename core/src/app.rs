//! `App`: the functions of a program, its state, and how they are called.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body::Body as HttpBody;
use tower_service::Service as TowerService;

use crate::body::Body;
use crate::context::{Context, Parts};
use crate::cors::Cors;
use crate::env;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::event::{Incoming, Record, TriggerKind};
use crate::handler::{Descriptor, DynFunction, Entry, Function, State, Trigger};
use crate::instance::Instance;
use crate::linked;
use crate::outcome::{Outcome, Response, error_response};
use crate::queue::BoxFuture;
use crate::route::{Found, Router, not_found, wrong_method};
use crate::spec::{self, FunctionSpec, RouteSpec, Settings, Spec, TriggerSpec};

type Init<S> = Box<dyn FnOnce() -> BoxFuture<'static, Result<S>> + Send>;
type Hook<S> = Box<dyn FnOnce(State<S>) -> BoxFuture<'static, ()> + Send>;
type Mounted = Arc<dyn Fn(http::Request<Body>) -> BoxFuture<'static, Result<Response>> + Send + Sync>;

/// A list of functions over the same state, made by `xcloud::functions![…]`.
pub struct Functions<S>(Vec<Box<dyn DynFunction<S>>>);

impl<S: Send + Sync + 'static> Functions<S> {
    /// An empty list.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The list with one more.
    #[must_use]
    pub fn with<F: Function<S>>(mut self) -> Self {
        const {
            let descriptor = F::DESCRIPTOR;
            assert!(
                descriptor.trigger.kind() as u8 == <F::Event as crate::Event>::KIND as u8,
                "the handler's trigger is of another kind than its event"
            );
            assert!(
                descriptor.sends.len() == <F::Args as crate::FromContext<S>>::SENDS,
                "the handler has not one name in `sends` for each `Sender` argument"
            );
            assert!(
                descriptor.tables.len() == <F::Args as crate::FromContext<S>>::TABLES,
                "the handler has not one name in `tables` for each `Table` argument"
            );
        }
        if const { F::DESCRIPTOR.trigger.kind().is_record() } {
            linked::RECORDS.raise();
        }
        if const { !F::DESCRIPTOR.sends.is_empty() } {
            linked::SENDERS.raise();
        }
        if const { !F::DESCRIPTOR.tables.is_empty() } {
            linked::TABLES.raise();
        }
        self.0.push(Box::new(Entry::<F>(PhantomData)));
        self
    }
}

impl<S: Send + Sync + 'static> Default for Functions<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// A program: state, functions, perhaps a mounted HTTP service. `xcloud::run` runs it.
pub struct App<S> {
    init: Init<S>,
    functions: Vec<Box<dyn DynFunction<S>>>,
    mounted: Option<Mounted>,
    shutdown: Option<Hook<S>>,
}

impl App<()> {
    /// An app without state.
    pub fn new() -> Self {
        Self::init(|| async { Ok::<_, Error>(()) })
    }
}

impl Default for App<()> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Send + Sync + 'static> App<S> {
    /// An app whose state is made by `init`, once per instance and before the first event. When it fails, the
    /// platform is told so and the instance ends.
    pub fn init<F, Fut, E>(init: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        E: Into<Error>,
    {
        let init: Init<S> = Box::new(move || Box::pin(async move { init().await.map_err(Into::into) }));
        Self { init, functions: Vec::new(), mounted: None, shutdown: None }
    }

    /// Adds functions: `.functions(xcloud::functions![create_order, fulfil])`.
    #[must_use]
    pub fn functions(mut self, functions: Functions<S>) -> Self {
        self.functions.extend(functions.0);
        self
    }

    /// Mounts a whole HTTP service, such as an axum `Router`: it answers every request that no handler's route takes.
    #[must_use]
    pub fn http<H, B>(mut self, service: H) -> Self
    where
        H: TowerService<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        H::Error: Into<BoxError>,
        H::Future: Send,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.mounted = Some(Arc::new(move |request| {
            let mut service = service.clone();
            Box::pin(async move {
                let failed = |e: H::Error| Error::handler("the mounted HTTP service failed").caused_by(e);
                std::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(failed)?;
                Ok(service.call(request).await.map_err(failed)?.map(Body::from_http_body))
            })
        }));
        self
    }

    /// Runs when the platform ends the instance, where it says so in time (on Lambda this registers an extension).
    #[must_use]
    pub fn on_shutdown<F, Fut>(mut self, hook: F) -> Self
    where
        F: FnOnce(State<S>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.shutdown = Some(Box::new(move |state| Box::pin(hook(state))));
        self
    }

    /// What this app needs of a platform.
    pub fn describe(&self) -> Spec {
        let mut http = FunctionSpec {
            name: spec::HTTP_FUNCTION.to_owned(),
            trigger: TriggerSpec::Raw,
            sends: Vec::new(),
            tables: Vec::new(),
            settings: Settings::default(),
        };
        let (mut routes, mut others) = (Vec::new(), Vec::new());
        let mut spec = Spec { version: spec::VERSION, ..Spec::default() };
        for descriptor in self.functions.iter().map(|f| f.descriptor()) {
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<String>>();
            let (sends, tables) = (owned(descriptor.sends), owned(descriptor.tables));
            sends.iter().for_each(|queue| add(&mut spec.queues, queue));
            tables.iter().for_each(|table| add(&mut spec.tables, table));
            let trigger = match descriptor.trigger {
                Trigger::Http { method, path } => {
                    let method = method.map(str::to_owned);
                    routes.push(RouteSpec {
                        method,
                        path: path.to_owned(),
                        handler: descriptor.name.to_owned(),
                    });
                    sends.iter().for_each(|queue| add(&mut http.sends, queue));
                    tables.iter().for_each(|table| add(&mut http.tables, table));
                    continue;
                }
                Trigger::Queue { queue, batch } => {
                    add(&mut spec.queues, queue);
                    TriggerSpec::Queue { queue: queue.to_owned(), batch }
                }
                Trigger::Raw => TriggerSpec::Raw,
                Trigger::Event => TriggerSpec::Event,
                Trigger::Object { bucket, on } => {
                    add(&mut spec.buckets, bucket);
                    TriggerSpec::Object { bucket: bucket.to_owned(), on }
                }
                Trigger::Schedule { schedule, timezone } => TriggerSpec::Schedule {
                    schedule: schedule.to_owned(),
                    timezone: timezone.map(str::to_owned),
                },
                Trigger::Change { table } => {
                    add(&mut spec.tables, table);
                    TriggerSpec::Change { table: table.to_owned() }
                }
                Trigger::Topic { topic } => {
                    add(&mut spec.topics, topic);
                    TriggerSpec::Topic { topic: topic.to_owned() }
                }
            };
            let name = env::cloud_name(descriptor.name);
            others.push(FunctionSpec { name, trigger, sends, tables, settings: Settings::default() });
        }
        let mut functions = Vec::with_capacity(others.len() + 1);
        if !routes.is_empty() || self.mounted.is_some() {
            http.trigger = TriggerSpec::Http { routes, mounted: self.mounted.is_some() };
            functions.push(http);
        }
        functions.extend(others);
        spec.functions = functions;
        spec
    }

    /// The app with its state type erased, as rooms take it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: two functions of one name, two routes of one shape, a function named `http`.
    pub fn into_program(self) -> Result<Program> {
        let spec = self.describe();
        check_names(&spec)?;
        let mut router = Router::default();
        for (index, function) in self.functions.iter().enumerate() {
            if let Trigger::Http { method, path } = function.descriptor().trigger {
                router.add(method, path, index)?;
            }
        }
        let events = self.events();
        let has_shutdown = self.shutdown.is_some();
        let Self { init, functions, mounted, shutdown } = self;
        let start = Box::new(move |instance: Arc<Instance>| -> BoxFuture<'static, Result<Started>> {
            Box::pin(async move {
                let state = Arc::new(crate::handler::catch(async { init().await }).await?);
                let hook = shutdown.map(|hook| {
                    let state = State::from(Arc::clone(&state));
                    Box::new(move || hook(state)) as Shutdown
                });
                let dispatch: Arc<dyn Dispatch> =
                    Arc::new(Running { functions, mounted, router, state, instance });
                Ok((dispatch, hook))
            })
        });
        Ok(Program { spec, events, has_shutdown, start })
    }

    fn events(&self) -> Vec<EventFunction> {
        let event = |(index, descriptor): (usize, &'static Descriptor)| {
            let (kind, source) = (descriptor.trigger.kind(), descriptor.trigger.source());
            let name = env::cloud_name(descriptor.name);
            (kind != TriggerKind::Http).then_some(EventFunction { index, name, kind, source })
        };
        self.functions.iter().map(|f| f.descriptor()).enumerate().filter_map(event).collect()
    }
}

/// Puts a name where it belongs in a sorted list, once: a sort would be 9 kB of every binary.
fn add(names: &mut Vec<String>, name: &str) {
    if let Err(at) = names.binary_search_by(|known| known.as_str().cmp(name)) {
        names.insert(at, name.to_owned());
    }
}

fn check_names(spec: &Spec) -> Result<()> {
    let config = |message: String| Err(Error::new(ErrorKind::Config, message));
    for (i, function) in spec.functions.iter().enumerate() {
        if function.name == spec::HTTP_FUNCTION && !matches!(function.trigger, TriggerSpec::Http { .. }) {
            return config(
                "a function cannot be named `http`: that is the function of all HTTP handlers".to_owned(),
            );
        }
        if spec.functions[..i].iter().any(|other| other.name == function.name) {
            return config(format!("two functions have the cloud name `{}`", function.name));
        }
    }
    if spec.functions.is_empty() {
        return config(
            "the app has no functions: add them with `.functions(xcloud::functions![…])`".to_owned(),
        );
    }
    Ok(())
}

/// A function that answers events other than HTTP.
#[derive(Debug, Clone)]
pub struct EventFunction {
    index: usize,
    /// Its cloud name.
    pub name: String,
    /// The kind of its trigger.
    pub kind: TriggerKind,
    /// The name in the app of its queue, bucket, table or topic.
    pub source: Option<&'static str>,
}

type Shutdown = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;
type Started = (Arc<dyn Dispatch>, Option<Shutdown>);
type Start = Box<dyn FnOnce(Arc<Instance>) -> BoxFuture<'static, Result<Started>> + Send>;

/// An app before init, its state type erased: what `xcloud::run` hands to a room.
pub struct Program {
    spec: Spec,
    events: Vec<EventFunction>,
    has_shutdown: bool,
    start: Start,
}

impl Program {
    /// What it needs.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Whether a function of it sends to a queue: else no transport need be linked.
    pub fn sends(&self) -> bool {
        linked::SENDERS.is_up() && self.spec.functions.iter().any(|f| !f.sends.is_empty())
    }

    /// Whether a function of it uses a table, as [`Program::sends`].
    pub fn uses_tables(&self) -> bool {
        linked::TABLES.is_up() && self.spec.functions.iter().any(|f| !f.tables.is_empty())
    }

    /// Whether the app wants to know when the instance ends.
    pub fn has_shutdown_hook(&self) -> bool {
        self.has_shutdown
    }

    /// Runs the app's init and makes it callable. `only` is the comma list of `XCLOUD_FUNCTION`: the functions that
    /// this instance serves.
    ///
    /// # Errors
    /// What the app's init returned (a panic in it is one), or [`ErrorKind::Config`] when `only` names no function of the app.
    pub async fn start(self, instance: Arc<Instance>, only: Option<&str>) -> Result<Service> {
        let only: Option<Vec<&str>> = only.map(|list| list.split(',').map(str::trim).collect());
        for name in only.iter().flatten() {
            if self.spec.function(name).is_none() {
                let known: Vec<_> = self.spec.functions.iter().map(|f| f.name.as_str()).collect();
                let known = known.join(", ");
                let message = format!("{}: the app has no function `{name}`; it has {known}", env::FUNCTION);
                return Err(Error::new(ErrorKind::Config, message));
            }
        }
        let serves = |name: &str| only.as_ref().is_none_or(|list| list.contains(&name));
        let http = self.spec.function(spec::HTTP_FUNCTION).is_some() && serves(spec::HTTP_FUNCTION);
        let events: Vec<_> = self.events.into_iter().filter(|e| serves(&e.name)).collect();
        let records = events.iter().any(|e| e.kind.is_record());
        #[cfg(feature = "tracing")]
        crate::log::tracing::install(&instance);
        let cors = env::var(env::CORS).filter(|_| http).map(|text| Cors::parse(&text)).transpose()?;
        let (dispatch, shutdown) = (self.start)(instance).await?;
        let shared = Shared {
            dispatch,
            http,
            cors,
            events,
            records,
            cold: AtomicBool::new(true),
            shutdown: std::sync::Mutex::new(shutdown),
        };
        Ok(Service(Arc::new(shared)))
    }
}

/// A running app. Cheap to clone; every call is independent.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

struct Shared {
    dispatch: Arc<dyn Dispatch>,
    http: bool,
    cors: Option<Cors>,
    events: Vec<EventFunction>,
    records: bool,
    cold: AtomicBool,
    shutdown: std::sync::Mutex<Option<Shutdown>>,
}

/// Which function an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target(usize);

impl Service {
    /// Whether this instance answers HTTP requests.
    pub fn serves_http(&self) -> bool {
        self.0.http
    }

    /// Who may read HTTP answers in a browser, where the configuration says so.
    pub fn cors(&self) -> Option<&Cors> {
        self.0.cors.as_ref()
    }

    /// The event functions that this instance serves.
    pub fn events(&self) -> &[EventFunction] {
        &self.0.events
    }

    /// Whether a function of this instance takes records. A room reads them only then: what it calls under this and
    /// nowhere else is not linked into a program that has no such function.
    pub fn takes_records(&self) -> bool {
        linked::RECORDS.is_up() && self.0.records
    }

    /// The function for messages of a queue that the platform calls `source`: the one whose queue has that name
    /// (cloud names are `<project>-<stage>-<queue>`), or the only queue function of the instance.
    ///
    /// # Errors
    /// [`ErrorKind::BadEvent`] saying which queues are served.
    pub fn queue_target(&self, source: &str) -> Result<Target> {
        self.source_target(&[TriggerKind::Queue], source)
    }

    /// The queue or topic function for a message, where the platform carries both in the same way.
    ///
    /// # Errors
    /// [`ErrorKind::BadEvent`] saying what is served.
    pub fn message_target(&self, source: &str) -> Result<Target> {
        self.source_target(&[TriggerKind::Queue, TriggerKind::Topic], source)
    }

    /// The function for a record: of its kind and source as [`Service::queue_target`] says, else the one that takes any
    /// CloudEvent.
    ///
    /// # Errors
    /// [`ErrorKind::BadEvent`] saying what is served.
    pub fn record_target(&self, record: &Record) -> Result<Target> {
        let any = || self.0.events.iter().find(|e| e.kind == TriggerKind::Event).map(|e| Target(e.index));
        self.source_target(&[record.kind()], &record.source).or_else(|error| any().ok_or(error))
    }

    fn source_target(&self, kinds: &[TriggerKind], source: &str) -> Result<Target> {
        let functions = || self.0.events.iter().filter(|e| kinds.contains(&e.kind));
        // A schedule is known by its function's name.
        let name = |e: &EventFunction| e.source.map_or_else(|| e.name.clone(), str::to_owned);
        let named =
            |name: &str| source == name || source.strip_suffix(name).is_some_and(|p| p.ends_with('-'));
        // The longest name wins, so that `orders-dead` is not taken for `dead`.
        let found = functions().filter(|e| named(&name(e))).max_by_key(|e| name(e).len());
        if let Some(event) = found {
            return Ok(Target(event.index));
        }
        let all: Vec<_> = functions().collect();
        let kind = kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or ");
        match all.as_slice() {
            [event] => Ok(Target(event.index)),
            [] => Err(Error::new(ErrorKind::BadEvent, format!("this instance serves no {kind} function"))),
            many => {
                let names: Vec<_> = many.iter().map(|e| name(e)).collect();
                let message =
                    format!("no function takes {kind} events of `{source}`; served: {}", names.join(", "));
                Err(Error::new(ErrorKind::BadEvent, message))
            }
        }
    }

    /// The event function with this cloud name.
    pub fn function_target(&self, name: &str) -> Option<(Target, TriggerKind)> {
        self.0.events.iter().find(|e| e.name == name).map(|e| (Target(e.index), e.kind))
    }

    /// The kind of trigger of a target.
    pub fn target_kind(&self, target: Target) -> Option<TriggerKind> {
        self.0.events.iter().find(|e| e.index == target.0).map(|e| e.kind)
    }

    /// The function that takes any event, if the app has one.
    pub fn raw_target(&self) -> Option<Target> {
        self.0.events.iter().find(|e| e.kind == TriggerKind::Raw).map(|e| Target(e.index))
    }

    /// True on the first call of the instance's life, false ever after: for [`Parts::cold_start`].
    pub fn take_cold_start(&self) -> bool {
        self.0.cold.load(Ordering::Relaxed) && self.0.cold.swap(false, Ordering::Relaxed)
    }

    /// Answers an HTTP request; never fails.
    pub fn http(&self, request: http::Request<Bytes>, parts: Parts) -> BoxFuture<'static, Response> {
        self.0.dispatch.http(request, parts)
    }

    /// Hands an event to a function.
    pub fn call(&self, target: Target, incoming: Incoming, parts: Parts) -> BoxFuture<'static, Outcome> {
        self.0.dispatch.call(target.0, incoming, parts)
    }

    /// The instance's facts.
    pub fn instance(&self) -> &Arc<Instance> {
        self.0.dispatch.instance()
    }

    /// Runs the app's shutdown hook, once.
    pub async fn shutdown(&self) {
        let hook = self.0.shutdown.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(hook) = hook {
            hook().await;
        }
    }
}

trait Dispatch: Send + Sync {
    fn http(&self, request: http::Request<Bytes>, parts: Parts) -> BoxFuture<'static, Response>;
    fn call(&self, index: usize, incoming: Incoming, parts: Parts) -> BoxFuture<'static, Outcome>;
    fn instance(&self) -> &Arc<Instance>;
}

struct Running<S> {
    functions: Vec<Box<dyn DynFunction<S>>>,
    mounted: Option<Mounted>,
    router: Router,
    state: Arc<S>,
    instance: Arc<Instance>,
}

impl<S: Send + Sync + 'static> Dispatch for Running<S> {
    fn http(&self, mut request: http::Request<Bytes>, parts: Parts) -> BoxFuture<'static, Response> {
        let response = match self.router.find(request.method(), request.uri().path()) {
            Found::Handler(index, params) => {
                if !params.0.is_empty() {
                    request.extensions_mut().insert(params);
                }
                let call = self.call(index, Incoming::Http(request), parts);
                return Box::pin(async move { response_of(call.await) });
            }
            Found::WrongMethod(_) | Found::Nothing if self.mounted.is_some() => {
                return self.call_mounted(request, parts);
            }
            Found::WrongMethod(allowed) => wrong_method(request.method(), request.uri().path(), &allowed),
            Found::Nothing => error_response(&not_found(request.uri().path())),
        };
        Box::pin(std::future::ready(response))
    }

    fn call(&self, index: usize, incoming: Incoming, parts: Parts) -> BoxFuture<'static, Outcome> {
        let function = &self.functions[index];
        let descriptor = function.descriptor();
        let cx = Context::new(parts, descriptor.trigger.kind(), descriptor.name, Arc::clone(&self.instance));
        function.call(incoming, cx, Arc::clone(&self.state))
    }

    fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }
}

impl<S: Send + Sync + 'static> Running<S> {
    fn call_mounted(&self, request: http::Request<Bytes>, parts: Parts) -> BoxFuture<'static, Response> {
        let cx = Context::new(parts, TriggerKind::Http, spec::HTTP_FUNCTION, Arc::clone(&self.instance));
        let Some(mounted) = self.mounted.clone() else {
            return Box::pin(std::future::ready(error_response(&not_found(request.uri().path()))));
        };
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(cx.clone());
        Box::pin(async move {
            let call = async move { mounted(request).await };
            #[cfg(feature = "tracing")]
            let call = crate::log::tracing::within(&cx, call);
            let result = crate::handler::catch(call).await;
            result.unwrap_or_else(|error| {
                cx.log().field("error_kind", error.kind().name()).error(&error);
                error_response(&error)
            })
        })
    }
}

fn response_of(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Http(response) => response,
        Outcome::Failed(error) => error_response(&error),
        // `Http<T>` is the only event with trigger kind http and its output is a response.
        Outcome::Batch(_) | Outcome::Done(_) => error_response(&Error::handler("not an HTTP answer")),
    }
}

impl<S> std::fmt::Debug for App<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.functions.iter().map(|x| x.descriptor().name)).finish()
    }
}
