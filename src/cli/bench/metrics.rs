//! What the service says of itself while it is under load.

use hyper::{Method, StatusCode};

use super::rest::{Base, Client};

/// Messages in the stream that are not in Postgres yet.
const LAG: &str = "messaging_persister_lag_messages";

/// Samples the persister's lag from `/metrics`.
#[derive(Debug)]
pub struct LagSampler {
    client: Client,
    samples: Vec<f64>,
}

impl LagSampler {
    pub async fn connect(base: &Base) -> anyhow::Result<Self> {
        Ok(Self { client: Client::connect(base).await?, samples: Vec::new() })
    }

    /// Takes one sample; a service that has no such metric gives none.
    pub async fn sample(&mut self) -> anyhow::Result<()> {
        let (status, body) = self.client.call(Method::GET, "/metrics", None, None).await?;
        if status == StatusCode::OK {
            self.samples.extend(value(&String::from_utf8_lossy(&body), LAG));
        }
        Ok(())
    }

    /// All samples, ascending.
    pub fn into_sorted(mut self) -> Vec<f64> {
        self.samples.sort_by(f64::total_cmp);
        self.samples
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
}
