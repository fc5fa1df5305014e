//! Keeping communities and groups in order: who writes and how often, who comes in, who stays out, what is pinned.

mod flood;
mod joining;
mod newcomers;
mod pins;
mod posting;
mod retention;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::id_of;
use crate::harness::{Rest, User, World, Ws};

/// A community of Ada's with Bayo in it.
struct Scene {
    world: World,
    ada: User,
    bayo: User,
    id: Uuid,
}

impl Scene {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(settings: &[(&str, &str)]) -> Self {
        let world = World::start_with(settings).await;
        let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
        let id = community(&world.node().rest(&ada), &[&bayo]).await;
        Self { world, ada, bayo, id }
    }

    fn ada(&self) -> Rest {
        self.world.node().rest(&self.ada)
    }

    fn bayo(&self) -> Rest {
        self.world.node().rest(&self.bayo)
    }

    fn path(&self, rest: &str) -> String {
        format!("/conversations/{}{rest}", self.id)
    }

    async fn set(&self, settings: Value) -> Value {
        self.ada().patch(&self.path(""), settings).await.expect(200)
    }

    fn message(&self, content: &str) -> Value {
        json!({"conversationId": self.id, "content": content})
    }
}

async fn community(rest: &Rest, others: &[&User]) -> Uuid {
    let others: Vec<Uuid> = others.iter().map(|user| user.id).collect();
    let body = json!({"type": "community", "title": "Neighbours", "participantIds": others});
    id_of(&rest.post("/conversations", body).await.expect(201))
}

/// The next change of that kind; earlier ones of other kinds are passed over.
async fn change(ws: &mut Ws, change: &str) -> Value {
    loop {
        let data = ws.event("conversationUpdated").await["data"].take();
        if data["change"] == change {
            return data;
        }
    }
}
