//! The SPIFFE id that an admin sets for an agent.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{AUDIENCE, HOUR, World};
use crate::client::ask;

#[tokio::test]
async fn an_agent_with_an_id_of_its_own_is_known_by_that_alone() {
    let w = World::new().await;
    let call = async |path: &str| {
        let token = w.spire.domain(|domain| domain.token(path, AUDIENCE, HOUR));
        w.call(&token).await.status.as_u16()
    };
    let named = w.client.path("claims");
    assert_eq!((call(&named).await, call("/ns/prod/sa/claims").await), (200, 401));
    let set = w.change(&w.client, json!({"spiffe_id": "spiffe://corp.example/ns/prod/sa/claims"})).await;
    assert_eq!(set.status, 200, "{set:?}");
    assert_eq!(set.json()["spiffe_id"], "spiffe://corp.example/ns/prod/sa/claims");
    assert_eq!((call(&named).await, call("/ns/prod/sa/claims").await), (401, 200), "at once");
    let log = ask(&w.gateway, &w.client.admin, Method::GET, "/audit?event_type=config_changed", Value::Null)
        .await
        .json();
    let change = &log["items"][0]["details"]["changes"]["spiffe_id"];
    assert_eq!(change, &json!([null, "spiffe://corp.example/ns/prod/sa/claims"]));
    let unset = w.change(&w.client, json!({"spiffe_id": ""})).await;
    assert_eq!(unset.json()["spiffe_id"], Value::Null);
    assert_eq!((call(&named).await, call("/ns/prod/sa/claims").await), (200, 401));
}

#[tokio::test]
async fn no_two_agents_share_an_id() {
    let w = World::new().await;
    let id = json!({"spiffe_id": "spiffe://corp.example/ns/prod/sa/claims"});
    assert_eq!(w.change(&w.client, id.clone()).await.status, 200);
    let second = w.change(&w.other, id.clone()).await;
    assert_eq!(second.status, 409, "{second:?}");
    assert!(!second.text.contains(&w.client.id), "whose it is, is not theirs to know");
    assert_eq!(w.change(&w.client, id.clone()).await.status, 200, "one's own again");
    assert_eq!(w.change(&w.client, json!({"spiffe_id": ""})).await.status, 200);
    assert_eq!(w.change(&w.other, id).await.status, 200, "free again");
}

#[tokio::test]
async fn an_id_that_is_another_agents_by_name_cannot_be_taken() {
    let w = World::federated(&["partner.example"]).await;
    let set = async |id: &str| w.change(&w.other, json!({"spiffe_id": id})).await;
    for id in [
        format!("spiffe://corp.example{}", w.client.path("claims")),
        format!("spiffe://corp.example{}", w.client.path("not-registered-yet")),
        format!("spiffe://corp.example{}", w.other.path("another")),
        "spiffe://corp.example/agent/x".to_owned(),
        "spiffe://corp.example".to_owned(),
        "https://corp.example/x".to_owned(),
        "spiffe://corp.example/a b".to_owned(),
        "spiffe://corp.example/../x".to_owned(),
        "spiffe://unknown.example/x".to_owned(),
        // Accepted, and not for this organisation.
        "spiffe://partner.example/x".to_owned(),
    ] {
        let answer = set(&id).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (StatusCode::UNPROCESSABLE_ENTITY, json!("invalid_spiffe_id")),
            "{id}"
        );
    }
    assert_eq!(set(&format!("spiffe://corp.example{}", w.other.path("claims"))).await.status, 200, "its own");
}
