//! Ctrl-C and requests to terminate.
//!
//! A thread of its own listens for the life of the process: work may keep every thread of the runtime busy for minutes. The
//! first signal asks the work under way to stop, a second one ends the process at once. A request to terminate ends it in
//! any case after [`GRACE`]: whoever asks kills next.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::session;

/// How long work may take to stop. With [`LAST`] it is less than the five seconds that we promise.
pub const GRACE: Duration = Duration::from_millis(3500);
/// How long the process may take to end after that.
pub const LAST: Duration = Duration::from_secs(1);
/// The exit code after Ctrl-C, as shells give it.
pub const INTERRUPTED: u8 = 130;
/// The exit code after a request to terminate.
pub const TERMINATED: u8 = 143;

/// Listens until the process ends.
pub struct Signals {
    stop: Arc<Mutex<Option<Stop>>>,
    recovered: Arc<Notify>,
}

/// Is told of signals, on a thread where it may block.
pub trait Heed: Send + 'static {
    /// The work under way is about to be asked to stop.
    fn asked(&self) {}

    /// How long it may take. Who presses Ctrl-C sees what happens, and may press it again.
    fn grace(&self, code: u8) -> Duration {
        if code == INTERRUPTED { Duration::MAX } else { GRACE }
    }

    /// The process ends with this exit code when this returns; that has to be within [`LAST`].
    fn forced(&self, _code: u8) {}
}

/// Nobody needs to be told.
impl Heed for () {}

/// Stops the work under way; is told the exit code.
type Stop = Box<dyn FnOnce(u8) + Send>;

/// While it lives, the first signal stops this work; without one, a signal ends the process.
pub struct Stoppable<'a>(&'a Signals);

/// How a piece of work ended.
pub enum Ended<T> {
    Itself(T),
    /// A signal stopped it; what it had staged is removed. The command's exit code.
    Stopped(u8),
}

impl Signals {
    /// Listens from now on.
    pub fn listen(heed: impl Heed) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = Arc::new(Mutex::<Option<Stop>>::default());
        let recovered = Arc::new(Notify::new());
        let inside = runtime.enter();
        let mut source = Source::new()?;
        drop(inside);
        let signals = Self { stop: Arc::clone(&stop), recovered: Arc::clone(&recovered) };
        let listening = move || {
            let code = runtime.block_on(async {
                loop {
                    let code = source.next().await;
                    let Some(stop) = lock(&stop).take() else { return code };
                    heed.asked();
                    stop(code);
                    tokio::select! {
                        _ = source.next() => return code,
                        () = tokio::time::sleep(heed.grace(code)) => return code,
                        () = recovered.notified() => {}
                    }
                }
            });
            heed.forced(code);
            std::process::exit(code.into());
        };
        std::thread::Builder::new().name("signals".into()).spawn(listening).context("a thread for signals")?;
        Ok(signals)
    }

    /// The work has stopped, and the process lives on.
    pub fn recovered(&self) {
        self.recovered.notify_one();
    }

    /// Work begins that `stop` can stop.
    pub fn stoppable(&self, stop: impl FnOnce(u8) + Send + 'static) -> Stoppable<'_> {
        *lock(&self.stop) = Some(Box::new(stop));
        Stoppable(self)
    }

    /// Works until the end or the first signal.
    pub fn until<T>(&self, runtime: &Runtime, context: &SessionContext, work: impl Future<Output = T>) -> Ended<T> {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let stoppable = self.stoppable(|code| {
            stop.send(code).ok();
        });
        runtime.block_on(async {
            let ended = tokio::select! {
                result = work => Ended::Itself(result),
                Ok(code) = stopped => Ended::Stopped(code),
            };
            // The work is dropped by now; what it had staged goes with it.
            session::settled(context).await;
            drop(stoppable);
            ended
        })
    }
}

impl Drop for Stoppable<'_> {
    fn drop(&mut self) {
        lock(&self.0.stop).take();
    }
}

fn lock(stop: &Mutex<Option<Stop>>) -> MutexGuard<'_, Option<Stop>> {
    stop.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
struct Source {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The exit code that the next signal asks for.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPTED,
            _ = self.terminate.recv() => TERMINATED,
        }
    }
}

#[cfg(not(unix))]
struct Source;

#[cfg(not(unix))]
impl Source {
    fn new() -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// The exit code that the next signal asks for.
    async fn next(&mut self) -> u8 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        INTERRUPTED
    }
}
