//! What the proxy counts about itself, as `/-/metrics` shows it.
//!
//! Nothing here names an org, a host or a key, so that any local user may read it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

/// Counters and gauges. All of them only ever say how many.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Answers by the first digit of their status.
    answers: [AtomicU64; 5],
    /// Requests that the proxy refused itself.
    pub(crate) refused: Counter,
    /// Requests that could not be forwarded because the server could not be reached or did not answer.
    pub(crate) upstream_failures: Counter,
    /// Requests that were sent again after the connection they went over had been closed.
    pub(crate) replays: Counter,
    /// Interrupted downloads that were resumed.
    pub(crate) resumes: Counter,
    /// Payload bytes received from clients.
    pub(crate) received_bytes: Counter,
    /// Payload bytes sent to clients.
    pub(crate) sent_bytes: Counter,
    /// Requests being served now.
    pub(crate) in_flight: Gauge,
    /// Client connections open now.
    pub(crate) connections: Gauge,
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are now: as many as [`Present`]s of it live.
#[derive(Debug, Default)]
pub(crate) struct Gauge(std::sync::Arc<AtomicU64>);

/// One of those that a [`Gauge`] counts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Present(std::sync::Arc<AtomicU64>);

impl Gauge {
    pub(crate) fn enter(&self) -> Present {
        self.0.fetch_add(1, Ordering::Relaxed);
        Present(self.0.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts an answer.
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.answers[class].fetch_add(1, Ordering::Relaxed);
    }

    /// All of it in the Prometheus text format; `clock_ahead_secs` is [`ClockDrift`](crate::clock_drift::ClockDrift)'s,
    /// and left out while nothing is known.
    pub(crate) fn render(&self, clock_ahead_secs: Option<i64>) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, u64)]| {
            let _ = writeln!(text, "# HELP kheeper_proxy_{name} {help}\n# TYPE kheeper_proxy_{name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "kheeper_proxy_{name}{labels} {value}");
            }
        };
        let classes = ["{class=\"1xx\"}", "{class=\"2xx\"}", "{class=\"3xx\"}", "{class=\"4xx\"}", "{class=\"5xx\"}"];
        let answers: Vec<(&str, u64)> =
            classes.into_iter().zip(self.answers.iter().map(|count| count.load(Ordering::Relaxed))).collect();
        family("answers_total", "counter", "Answers, by the class of their status.", &answers);
        for (name, help, counter) in [
            ("refused_total", "Requests that the proxy refused itself.", &self.refused),
            ("upstream_failures_total", "Requests that the server could not be reached for.", &self.upstream_failures),
            ("replays_total", "Requests sent again over a new connection.", &self.replays),
            ("resumes_total", "Interrupted downloads that were resumed.", &self.resumes),
            ("received_bytes_total", "Payload bytes received from clients.", &self.received_bytes),
            ("sent_bytes_total", "Payload bytes sent to clients.", &self.sent_bytes),
        ] {
            family(name, "counter", help, &[("", counter.value())]);
        }
        for (name, help, gauge) in [
            ("requests_in_flight", "Requests being served.", &self.in_flight),
            ("connections", "Client connections open.", &self.connections),
        ] {
            family(name, "gauge", help, &[("", gauge.0.load(Ordering::Relaxed))]);
        }
        if let Some(secs) = clock_ahead_secs {
            let name = "kheeper_proxy_clock_ahead_seconds";
            let help = "Seconds by which this machine's clock is ahead of the server's.";
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {secs}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_count_and_render_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics.answered(StatusCode::OK);
        metrics.answered(StatusCode::SERVICE_UNAVAILABLE);
        metrics.sent_bytes.add(7);
        let present = metrics.connections.enter();
        let text = metrics.render(Some(-7200));
        for line in [
            "kheeper_proxy_answers_total{class=\"2xx\"} 1",
            "kheeper_proxy_answers_total{class=\"5xx\"} 1",
            "kheeper_proxy_sent_bytes_total 7",
            "kheeper_proxy_connections 1",
            "kheeper_proxy_clock_ahead_seconds -7200",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing from\n{text}");
        }
        drop(present);
        assert!(metrics.render(None).contains("kheeper_proxy_connections 0"));
    }
}
