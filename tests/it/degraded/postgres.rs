//! A Postgres that is slow, or does not answer and does not refuse either.

use super::*;
use crate::harness::proxy::{Mode, Proxy};

/// Both reach Postgres through the proxy, which stands in front so that it ends after them.
async fn behind_a_proxy() -> (Proxy, Scene) {
    let world = World::without_nodes().await;
    let (proxy, url) = world.database.proxy().await;
    let settings = [("POSTGRES_URL", url.as_str()), ("MESSAGING_POSTGRES_STATEMENT_TIMEOUT", "1s")];
    (proxy, scene(world, &settings).await)
}

#[tokio::test]
async fn a_slow_postgres_slows_no_chat() {
    const LATE: Duration = Duration::from_millis(200);
    const COUNT: usize = 30;
    let (proxy, scene) = behind_a_proxy().await;
    let (mut ada, mut ben) =
        (scene.world.nodes()[0].ws(&scene.ada).await, scene.world.nodes()[1].ws(&scene.ben).await);
    ada.say(scene.direct, "first").await;
    ben.messages(1).await;
    proxy.set(Mode::Delay(LATE));
    let asked = tokio::time::Instant::now();
    for number in 0..COUNT {
        ada.say(scene.direct, &number.to_string()).await;
        ben.messages(1).await;
    }
    let took = asked.elapsed();
    assert!(took < LATE * COUNT as u32, "{took:?}: some sends waited for Postgres");
    let rest = scene.world.nodes()[1].rest(&scene.ben);
    let path = format!("/conversations/{}/messages?limit=100", scene.direct);
    let page = rest.get(&path).await.expect(200);
    assert_eq!(page["messages"].as_array().expect("messages").len(), COUNT + 1, "late, and whole");
    proxy.set(Mode::Pass);
    assert_eq!(scene.world.log_and_table_agree(scene.direct).await, COUNT + 1);
}

#[tokio::test]
async fn a_postgres_that_hangs_is_given_up_in_time_while_chat_goes_on() {
    let (proxy, scene) = behind_a_proxy().await;
    let (mut ada, mut ben) =
        (scene.world.nodes()[0].ws(&scene.ada).await, scene.world.nodes()[1].ws(&scene.ben).await);
    ada.say(scene.direct, "first").await;
    ben.messages(1).await;
    proxy.set(Mode::Stall);
    let asked = tokio::time::Instant::now();
    let rest = scene.world.nodes()[1].rest(&scene.ben);
    let path = format!("/conversations/{}/messages", scene.direct);
    let reading = async {
        let answer = rest.get(&path).await;
        answer.refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
        asked.elapsed()
    };
    let chatting = async {
        for number in 0..20 {
            ada.say(scene.direct, &number.to_string()).await;
            ben.messages(1).await;
        }
        asked.elapsed()
    };
    let (gave_up, chatted) = tokio::join!(reading, chatting);
    // Two seconds for a connection, one for the statement, one to spare; twice, and the wait for what may be newer.
    assert!(gave_up < Duration::from_secs(10), "{gave_up:?}");
    assert!(chatted < Duration::from_secs(3), "{chatted:?}");
    for node in scene.world.nodes() {
        not_ready_because(node, "Postgres does not answer").await;
    }
    proxy.set(Mode::Cut);
    proxy.set(Mode::Pass);
    for node in scene.world.nodes() {
        ready(node).await;
    }
    assert_eq!(scene.world.log_and_table_agree(scene.direct).await, 21);
}

#[tokio::test]
async fn a_start_waits_longer_for_postgres_than_a_request_would() {
    // A connection takes both directions once, more than the two seconds that a request waits for one.
    const LATE: Duration = Duration::from_millis(1_500);
    let mut world = World::without_nodes().await;
    let (proxy, url) = world.database.proxy().await;
    let database = world.database.client().await;
    proxy.set(Mode::Delay(LATE));
    let arrived = async {
        let sql = "SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'messaging'";
        eventually("the first connection is there", async || {
            (!database.query(sql, &[]).await.expect("rows").is_empty()).then_some(())
        })
        .await;
        proxy.set(Mode::Pass);
    };
    let behind = [("POSTGRES_URL", url.as_str())];
    tokio::join!(world.add_node(&behind), arrived);
}
