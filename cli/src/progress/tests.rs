//! What a terminal shows of a deployment.

use super::*;
use crate::args::Args;
use clap::Parser;
use xcloud_deploy::Action;

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// What a terminal shows after all of it: the lines that are there in the end.
    fn shows(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        let text = self.text();
        let mut rest = text.as_str();
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '\n' => lines.push(String::new()),
                '\r' => {}
                '\u{1b}' => {
                    let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                    let up = if rest[end..].starts_with('A') { rest[1..end].parse().unwrap() } else { 0 };
                    // Where the cursor goes, all below is cleared in the same breath.
                    assert!(up < lines.len(), "above the screen: {text:?}");
                    lines.truncate(lines.len() - up);
                    if up > 0 {
                        lines.last_mut().unwrap().clear();
                    }
                    rest = &rest[end + 1..];
                }
                c => lines.last_mut().unwrap().push(c),
            }
        }
        assert_eq!(lines.pop().as_deref(), Some(""), "it ends with a whole line: {text:?}");
        lines
    }
}

/// A process has one display, and tests run in one process.
static ONE: Mutex<()> = Mutex::new(());

fn printer() -> Printer {
    Printer::new(&Args::try_parse_from(["xcloud", "--color", "never", "deploy"]).unwrap())
}

fn change(name: &str) -> Change {
    Change {
        action: Action::Create,
        resource: name.to_owned(),
        reason: String::new(),
        fields: Vec::new(),
        after: Vec::new(),
        data: false,
    }
}

#[test]
fn notes_stand_above_what_runs_and_break_no_line() {
    let _one = lock(&ONE);
    let screen = Screen::default();
    let live = Live::new(printer(), Box::new(screen.clone()));
    live.step(&change("queue/a"), State::Running, Duration::ZERO);
    live.step(&change("role/b"), State::Running, Duration::ZERO);
    printer().note("stopping after the steps on their way");
    let shown = screen.shows();
    assert_eq!(shown[0], "stopping after the steps on their way", "{shown:?}");
    assert!(
        shown[1].starts_with("running queue/a (") && shown[2].starts_with("running role/b ("),
        "{shown:?}"
    );
    assert_eq!(shown.len(), 3, "{shown:?}");
    std::thread::sleep(REPAINT * 2);
    printer().note("note: the host was started");
    printer().note("two\nlines");
    live.step(&change("queue/a"), State::Done, Duration::ZERO);
    live.step(&change("role/b"), State::Done, Duration::ZERO);
    drop(live);
    let wanted = [
        "stopping after the steps on their way",
        "note: the host was started",
        "two",
        "lines",
        "done queue/a (0.00 s)",
        "done role/b (0.00 s)",
    ];
    assert_eq!(screen.shows(), wanted);
    assert!(!above("to standard error again"), "the display is gone");
}

#[test]
fn what_runs_is_repainted_and_what_ended_stays() {
    let _one = lock(&ONE);
    let screen = Screen::default();
    let live = Live::new(printer(), Box::new(screen.clone()));
    live.step(&change("queue/a"), State::Running, Duration::ZERO);
    live.step(&change("role/b"), State::Running, Duration::ZERO);
    std::thread::sleep(REPAINT * 3);
    live.step(&change("queue/a"), State::Done, Duration::from_millis(320));
    live.step(&change("role/b"), State::Failed(&xcloud_core::Error::conflict("taken")), Duration::ZERO);
    live.step(&change("url/c"), State::Skipped, Duration::ZERO);
    drop(live);
    let text = screen.text();
    assert!(text.matches("running queue/a (0.").count() >= 3, "repainted: {text:?}");
    let last = text.rsplit(CLEAR).next().unwrap();
    assert!(!last.contains("running"), "nothing runs at the end: {last:?}");
    for line in ["done queue/a (0.32 s)\n", "failed role/b", "skipped url/c"] {
        assert_eq!(text.matches(line).count(), 1, "{line} in {text:?}");
    }
}
