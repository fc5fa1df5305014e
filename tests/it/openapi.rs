//! `/openapi.json` and `/docs`: complete, true, and there for everybody.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::tools::repository;
use crate::harness::{Rest, World};

async fn document(node: &str) -> Value {
    Rest::new(node, None).get("//openapi.json").await.expect(200)
}

/// Every `$ref` in a document.
pub fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Makes sure that every reference leads somewhere.
#[track_caller]
pub fn resolves(document: &Value) {
    let mut found = BTreeSet::new();
    references(document, &mut found);
    assert!(!found.is_empty(), "it refers to something");
    for reference in found {
        let inside = reference.strip_prefix('#').expect("nothing comes from elsewhere");
        assert!(document.pointer(inside).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_read_the_documents_and_nobody_fetches_them_twice() {
    let world = World::start().await;
    let node = &world.node().url;
    let client = reqwest::Client::new();
    for path in ["/openapi.json", "/asyncapi.json", "/docs", "/docs/rest/", "/docs/events"] {
        let first = client.get(format!("{node}{path}")).send().await.expect("an answer");
        assert_eq!(first.status(), 200, "{path}");
        assert_eq!(first.headers()["cache-control"], "public, max-age=300");
        let tag = first.headers()["etag"].clone();
        let again = client.get(format!("{node}{path}")).header("if-none-match", tag).send().await;
        let again = again.expect("an answer");
        assert_eq!((again.status().as_u16(), again.content_length()), (304, Some(0)), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_described_once_and_its_references_lead_somewhere() {
    let world = World::start().await;
    let document = document(&world.node().url).await;
    if let Some(file) = std::env::var_os("MESSAGING_TEST_OPENAPI") {
        std::fs::write(file, document.to_string()).expect("written");
    }
    resolves(&document);
    let mut names = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let what = format!("{method} {path}");
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name), "{name} names two operations");
            assert!(operation["summary"].is_string(), "{what} says what it does");
            let answers = operation["responses"].as_object().expect("answers");
            assert!(answers.keys().any(|status| status.starts_with('2')), "{what}");
            let parameters = operation["parameters"].as_array();
            let in_path = parameters.map_or(0, |p| p.iter().filter(|p| p["in"] == "path").count());
            assert_eq!(path.matches('{').count(), in_path, "{what} describes its path");
        }
    }
}

/// utoipa's router takes undocumented routes as well.
#[test]
fn no_route_of_clients_is_added_without_its_description() {
    let router =
        std::fs::read_to_string(repository().join("src/edge/http.rs")).expect("the router");
    assert!(!router.contains(".route("), "src/edge/http.rs adds routes with `routes!` only");
}
