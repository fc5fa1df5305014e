//! Notifications to devices whose owners are not looking.
//!
//! `text` puts a message into the few words that a notification shows, `notification` is what one device gets to
//! see, and `fcm` hands it to Google.

mod fcm;
pub mod notification;
pub mod text;

pub use fcm::credentials::{CredentialsError, ServiceAccount};
pub use fcm::payload::Look;
pub use fcm::{Fcm, FcmError, Outcome, Settings as FcmSettings};
