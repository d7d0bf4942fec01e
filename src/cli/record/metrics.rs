//! How a run ended, in the text format of Prometheus.
//!
//! All are gauges: each file tells of one run, and the next one replaces it.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Counts, Ending, Standing};

type Number = Gauge<f64, AtomicU64>;

/// A text file for the collector, its names all beginning with `babelake_last_run_`.
pub fn text(command: &str, job: &str, ending: &Ending, standing: &Standing) -> Result<String, fmt::Error> {
    let labels = [("job", job), ("command", command)].map(|(name, value)| (name.into(), value.to_owned().into()));
    let mut registry = Registry::with_prefix_and_labels("babelake_last_run", labels.into_iter());
    let mut number = |name, help, value: f64| {
        let gauge = Number::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    number("timestamp_seconds", "When the run ended, in seconds since 1970", ending.at.timestamp_millis() as f64 / 1e3);
    number("duration_seconds", "How long it took", ending.took.as_secs_f64());
    number("success", "1 if it did all it had to do, 0 otherwise", f64::from(u8::from(ending.code == 0)));
    number(
        "exit_code",
        "How it ended: 0 done, 75 try again later, 130 and 143 stopped by a signal",
        ending.code.into(),
    );

    let mut labelled = |name, help, label: &'static str, values: &Counts| {
        if values.is_empty() {
            return;
        }
        let family = Family::<[(&str, &str); 1], Number>::default();
        for (value, number) in values {
            family.get_or_create(&[(label, *value)]).set(*number as f64);
        }
        registry.register(name, help, family);
    };
    labelled("rows", "Rows by what became of them", "state", &standing.rows);
    labelled("bytes", "Bytes of the files read and written", "direction", &standing.bytes);
    labelled("files", "Files by what became of them", "state", &standing.files);
    labelled("statements", "Statements of a pipeline by what became of them", "state", &standing.statements);

    let mut text = String::new();
    encode_registry(&mut text, &registry)?;
    Ok(text)
}
