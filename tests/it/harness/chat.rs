//! Two people in a direct conversation, on two nodes.

use uuid::Uuid;

use super::flow::{self, UNPACED};
use super::{User, World};

pub struct Chat {
    pub world: World,
    pub ada: User,
    pub bayo: User,
    pub id: Uuid,
}

impl Chat {
    pub async fn start() -> Self {
        let mut world = World::start_with(UNPACED).await;
        world.add_node(UNPACED).await;
        let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
        let id = flow::open_direct(&world.node().rest(&ada), &bayo).await;
        Self { world, ada, bayo, id }
    }
}
