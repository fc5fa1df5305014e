//! What the service says of itself while it is under load.

use hyper::{Method, StatusCode};

use super::rest::{Base, Client};

/// Messages in the stream that are not in Postgres yet.
const LAG: &str = "messaging_persister_lag_messages";

/// The service's own histograms of a message's way, in seconds.
const STAGES: [(&str, &str); 3] = [
    ("accepted → stored", "messaging_accept_to_puback_seconds"),
    ("stored → delivered", "messaging_stored_to_delivered_seconds"),
    ("stored → persisted", "messaging_stored_to_persisted_seconds"),
];

/// Samples `/metrics` between two moments.
#[derive(Debug)]
pub struct Sampler {
    client: Client,
    lag: Vec<f64>,
    first: Option<String>,
    last: String,
}

impl Sampler {
    pub async fn connect(base: &Base) -> anyhow::Result<Self> {
        let client = Client::connect(base).await?;
        Ok(Self { client, lag: Vec::new(), first: None, last: String::new() })
    }

    /// Takes one sample. A service that serves its metrics elsewhere gives none.
    pub async fn sample(&mut self) -> anyhow::Result<()> {
        let (status, body) = self.client.call(Method::GET, "/metrics", None, None).await?;
        if status == StatusCode::OK {
            self.last = String::from_utf8_lossy(&body).into_owned();
            self.first.get_or_insert_with(|| self.last.clone());
            self.lag.extend(value(&self.last, LAG));
        }
        Ok(())
    }

    /// The value of a gauge in the last sample.
    pub fn gauge(&self, name: &str) -> Option<f64> {
        value(&self.last, name)
    }

    /// The persister's lag, ascending.
    pub fn lag(&self) -> Vec<f64> {
        let mut lag = self.lag.clone();
        lag.sort_by(f64::total_cmp);
        lag
    }

    /// What happened in each stage between the first and the last sample.
    pub fn stages(&self) -> Vec<(&'static str, Buckets)> {
        let first = self.first.as_deref().unwrap_or_default();
        let between =
            |metric| Buckets::read(&self.last, metric).since(&Buckets::read(first, metric));
        let stages = STAGES.iter().map(|(name, metric)| (*name, between(metric)));
        stages.filter(|(_, buckets)| buckets.count() > 0.0).collect()
    }
}

/// A histogram: upper bounds and how many lie below each, ascending.
#[derive(Debug, Default, PartialEq)]
pub struct Buckets(Vec<(f64, f64)>);

impl Buckets {
    fn read(text: &str, name: &str) -> Self {
        let buckets = text.lines().filter_map(|line| {
            let labels = line.strip_prefix(name)?.strip_prefix("_bucket{")?;
            let (labels, count) = labels.rsplit_once("} ")?;
            let bound = labels.split("le=\"").nth(1)?.split('"').next()?;
            // Rust reads `+Inf` as Prometheus writes it.
            Some((bound.parse().ok()?, count.split_ascii_whitespace().next()?.parse().ok()?))
        });
        Self(buckets.collect())
    }

    fn since(mut self, before: &Self) -> Self {
        for ((_, count), (_, earlier)) in self.0.iter_mut().zip(&before.0) {
            *count -= earlier;
        }
        self
    }

    pub fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// The quantile, assuming that values lie evenly within a bucket; `None` beyond the last bound.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = self.count() * quantile;
        let at = self.0.iter().position(|(_, count)| *count >= rank)?;
        let (lower, below) = at.checked_sub(1).map_or((0.0, 0.0), |before| self.0[before]);
        let (upper, count) = self.0[at];
        let share = if count > below { (rank - below) / (count - below) } else { 0.0 };
        upper.is_finite().then_some(lower + (upper - lower) * share)
    }
}

/// The value of a metric in Prometheus' text form, summed over its labels.
fn value(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let rest = match rest.strip_prefix('{') {
            Some(labels) => labels.rsplit_once('}')?.1,
            None => rest.strip_prefix(' ')?,
        };
        rest.split_ascii_whitespace().next()?.parse::<f64>().ok()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_told_from_its_namesakes() {
        let text = "# TYPE lag gauge\nlag{a=\"1\"} 3\nlag{a=\"}\"} 4.5\nlag_total 100\n";
        assert_eq!(value(text, "lag"), Some(7.5));
        assert_eq!(value("lag 2 1700000000\n", "lag"), Some(2.0));
        assert_eq!(value(text, "la"), None);
    }

    #[test]
    fn quantiles_are_those_of_what_came_between_two_samples() {
        let text = |counts: [u32; 3]| {
            let [a, b, c] = counts;
            format!(
                "h_bucket{{le=\"0.1\"}} {a}\nh_bucket{{le=\"0.2\"}} {b}\nh_bucket{{le=\"+Inf\"}} {c}\nh_sum 1\n"
            )
        };
        let before = Buckets::read(&text([50, 50, 50]), "h");
        let between = Buckets::read(&text([150, 200, 210]), "h").since(&before);
        assert_eq!(between, Buckets(vec![(0.1, 100.0), (0.2, 150.0), (f64::INFINITY, 160.0)]));
        let near = |quantile, expected: f64| {
            assert!(between.quantile(quantile).is_some_and(|q| (q - expected).abs() < 1e-9));
        };
        near(0.5, 0.08);
        near(0.75, 0.14);
        assert_eq!(between.quantile(0.99), None);
        assert_eq!(Buckets::default().quantile(0.5), None);
    }
}
