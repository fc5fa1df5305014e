//! Files: uploaded, handed out, named by messages, and erased.

mod access;
mod direct;
mod hostile;
mod lifetime;
mod refused;
mod s3;

use std::path::PathBuf;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED};
use crate::harness::upload::{Form, encoded};
use crate::harness::{User, World, s3::files, tools};

/// A world whose node keeps files in a folder, with a conversation of two and somebody who is not in it.
struct Stage {
    world: World,
    folder: PathBuf,
    ada: User,
    ben: User,
    eve: User,
    chat: Uuid,
}

impl Stage {
    async fn set() -> Self {
        Self::set_with(&[]).await
    }

    async fn set_with(more: &[(&str, &str)]) -> Self {
        let folder = tools::folder("media");
        let url = format!("file://{}", folder.display());
        let spool = tools::folder("spool").display().to_string();
        let own = [("MESSAGING_MEDIA_URL", url.as_str()), ("MESSAGING_MEDIA_SPOOL", &spool)];
        let world = World::start_with(&[UNPACED, &own, more].concat()).await;
        Self::on(world, folder).await
    }

    async fn on(world: World, folder: PathBuf) -> Self {
        let (ada, ben, eve) = (world.user("Ada"), world.user("Ben"), world.user("Eve"));
        let chat = flow::open_direct(&world.node().rest(&ada), &ben).await;
        Self { world, folder, ada, ben, eve, chat }
    }

    /// A picture of Ada's in the conversation; the answer.
    async fn picture(&self) -> Value {
        let png = encoded(64, 48, image::ImageFormat::Png);
        let form =
            Form::file("p.png", "image/png", &png).with("conversationId", &self.chat.to_string());
        self.world.node().upload(&self.ada, form).await.expect(201)
    }

    /// Sends it as `user`; the answer.
    async fn send(&self, user: &User, uploaded: &Value) -> crate::harness::rest::Answer {
        let message = image_message(self.chat, uploaded);
        self.world.node().rest(user).post("/messages", message).await
    }

    /// How many objects are kept.
    fn kept(&self) -> usize {
        files(&self.folder)
    }

    async fn status(&self, user: &User, link: &str) -> u16 {
        self.world.node().fetch(Some(user), link).await.status().as_u16()
    }
}

fn image_message(chat: Uuid, uploaded: &Value) -> Value {
    json!({
        "conversationId": chat,
        "content": "",
        "type": "image",
        "metadata": {
            "imageUrl": uploaded["url"],
            "imageWidth": uploaded["width"],
            "imageHeight": uploaded["height"],
            "thumbnailUrl": uploaded["thumbnailUrl"],
            "blurhash": uploaded["blurhash"],
        },
    })
}

fn link(uploaded: &Value) -> &str {
    uploaded["url"].as_str().expect("a link")
}
