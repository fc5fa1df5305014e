//! `messaging admin`: what operators ask and change, by the real program against real servers.

mod conversations;
mod every;
mod frame;
mod letters;
mod live;
mod messages;
mod status;

use serde_json::Value;

use crate::harness::World;

/// Rows of the audit, the newest first: action, target, reason.
async fn audit(world: &World) -> Vec<(String, String, Option<String>)> {
    let rows = world.run_admin_json(&["audit"]).await;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let rows = rows.as_array().expect("rows");
    rows.iter()
        .map(|row| {
            assert_eq!(row["operator"], "ops");
            let word = |name: &str| text(&row[name]).expect("a word");
            (word("action"), word("target"), text(&row["reason"]))
        })
        .collect()
}
