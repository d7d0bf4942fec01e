//! Where a command that measures stores its table and draws its figure.

use anyhow::bail;

use super::signals::Signals;
use crate::lake::{Place, write_text};

/// The files that a command was asked for.
pub struct Outputs {
    table: Option<Place>,
    figure: Option<Place>,
}

impl Outputs {
    /// Places that may be written. One that is read by the command is an error, which says that it is `among`; so is one that is there, unless
    /// it may be replaced.
    pub fn new(
        [table, figure]: [Option<Place>; 2],
        is_read: impl Fn(&Place) -> bool,
        among: &str,
        overwrite: bool,
    ) -> anyhow::Result<Self> {
        for place in [&table, &figure].into_iter().flatten() {
            if is_read(place) {
                bail!("{}: is among {among}: name another output", place.shown());
            }
            place.check_writable(overwrite)?;
        }
        Ok(Self { table, figure })
    }

    /// Whether a figure is wanted.
    pub fn has_figure(&self) -> bool {
        self.figure.is_some()
    }

    /// Stores those that are wanted, while signals wait.
    pub fn store(
        &self,
        signals: &Signals,
        table: impl FnOnce(&Place) -> crate::Result<()>,
        figure: impl FnOnce() -> String,
    ) -> crate::Result<()> {
        // What a signal interrupts here would stay staged beside the outputs.
        let _stoppable = signals.stoppable(|_| eprintln!("storing the outputs; once more to stop at once"));
        self.table.as_ref().map_or(Ok(()), table)?;
        self.figure.as_ref().map_or(Ok(()), |place| write_text(place, &figure()))
    }

    /// For the last line: `; a.parquet; a.svg`.
    pub fn names(&self) -> String {
        [&self.table, &self.figure].into_iter().flatten().map(|place| format!("; {}", place.shown())).collect()
    }
}
