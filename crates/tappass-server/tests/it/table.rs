//! The route table and what is made of it.

use std::collections::BTreeSet;

use serde_json::Value;
use tappass_server::{
    error::ErrorShape,
    router::{Auth, Route, openapi, table},
};

use crate::client::{gateway, get};

/// Every `$ref` of a document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| match value {
            Value::String(target) if key == "$ref" => found.push(target.clone()),
            _ => references(value, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// The routes for programs: all but the dashboard's pages.
fn api() -> impl Iterator<Item = Route> {
    table::routes().into_iter().filter(|route| route.shape != ErrorShape::Page)
}

#[tokio::test]
async fn the_document_lists_every_route_and_every_reference_leads_somewhere() {
    let document = get(&gateway().await, "/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = 0;
    let mut ids = BTreeSet::new();
    for route in api() {
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        assert!(
            operation["summary"].as_str().is_some_and(|s| !s.is_empty()),
            "{} {}",
            route.method,
            route.path
        );
        assert!(
            ids.insert(operation["operationId"].to_string()),
            "{} stands twice",
            operation["operationId"]
        );
        assert_eq!(
            operation["security"].as_array().map(Vec::is_empty),
            Some(matches!(route.auth, Auth::Open | Auth::Public)),
        );
        operations += 1;
    }
    let listed: usize = document["paths"]
        .as_object()
        .expect("paths")
        .values()
        .map(|p| p.as_object().map_or(0, serde_json::Map::len))
        .sum();
    assert_eq!(listed, operations);
    let mut targets = Vec::new();
    references(&document, &mut targets);
    assert!(!targets.is_empty());
    for target in targets {
        let pointer = target.strip_prefix('#').expect("a reference inside the document");
        assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
    }
}

#[tokio::test]
async fn the_page_shows_every_route_without_outside_assets() {
    let page = get(&gateway().await, "/v1/api-docs").await;
    assert!(page.header("content-type").starts_with("text/html"));
    for route in api() {
        assert!(page.text.contains(&format!("<code>{}</code>", route.path)), "{}", route.path);
    }
    assert!(!page.text.contains("<script") && !page.text.contains("//"));
}

/// Set UPDATE=1 to write it.
#[test]
fn the_published_document_is_fresh() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let fresh = format!("{:#}\n", openapi::document(&table::routes()));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, &fresh).expect("written");
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(published == fresh, "docs/reference/openapi.json is stale: run the test with UPDATE=1");
}
