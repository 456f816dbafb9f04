//! Panics are caught and told; an input that takes too long ends the program.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::corpus::Input;

/// A decoder takes micro- to milliseconds. The machine may be busy.
const LIMIT: Duration = Duration::from_secs(5);

static PANIC: Mutex<String> = Mutex::new(String::new());
static RUNNING: Mutex<Option<(Instant, Input)>> = Mutex::new(None);
static START: Once = Once::new();

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs it; the error is the panic's message and place.
pub fn guarded<T>(input: &Input, run: impl FnOnce() -> T) -> Result<T, String> {
    START.call_once(|| {
        std::panic::set_hook(Box::new(|info| *lock(&PANIC) = info.to_string()));
        std::thread::spawn(watch);
    });
    *lock(&RUNNING) = Some((Instant::now(), input.clone()));
    let result = catch_unwind(AssertUnwindSafe(run));
    *lock(&RUNNING) = None;
    result.map_err(|_| lock(&PANIC).clone())
}

fn watch() {
    loop {
        std::thread::sleep(Duration::from_millis(200));
        if let Some((since, input)) = &*lock(&RUNNING)
            && since.elapsed() > LIMIT
        {
            eprintln!("an input takes more than {LIMIT:?}\n{}", input.show());
            std::process::exit(1);
        }
    }
}
