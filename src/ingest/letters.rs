//! A service's own dead letters: listed, shown, tried again, dropped.

use bytes::Bytes;

use crate::bus::dead_letter::services::Parked;
use crate::domain::ids::Seq;
use crate::wire::error::{ApiError, Code};
use crate::wire::ingest::{Address, Letter, LetterOp, Letters, ListLetters, PickLetter, Reply};
use crate::wire::requests::parse;

use super::item::Item;
use super::{Fault, Ingest};

/// A refusal, or that something could not be reached.
type Answer = Result<Result<Reply, ApiError>, Fault>;

impl Ingest {
    /// Does what a service asks with its own letters.
    pub(super) async fn letters(&self, service: &str, op: LetterOp, body: &Bytes) -> Answer {
        // Nothing at all is as good as an empty object.
        let body = if body.is_empty() { &Bytes::from_static(b"{}") } else { body };
        if op == LetterOp::List {
            let asked = parse::<ListLetters>(body).and_then(|list| list.validate());
            return match asked {
                Ok((from, limit)) => self.list(service, from, limit).await.map(Ok),
                Err(refusal) => Ok(Err(refusal)),
            };
        }
        let picked = match parse::<PickLetter>(body) {
            Ok(picked) => picked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(parked) = self.letters.at(service, picked.seq).await? else {
            return Ok(Err(ApiError::new(Code::NotFound, "you have no such dead letter")));
        };
        match op {
            LetterOp::List => Ok(Err(ApiError::internal())),
            LetterOp::Show => {
                let payload = String::from_utf8_lossy(&parked.payload).into_owned();
                Ok(Ok(Reply::letter(Letter { payload: Some(payload), ..letter(parked) })))
            }
            LetterOp::Drop => {
                self.letters.remove(parked.seq).await?;
                Ok(Ok(Reply::done(Vec::new())))
            }
            LetterOp::Replay => self.replay(parked).await,
        }
    }

    async fn list(&self, service: &str, from: Seq, limit: usize) -> Result<Reply, Fault> {
        let mut letters = Vec::new();
        let mut next = from;
        while let Some(parked) = self.letters.first(service, next).await? {
            if letters.len() == limit {
                return Ok(Reply::letters(Letters { letters, more: true }));
            }
            next = parked.seq + 1;
            letters.push(letter(parked));
        }
        Ok(Reply::letters(Letters { letters, more: false }))
    }

    /// Deals with a letter as if it came now, under the key that it had: what was done of it before is not done again.
    /// It stays where it is if it still cannot be taken.
    async fn replay(&self, parked: Parked) -> Answer {
        let item = Address::parse(&parked.subject).and_then(|address| {
            let max = self.settings.max_content_chars;
            Item::read(address, parked.key, parked.published_at, &parked.payload, max)
        });
        let item = match item {
            Ok(item) => item,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let outcome = self.process(&[item]).await?.pop();
        match outcome.unwrap_or_else(|| Err(ApiError::internal())) {
            Ok(ids) => {
                self.letters.remove(parked.seq).await?;
                self.metrics.ingest.replayed.inc();
                Ok(Ok(Reply::done(ids)))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }
}

fn letter(parked: Parked) -> Letter {
    Letter {
        seq: parked.seq,
        subject: parked.subject,
        reason: parked.reason,
        msg_id: parked.msg_id,
        published_at: parked.published_at,
        died_at: parked.died_at,
        bytes: parked.payload.len(),
        payload: None,
    }
}
