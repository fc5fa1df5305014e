//! Who is to be notified, and what has come of it.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::record::{Phone, Push};
use super::run::awaited;
use super::stage::Stage;
use crate::harness::User;
use crate::harness::fcm::Pushed;

/// What sending may take after everything was healed: a lease of 20 s, and pauses between attempts.
const SENT: Duration = Duration::from_secs(60);

/// A phone for everybody, and a tablet as well for the one who is never there.
pub async fn register(stage: &Stage, users: &[User], absent: &User) -> Vec<Phone> {
    let phone = |user: &User, kind: &str, is_absent| Phone {
        name: format!("{}'s registered {kind}", user.name),
        token: format!("{kind}-of-{}", user.id),
        user: user.id,
        is_absent,
    };
    let mut phones: Vec<Phone> = users.iter().map(|user| phone(user, "phone", false)).collect();
    phones.push(phone(absent, "phone", true));
    phones.push(phone(absent, "tablet", true));
    for phone in &phones {
        let owner = users.iter().chain([absent]).find(|user| user.id == phone.user);
        let rest = stage.rest(0, &owner.expect("of the cast").token);
        let body = json!({"token": phone.token, "platform": "android"});
        rest.post("/devices", body).await.expect(201);
    }
    phones
}

/// Waits until everything in the log was decided and nothing waits to be sent.
pub async fn settled(stage: &Stage) -> Result<(), String> {
    let database = stage.database.client().await;
    let sql = "SELECT (SELECT min(last_seq) FROM progress WHERE name IN ('push', 'push-grace'))
                      >= (SELECT last_seq FROM progress WHERE name = 'persist')
                      AND NOT EXISTS (SELECT FROM push_jobs)";
    awaited("everybody is notified", SENT, async || {
        let row = database.query_one(sql, &[]).await.ok()?;
        row.get::<_, Option<bool>>(0)?.then_some(())
    })
    .await
}

/// Every message that a device was shown.
pub async fn read(stage: &Stage) -> Vec<Push> {
    let received = stage.fcm.received().await;
    let counts = stage.fcm.counts().await;
    assert_eq!(counts["received"], received.len(), "the stand-in for Google has kept all");
    let shown = received.iter().filter(|push| push.delivered && push.kind() == "new_message");
    let id = |push: &Pushed, key: &str| -> Uuid {
        let id = push.message["data"][key].as_str().and_then(|id| id.parse().ok());
        id.unwrap_or_else(|| panic!("{key} is missing in {push:?}"))
    };
    shown
        .map(|push| Push {
            token: push.token.clone(),
            conversation: id(push, "conversationId"),
            message: id(push, "messageId"),
            rings: push.rings(),
        })
        .collect()
}
