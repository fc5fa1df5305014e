//! Series that are there from the start. A counter that appears with its first increment shows no increase then, so an
//! alert would miss the first dead letter, and a page that lists what there is would leave it out.

use super::{CodeLabel, ConsumerLabel, Metrics, SourceLabel};

/// Who may park what it cannot process.
const CONSUMERS: [&str; 3] = ["persist", "push", "ingest"];
/// Where a replay comes from; what is impossible is a reset.
const SOURCES: [&str; 4] = ["ring", "postgres", "log", "reset"];
/// Refusals that mean that something is wrong here, not with the request.
const FAILURES: [&str; 2] = ["unavailable", "internal"];
/// Ends of connections: as the client wished, silent, too slow, too many, asked to move.
const CLOSES: [&str; 5] = ["1000", "4408", "4409", "4429", "4503"];

impl Metrics {
    pub(super) fn announce(&self) {
        for consumer in CONSUMERS {
            self.dead_letters.get_or_create_owned(&ConsumerLabel { consumer });
        }
        for source in SOURCES {
            self.replays.get_or_create_owned(&SourceLabel { source });
        }
        for code in FAILURES {
            self.errors.get_or_create_owned(&CodeLabel { code: code.to_owned() });
            self.publish_failures.get_or_create_owned(&CodeLabel { code: code.to_owned() });
        }
        for code in CLOSES {
            self.disconnects.get_or_create_owned(&CodeLabel { code: code.to_owned() });
        }
    }
}
