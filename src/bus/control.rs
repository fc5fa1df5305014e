//! What operators tell or ask every process at once: `control.<verb>`, at most once, never stored.
//!
//! Nothing rests on it: the truth is in Postgres, and a process that missed a call finds it there a little later.
//! Whoever asks gives a subject under `answer.control.` of its own, and takes what arrives there until a deadline.

use std::time::Duration;

use async_nats::{Client, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::wire::subjects;

use super::BusError;

/// The longest answer that is sent: hundreds of them stay far below what anyone who asks can hold.
const MAX_ANSWER: usize = 256 << 10;

/// How long answers are awaited, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the question on, whatever comes.
    pub deadline: Duration,
    /// From the latest answer on: nobody knows how many processes there are, but they answer within milliseconds of one another.
    pub quiet: Duration,
    /// More answers are not taken.
    pub answers: usize,
}

impl Default for Patience {
    /// A process whose turn with the database is slow still gets its word in; 1,000 processes are what the account of
    /// `nats/` has connections for.
    fn default() -> Self {
        Self { deadline: Duration::from_secs(3), quiet: Duration::from_millis(500), answers: 1_000 }
    }
}

/// Something that this process was told or asked.
pub struct Call {
    /// What to do: the last token of the subject.
    pub verb: String,
    /// What it is about.
    pub payload: Bytes,
    answer_to: Option<Subject>,
    client: Client,
}

impl Call {
    /// Answers, if an answer was asked for. One that cannot be sent is not missed by anybody who could be told.
    pub async fn answer(&self, body: Bytes) {
        // Anywhere else an answer could be taken for something that it is not.
        let wanted = self.answer_to.as_ref().filter(|to| subjects::is_control_answer(to));
        let Some(to) = wanted else { return };
        if body.len() > MAX_ANSWER {
            return tracing::error!(verb = self.verb, bytes = body.len(), "an answer too long");
        }
        if let Err(cause) = self.client.publish(to.clone(), body).await {
            tracing::debug!(verb = self.verb, %cause, "an answer could not be sent");
        }
    }
}

/// What this process is told and asked, in order.
pub struct Calls {
    arriving: Subscriber,
    client: Client,
}

impl Calls {
    /// Listens from now on. Connections that break come back by themselves, with it.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when the connection is closed.
    pub async fn listen(client: &Client) -> Result<Self, BusError> {
        let arriving = client.subscribe(subjects::CONTROL_ALL).await;
        Ok(Self { arriving: arriving.map_err(BusError::unavailable)?, client: client.clone() })
    }

    /// The next call.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when the subscription has ended.
    pub async fn next(&mut self) -> Result<Call, BusError> {
        while let Some(message) = self.arriving.next().await {
            let Some(verb) = subjects::control_verb(&message.subject) else { continue };
            return Ok(Call {
                verb: verb.to_owned(),
                payload: message.payload,
                answer_to: message.reply,
                client: self.client.clone(),
            });
        }
        Err(BusError::unavailable("the control subscription ended"))
    }
}

/// Asks every process, and returns what they answered in time, in the order of arrival; nothing when nobody is there.
///
/// # Errors
/// [`BusError::Unavailable`] when the server cannot be reached.
pub async fn ask(
    client: &Client,
    verb: &str,
    payload: Bytes,
    patience: Patience,
) -> Result<Vec<Bytes>, BusError> {
    let began = Instant::now();
    let inbox = subjects::control_answer(&Uuid::new_v4().simple().to_string());
    let mut arriving = client.subscribe(inbox.clone()).await.map_err(BusError::unavailable)?;
    client
        .publish_with_reply(subjects::control(verb), inbox, payload)
        .await
        .map_err(BusError::unavailable)?;
    client.flush().await.map_err(BusError::unavailable)?;
    let deadline = began + patience.deadline;
    let (mut answers, mut until) = (Vec::new(), deadline);
    while answers.len() < patience.answers {
        let Ok(Some(answer)) = timeout_at(until, arriving.next()).await else { break };
        // The server's own word that nobody listens.
        if answer.status.is_some() {
            break;
        }
        answers.push(answer.payload);
        until = deadline.min(Instant::now() + patience.quiet);
    }
    Ok(answers)
}
