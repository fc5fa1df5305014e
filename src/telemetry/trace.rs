//! W3C Trace Context, level 1: the `traceparent` that ties one message's way through the roles together.
//!
//! `00-<trace id, 32 hex digits>-<parent id, 16 hex digits>-<flags, 2 hex digits>`. It is taken from the caller
//! if valid, begun otherwise, and travels as a NATS header of the same name.

use std::fmt;
use std::str::FromStr;

/// The header's name, over HTTP and NATS alike.
pub const HEADER: &str = "traceparent";

/// The sampled bit of the flags.
const SAMPLED: u8 = 1;

/// A position in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// Not a valid `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid traceparent")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// A new trace.
    pub fn begin(sampler: Sampler) -> Self {
        let trace_id = non_zero(rand::random::<u128>);
        let flags = if sampler.samples(trace_id) { SAMPLED } else { 0 };
        Self { trace_id, parent_id: non_zero(rand::random::<u64>), flags }
    }

    /// The caller's trace if its header is valid, else a new one.
    pub fn continue_or_begin(header: Option<&str>, sampler: Sampler) -> Self {
        header
            .and_then(|text| text.parse::<Self>().ok())
            .map_or_else(|| Self::begin(sampler), |caller| caller.child())
    }

    /// The next step of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { parent_id: non_zero(rand::random::<u64>), ..self }
    }

    /// Whether the trace is to be recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut parts = text.split('-');
        let mut next = |digits| hex(parts.next(), digits);
        let version = next(2)?;
        let trace_id = next(32)?;
        let parent_id = next(16)? as u64;
        let flags = next(2)? as u8;
        // Later versions may append fields; version 00 has exactly four, and ff is forbidden.
        let valid = version != 0xff
            && (version != 0 || parts.next().is_none())
            && trace_id != 0
            && parent_id != 0;
        // Only the sampled bit is defined; the others must not be passed on.
        valid
            .then_some(Self { trace_id, parent_id, flags: flags & SAMPLED })
            .ok_or(InvalidTraceParent)
    }
}

/// Exactly `digits` lower-case hex digits.
fn hex(part: Option<&str>, digits: usize) -> Result<u128, InvalidTraceParent> {
    let part = part.filter(|part| {
        part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    });
    part.and_then(|part| u128::from_str_radix(part, 16).ok()).ok_or(InvalidTraceParent)
}

fn non_zero<T: Default + PartialEq>(mut draw: impl FnMut() -> T) -> T {
    loop {
        let value = draw();
        if value != T::default() {
            return value;
        }
    }
}

/// Decides by the trace id, so that every node decides alike.
#[derive(Debug, Clone, Copy)]
pub struct Sampler {
    below: u64,
}

impl Sampler {
    /// `ratio` is from 0 (never) to 1 (always).
    pub fn new(ratio: f64) -> Self {
        // Saturates: 1.0 becomes u64::MAX.
        Self { below: (ratio.clamp(0.0, 1.0) * u64::MAX as f64) as u64 }
    }

    fn samples(self, trace_id: u128) -> bool {
        self.below == u64::MAX || (trace_id as u64) < self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_child_stays_in_the_trace_of_its_parent() {
        let parent: TraceParent = EXAMPLE.parse().expect("valid");
        assert_eq!(parent.to_string(), EXAMPLE);
        let child = parent.child();
        assert_eq!(child.trace_id, parent.trace_id);
        assert_ne!(child.parent_id, parent.parent_id);
        assert!(child.is_sampled());
    }

    #[test]
    fn invalid_headers_begin_a_new_trace() {
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(text.parse::<TraceParent>().is_err(), "{text}");
        }
        assert!(!TraceParent::continue_or_begin(Some("nonsense"), Sampler::new(0.0)).is_sampled());
        assert!(TraceParent::continue_or_begin(None, Sampler::new(1.0)).is_sampled());
    }
}
