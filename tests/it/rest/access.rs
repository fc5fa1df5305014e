//! Who may do what: a table of route and role.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{conversation, id_of, say, unhurried};
use crate::harness::{Rest, User, World};

/// A status, and the code where it is a refusal.
type Outcome = (u16, &'static str);

const OK: Outcome = (200, "");
const CREATED: Outcome = (201, "");
const NOT_YOURS: Outcome = (403, "not_a_participant");
const FORBIDDEN: Outcome = (403, "forbidden");
const NOT_FOUND: Outcome = (404, "not_found");
const CONFLICT: Outcome = (409, "conflict");

/// What an outsider, a member and the only admin get; `{c}` is a group, `{m}` a message of another member,
/// `{u}` that member, `{new}` somebody nobody has seen.
struct Row {
    method: Method,
    path: &'static str,
    body: Option<Value>,
    outsider: Outcome,
    member: Outcome,
    admin: Outcome,
}

fn row(
    method: Method,
    path: &'static str,
    body: Option<Value>,
    [outsider, member, admin]: [Outcome; 3],
) -> Row {
    Row { method, path, body, outsider, member, admin }
}

fn table() -> Vec<Row> {
    let (get, post, put) = (|| Method::GET, || Method::POST, || Method::PUT);
    let (patch, delete) = (|| Method::PATCH, || Method::DELETE);
    let own = [NOT_YOURS, OK, OK];
    let managed = [NOT_YOURS, FORBIDDEN, OK];
    let send = json!({ "conversationId": "{c}", "content": "hello" });
    vec![
        row(get(), "/conversations/{c}", None, own),
        row(patch(), "/conversations/{c}", Some(json!({ "title": "New" })), managed),
        row(post(), "/conversations/{c}/archive", None, own),
        row(delete(), "/conversations/{c}/archive", None, own),
        row(post(), "/conversations/{c}/pin", None, own),
        row(delete(), "/conversations/{c}/pin", None, own),
        row(post(), "/conversations/{c}/mute", None, own),
        row(delete(), "/conversations/{c}/mute", None, own),
        row(post(), "/conversations/{c}/mark-read", None, own),
        row(get(), "/conversations/{c}/participants", None, own),
        row(
            post(),
            "/conversations/{c}/participants",
            Some(json!({ "userIds": ["{new}"] })),
            managed,
        ),
        row(delete(), "/conversations/{c}/participants/{u}", None, managed),
        row(
            patch(),
            "/conversations/{c}/participants/{u}",
            Some(json!({ "role": "admin" })),
            managed,
        ),
        row(post(), "/conversations/{c}/join", None, [NOT_YOURS, OK, OK]),
        row(post(), "/conversations/{c}/leave", None, [NOT_YOURS, OK, CONFLICT]),
        row(get(), "/conversations/{c}/messages", None, own),
        row(post(), "/messages", Some(send), [NOT_YOURS, CREATED, CREATED]),
        row(get(), "/messages/{m}", None, [NOT_FOUND, OK, OK]),
        row(
            put(),
            "/messages/{m}",
            Some(json!({ "content": "edited" })),
            [NOT_FOUND, FORBIDDEN, FORBIDDEN],
        ),
        row(delete(), "/messages/{m}", None, [NOT_FOUND, FORBIDDEN, OK]),
    ]
}

/// What the placeholders stand for in one case.
struct Case {
    conversation: String,
    message: String,
    other: String,
}

impl Case {
    fn fill(&self, text: &str) -> String {
        text.replace("{c}", &self.conversation)
            .replace("{m}", &self.message)
            .replace("{u}", &self.other)
            .replace("{new}", &Uuid::new_v4().to_string())
    }

    async fn call(&self, who: &Rest, row: &Row) -> (u16, String) {
        let body = row
            .body
            .as_ref()
            .map(|body| serde_json::from_str(&self.fill(&body.to_string())).expect("still JSON"));
        let answer = who.call(row.method.clone(), &self.fill(row.path), body.as_ref()).await;
        let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
        (answer.status, code)
    }
}

struct People {
    admin: User,
    member: User,
    other: User,
    outsider: User,
}

async fn fresh_case(world: &World, people: &People) -> Case {
    let node = world.node();
    let admin = node.rest(&people.admin);
    let id = conversation(&admin, "group", &[&people.member, &people.other]).await;
    let message = say(&node.rest(&people.other), &id, "from the other").await;
    Case { conversation: id, message: id_of(&message), other: people.other.id.to_string() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_exactly_what_the_table_says() {
    let world = unhurried().await;
    let people = People {
        admin: world.user("Ada"),
        member: world.user("Bayo"),
        other: world.user("Chidi"),
        outsider: world.user("Dayo"),
    };
    let node = world.node();
    let nobody = Rest::new(&node.url, None);
    for row in table() {
        let cases = [
            (&people.outsider, row.outsider),
            (&people.member, row.member),
            (&people.admin, row.admin),
        ];
        for (user, (status, code)) in cases {
            let case = fresh_case(&world, &people).await;
            let found = case.call(&node.rest(user), &row).await;
            let what = format!("{} {} as {}", row.method, row.path, user.name);
            assert_eq!(found, (status, code.to_owned()), "{what}");
        }
        let nowhere = Case {
            conversation: Uuid::new_v4().to_string(),
            message: Uuid::new_v4().to_string(),
            other: people.other.id.to_string(),
        };
        let found = nowhere.call(&node.rest(&people.admin), &row).await;
        let (status, code) = row.outsider;
        assert_eq!(found, (status, code.to_owned()), "{} {} nowhere", row.method, row.path);
        let found = nowhere.call(&nobody, &row).await;
        let what = format!("{} {} without a token", row.method, row.path);
        assert_eq!(found, (401, "unauthenticated".to_owned()), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_ids_are_named() {
    let world = unhurried().await;
    let ada = world.node().rest(&world.user("Ada"));
    for row in table().into_iter().filter(|row| row.path.contains('{')) {
        let path = row.path.replace("{c}", "7").replace("{m}", "7").replace("{u}", "7");
        let answer = ada.call(row.method.clone(), &path, row.body.as_ref()).await;
        assert_eq!(answer.status, 400, "{} {path}: {}", row.method, answer.body);
        assert_eq!(super::fields(&answer.body)[0], "id", "{} {path}", row.method);
    }
}
