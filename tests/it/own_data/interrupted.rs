//! The end of one's own data goes on whatever comes in between.

use crate::harness::World;
use crate::harness::flow::{self, UNPACED, eventually, id_of};

use super::erasure::{NAME, PHONE, SECRET_WORDS, Stage, add, issued};

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_goes_on_with_the_next_process() {
    let mut stage = Stage::set().await;
    stage.ask().await;
    stage.time_passes().await;
    for killed_at in ["messages", "rows", "log"] {
        let order = ["closing", "messages", "rows", "log", "done"];
        let place = |name: &str| order.iter().position(|one| *one == name);
        eventually(killed_at, async || {
            (place(&stage.stage().await) >= place(killed_at)).then_some(())
        })
        .await;
        let last = stage.world.nodes().len() - 1;
        stage.world.node_mut(last).kill9().await;
        add(&mut stage.world, &stage.settings).await;
    }
    stage.is_done().await;
    assert_eq!(stage.rows_with(&[NAME, SECRET_WORDS, PHONE]).await, Vec::<String>::new());
    let (clean, report) = stage.verified().await;
    assert!(clean, "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_holds_is_come_back_to() {
    let world = World::start_with(UNPACED).await;
    let (ada, ben) = (issued(&world.user(NAME), 3), world.user("Ben"));
    let as_ada = world.node().rest(&ada);
    let direct = flow::open_direct(&as_ada, &ben).await;
    let said = id_of(&flow::send(&as_ada, direct, SECRET_WORDS).await);
    // A tombstone already: taking the name off it is all that is left to do in this conversation.
    as_ada.delete(&format!("/messages/{said}")).await.expect(200);
    world.persisted().await;
    let holder = world.database.client().await;
    holder.batch_execute("BEGIN").await.expect("a transaction");
    let sql = "SELECT FROM messages WHERE id = $1 FOR UPDATE";
    holder.query_one(sql, &[&said]).await.expect("a row");

    world.node().rest(&issued(&ada, 1)).delete("/me").await.expect(202);
    let database = world.database.client().await;
    let sql = "UPDATE user_erasures SET requested_at = requested_at - interval '12 seconds'";
    database.execute(sql, &[]).await.expect("a row");
    let sql = "SELECT stage, changed_at::text FROM user_erasures";
    let mut notes = std::collections::HashSet::new();
    eventually("it passes again and again", async || {
        let row = database.query_one(sql, &[]).await.expect("a row");
        let (stage, at): (String, String) = (row.get(0), row.get(1));
        assert!(!["log", "done"].contains(&stage.as_str()), "her name still stands");
        // One pass makes three at most.
        (stage == "rows" && notes.insert(at) && notes.len() == 5).then_some(())
    })
    .await;
    holder.batch_execute("COMMIT").await.expect("released");
    eventually("it ends", async || {
        let row = database.query_one(sql, &[]).await.expect("a row");
        (row.get::<_, &str>(0) == "done").then_some(())
    })
    .await;
    let sql = "SELECT sender_name FROM messages WHERE id = $1";
    let row = database.query_one(sql, &[&said]).await.expect("a row");
    assert_eq!(row.get::<_, Option<&str>>(0), Some("Deleted user"));
}
