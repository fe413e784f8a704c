//! What is known, as Prometheus reads it.

mod daemon;
mod server;

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

pub use self::daemon::metrics;
pub use self::server::server_metrics;

/// In the text format, version 0.0.4, with `prefix` before each name.
///
/// # Panics
/// Never: a string takes whatever is written to it.
fn encode(prefix: &str, known: impl Collector) -> String {
    let mut registry = Registry::with_prefix(prefix);
    registry.register_collector(Box::new(known));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).expect("a string takes whatever is written to it");
    text
}

fn microseconds(count: u64) -> f64 {
    Duration::from_micros(count).as_secs_f64()
}

fn milliseconds(count: u64) -> f64 {
    Duration::from_millis(count).as_secs_f64()
}

/// The labels of exemplars, of which there are none.
type NoExemplar = [(&'static str, &'static str); 1];

/// A family's name, what it is, and its unit, which stands at the end of the name.
#[derive(Clone, Copy)]
struct About<'a>(&'a str, &'a str, Option<&'a Unit>);

/// Writes families.
struct Families<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Families<'_, '_> {
    fn gauge(&mut self, About(name, help, unit): About<'_>, value: &impl EncodeGaugeValue) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(value)
    }

    fn counter(&mut self, About(name, help, unit): About<'_>, value: u64) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        family.encode_counter::<NoExemplar, _, u64>(&value, None)
    }

    /// One for each of `series`, by its labels.
    fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        About(name, help, unit): About<'_>,
        series: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        series.into_iter().try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&value))
    }

    /// The same of what only grows.
    fn counters<L: EncodeLabelSet>(
        &mut self,
        About(name, help, unit): About<'_>,
        series: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        series.into_iter().try_for_each(|(labels, value)| {
            family.encode_family(&labels)?.encode_counter::<NoExemplar, _, u64>(&value, None)
        })
    }
}
