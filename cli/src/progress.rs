//! What a deployment is doing, on a terminal: a line for each step that runs, with its time, repainted as it passes; above
//! them what has ended.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use xcloud_core::Error;
use xcloud_deploy::{Change, Plan, Progress, State};

use crate::printer::Printer;

/// Between two repaints.
const REPAINT: Duration = Duration::from_millis(100);
/// Away with the running lines: up so many, and everything below.
const CLEAR: &str = "\u{1b}[J";
/// Whether what reaches the terminal's edge goes on in the next line (DECAWM).
const NO_WRAP: &str = "\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";

/// The display of this process, while there is one: a terminal has one writer.
static SHOWN: Mutex<Option<Arc<Mutex<Lines>>>> = Mutex::new(None);

/// Writes whole lines above those of the steps that run; false when no display is there.
pub(crate) fn above(text: &str) -> bool {
    let Some(lines) = lock(&SHOWN).clone() else { return false };
    lock(&lines).paint(text);
    true
}

/// The lines, and who repaints them.
pub(crate) struct Live {
    lines: Arc<Mutex<Lines>>,
    over: Arc<AtomicBool>,
    painter: Option<JoinHandle<()>>,
    printer: Printer,
}

struct Lines {
    out: Box<dyn Write + Send>,
    running: Vec<(String, Instant)>,
    /// How many lines the last repaint left below.
    below: usize,
    running_word: String,
}

impl Lines {
    /// Writes what has ended, then what runs, in one go: nobody sees half of it.
    fn paint(&mut self, ended: &str) {
        let mut text = String::new();
        if self.below > 0 {
            text += &format!("\u{1b}[{}A\r{CLEAR}", self.below);
        }
        text += ended;
        // A line that is wider than the terminal would be two of it: it ends at the edge.
        text += NO_WRAP;
        for (name, since) in &self.running {
            let seconds = since.elapsed().as_secs_f64();
            text += &format!("{} {name} ({seconds:.1} s)\n", self.running_word);
        }
        text += WRAP;
        self.below = self.running.len();
        // A terminal that went away is not an error of ours.
        drop(self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()));
    }
}

fn lock<T>(lines: &Mutex<T>) -> MutexGuard<'_, T> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// Begins to paint.
    pub(crate) fn new(printer: Printer, out: Box<dyn Write + Send>) -> Self {
        let running_word = printer.paint("36", "running");
        let lines = Lines { out, running: Vec::new(), below: 0, running_word };
        let (lines, over) = (Arc::new(Mutex::new(lines)), Arc::new(AtomicBool::new(false)));
        let (for_painter, until) = (Arc::clone(&lines), Arc::clone(&over));
        let painter = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                std::thread::sleep(REPAINT);
                let mut lines = lock(&for_painter);
                if lines.below > 0 {
                    lines.paint("");
                }
            }
        });
        *lock(&SHOWN) = Some(Arc::clone(&lines));
        Self { lines, over, painter: Some(painter), printer }
    }

    fn told(&self, name: &str, state: State<'_>, since: Duration) {
        let mut lines = lock(&self.lines);
        let ended = match state {
            State::Running => {
                lines.running.push((name.to_owned(), Instant::now()));
                String::new()
            }
            // It goes on, after a pause.
            State::Warning(_) => self.printer.line(name, state, since),
            State::Done | State::Failed(_) | State::Skipped => {
                lines.running.retain(|(running, _)| running != name);
                self.printer.line(name, state, since)
            }
        };
        lines.paint(&ended);
    }
}

impl Progress for Live {
    fn step(&self, change: &Change, state: State<'_>, since: Duration) {
        self.told(&change.resource, state, since);
    }

    fn publish(&self, state: State<'_>, since: Duration) {
        match state {
            // Of its end the deployment's own last line tells.
            State::Done => {
                let mut lines = lock(&self.lines);
                lines.running.clear();
                lines.paint("");
            }
            state => self.told("publish", state, since),
        }
    }

    fn again(&self, error: &Error, plan: &Plan) {
        self.printer.again(error, plan);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(self.painter.take().map(JoinHandle::join));
        // First nobody else writes here any more.
        lock(&SHOWN).take_if(|shown| Arc::ptr_eq(shown, &self.lines));
        let mut lines = lock(&self.lines);
        lines.running.clear();
        lines.paint("");
    }
}

#[cfg(test)]
mod tests;
