//! Work whose progress is shown while it lasts.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::Watched;

/// Between two lines of progress where no bar is shown.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Does `work`, and meanwhile shows how many of all `things` are done: a bar on a terminal, a line now and then elsewhere.
pub fn watched<T>(things: &str, (done, total): (&AtomicUsize, &AtomicUsize), work: impl FnOnce() -> T) -> T {
    let finished = AtomicBool::new(false);
    let now = || (done.load(Ordering::Relaxed) as u64, total.load(Ordering::Relaxed) as u64);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| match std::io::stderr().is_terminal() {
            true => bar(things, now, &finished),
            false => lines(things, now, &finished),
        });
        let _watched = Watched { finished: &finished, watcher: watcher.thread() };
        work()
    })
}

fn bar(things: &str, now: impl Fn() -> (u64, u64), finished: &AtomicBool) {
    let bar = ProgressBar::new(0);
    let style = format!("{{bar:30}} {{human_pos}}/{{human_len}} {things}, {{eta}} left");
    bar.set_style(ProgressStyle::with_template(&style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    while !finished.load(Ordering::Relaxed) {
        let (done, total) = now();
        bar.set_length(total);
        bar.set_position(done);
        std::thread::park_timeout(Duration::from_millis(100));
    }
    bar.finish_and_clear();
}

fn lines(things: &str, now: impl Fn() -> (u64, u64), finished: &AtomicBool) {
    let mut said = Instant::now();
    while !finished.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(200));
        if said.elapsed() >= REPORT_EVERY && !finished.load(Ordering::Relaxed) {
            said = Instant::now();
            let (done, total) = now();
            eprintln!("{} of {} {things} done", HumanCount(done), HumanCount(total));
        }
    }
}
