//! Work whose progress is shown while it lasts.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::Watched;
use crate::lake::Progress;

/// Between two lines of progress where no bar is shown.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// How far some work is, for people.
pub struct Now {
    /// What is done.
    pub done: u64,
    /// All there is to do.
    pub total: u64,
    /// What a bar's template calls `msg`.
    pub message: String,
    /// The same as a line, where no bar is shown.
    pub line: String,
}

/// Does `work`, and meanwhile shows how many of all `things` are done.
pub fn watched<T>(things: &str, progress: &Progress, work: impl FnOnce() -> T) -> T {
    let now = || {
        let (done, total) =
            (progress.done.load(Ordering::Relaxed) as u64, progress.total.load(Ordering::Relaxed) as u64);
        let line = format!("{} of {} {things} done", HumanCount(done), HumanCount(total));
        Now { done, total, message: String::new(), line }
    };
    shown(&format!("{{bar:30}} {{human_pos}}/{{human_len}} {things}, {{eta}} left"), now, work)
}

/// Does `work`, and meanwhile shows how far it is: a bar of this template on a terminal, a line now and then elsewhere.
pub fn shown<T>(template: &str, now: impl Fn() -> Now + Sync, work: impl FnOnce() -> T) -> T {
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| match std::io::stderr().is_terminal() {
            true => bar(template, &now, &finished),
            false => lines(&now, &finished),
        });
        let _watched = Watched { finished: &finished, watcher: watcher.thread() };
        work()
    })
}

fn bar(template: &str, now: impl Fn() -> Now, finished: &AtomicBool) {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    while !finished.load(Ordering::Relaxed) {
        let Now { done, total, message, .. } = now();
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(message);
        std::thread::park_timeout(Duration::from_millis(100));
    }
    bar.finish_and_clear();
}

fn lines(now: impl Fn() -> Now, finished: &AtomicBool) {
    let mut said = Instant::now();
    while !finished.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(200));
        if said.elapsed() >= REPORT_EVERY && !finished.load(Ordering::Relaxed) {
            said = Instant::now();
            eprintln!("{}", now().line);
        }
    }
}
