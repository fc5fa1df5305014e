//! Notifications to devices whose owners are not looking.
//!
//! `decide` follows the log and finds whom a message alerts, with `candidates` (whom the database names), `online` (who has a
//! connection) and `window` (who is looked at again). What follows is a job for each device. `send` claims jobs, `plan` says
//! what each comes to by now, and `reads` adds those that withdraw what was read elsewhere.
//!
//! `text` puts a message into the few words that a notification shows, `notification` is what one device gets to
//! see, and `fcm` hands it to Google.

mod candidates;
mod decide;
mod fcm;
mod looks;
mod memory;
pub mod notification;
mod online;
mod operators;
pub mod plan;
mod reads;
pub mod role;
mod send;
pub mod text;
mod window;

pub use fcm::credentials::{CredentialsError, ServiceAccount};
pub use fcm::payload::Look;
pub use fcm::{Fcm, Outcome, Settings as FcmSettings};
pub use role::NAME;
use role::{Fault, Push};
