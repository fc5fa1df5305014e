//! Reading PubAcks (ADR-4 of the NATS architecture repository names their fields).

use serde::Deserialize;

use crate::domain::ids::Seq;

/// Why a publish was not stored.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// No leader, no room yet: trying again may work.
    Temporary(String),
    /// Another publish with this id is being replicated: how that ends, trying again will tell.
    InProcess,
    /// It will not be stored however often it is sent.
    Final(String),
}

/// `JSStreamDuplicateMessageConflict` of the server's list of errors.
const DUPLICATE_IN_PROCESS: u16 = 10_158;

/// The sequence, and whether the stream had the message already.
pub fn parse(payload: &[u8]) -> Result<(Seq, bool), Failure> {
    let ack: Ack = serde_json::from_slice(payload)
        .map_err(|cause| Failure::Final(format!("not a PubAck: {cause}")))?;
    match (ack.error, ack.seq) {
        (Some(error), _) if error.err_code == DUPLICATE_IN_PROCESS => Err(Failure::InProcess),
        (Some(error), _) if error.code >= 500 => Err(Failure::Temporary(error.description)),
        (Some(error), _) => Err(Failure::Final(error.description)),
        (None, Some(seq)) => Ok((seq, ack.duplicate)),
        (None, None) => Err(Failure::Final("a PubAck without a sequence".to_owned())),
    }
}

#[derive(Deserialize)]
struct Ack {
    seq: Option<Seq>,
    #[serde(default)]
    duplicate: bool,
    error: Option<AckError>,
}

#[derive(Deserialize)]
struct AckError {
    code: u16,
    #[serde(default)]
    err_code: u16,
    #[serde(default)]
    description: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acceptance_has_its_sequence() {
        assert_eq!(parse(br#"{"stream":"CHAT","seq":7}"#), Ok((7, false)));
        assert_eq!(parse(br#"{"stream":"CHAT","seq":7,"duplicate":true}"#), Ok((7, true)));
    }

    #[test]
    fn server_errors_are_tried_again_and_others_are_final() {
        let temporary =
            br#"{"error":{"code":503,"description":"no room"},"stream":"CHAT","seq":0}"#;
        assert_eq!(parse(temporary), Err(Failure::Temporary("no room".into())));
        let refused =
            br#"{"error":{"code":400,"description":"too large"},"stream":"CHAT","seq":0}"#;
        assert_eq!(parse(refused), Err(Failure::Final("too large".into())));
        assert!(matches!(parse(b"+OK"), Err(Failure::Final(_))));
    }

    #[test]
    fn a_repetition_that_overtakes_the_original_is_no_refusal() {
        let conflict = br#"{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"},"stream":"CHAT","seq":0}"#;
        assert_eq!(parse(conflict), Err(Failure::InProcess));
    }
}
