//! MCP servers, and the definitions of their tools.

use tappass_model::ToolRules;
use tappass_store::{McpDefinition, McpServer, McpSettings, Org, PageRequest, Store, StoreError};

use crate::support::{at, on_each, org, two_orgs};

fn server(org: &Org, name: &str) -> McpServer {
    McpServer {
        org_id: org.org_id,
        name: name.to_owned(),
        settings: McpSettings {
            description: "Tickets — ünïcode".to_owned(),
            url: "https://mcp.example.com/mcp".to_owned(),
            agents: vec!["support-*".to_owned()],
            tools: ToolRules { allow: vec!["read_*".to_owned()], deny: vec!["read_salary".to_owned()] },
            enabled: true,
            timeout_seconds: 60,
            header: Some("authorization".to_owned()),
        },
        credential: Some("sealed".to_owned()),
        version: 1,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn definition(text: &str) -> McpDefinition {
    McpDefinition { hash: format!("hash of {text}"), sealed: format!("sealed {text}") }
}

#[tokio::test]
async fn a_server_is_added_read_changed_and_removed() {
    on_each(async |store: Store| {
        let (ours, theirs) = two_orgs(&store).await;
        let servers = store.mcp_servers();
        let tickets = server(&ours, "tickets");
        assert!(servers.create(&tickets).await.expect("an answer"));
        assert!(matches!(servers.create(&tickets).await, Err(StoreError::Conflict(_))));
        assert!(!servers.create(&server(&org("Nowhere"), "x")).await.expect("an answer"));
        assert!(servers.create(&server(&ours, "archive")).await.expect("an answer"));
        assert_eq!(servers.get(ours.org_id, "tickets").await.expect("an answer"), Some(tickets.clone()));
        assert_eq!(servers.get(theirs.org_id, "tickets").await.expect("an answer"), None);

        let page = PageRequest { limit: 1, cursor: None };
        let first = servers.list(ours.org_id, &page).await.expect("a page");
        assert_eq!(first.items[0].name, "archive");
        let rest = PageRequest { limit: 1, cursor: first.next };
        assert_eq!(
            servers.list(ours.org_id, &rest).await.expect("a page").items,
            std::slice::from_ref(&tickets)
        );
        assert_eq!(servers.list(theirs.org_id, &page).await.expect("a page").items, []);

        let mut changed = tickets.clone();
        changed.settings.enabled = false;
        changed.credential = None;
        changed.updated_at = at(9);
        assert_eq!(servers.update(&changed).await.expect("an answer"), Some(2));
        assert!(matches!(servers.update(&changed).await, Err(StoreError::Stale(_))), "it was version 1");
        changed.version = 2;
        assert_eq!(servers.get(ours.org_id, "tickets").await.expect("an answer"), Some(changed.clone()));
        let foreign = McpServer { org_id: theirs.org_id, ..changed };
        assert_eq!(servers.update(&foreign).await.expect("an answer"), None);

        assert!(!servers.remove(theirs.org_id, "tickets", 2).await.expect("an answer"));
        assert!(matches!(servers.remove(ours.org_id, "tickets", 1).await, Err(StoreError::Stale(_))));
        assert!(servers.remove(ours.org_id, "tickets", 2).await.expect("an answer"));
        assert_eq!(servers.get(ours.org_id, "tickets").await.expect("an answer"), None);
    })
    .await;
}

#[tokio::test]
async fn the_first_definition_is_pinned_and_another_waits_for_an_admin() {
    on_each(async |store: Store| {
        let (ours, theirs) = two_orgs(&store).await;
        let servers = store.mcp_servers();
        for org in [&ours, &theirs] {
            assert!(servers.create(&server(org, "tickets")).await.expect("an answer"));
        }
        let saw = async |text: &str, second: i64| {
            let seen = definition(text);
            let known = servers.saw(ours.org_id, "tickets", "read", &seen, at(second)).await;
            known.expect("an answer").expect("a server")
        };
        let first = saw("a", 1).await;
        assert_eq!((&first.pinned, &first.changed, first.pinned_at), (&definition("a"), &None, at(1)));
        assert_eq!(saw("a", 2).await, first, "told again");
        let other = saw("b", 3).await;
        assert_eq!((&other.pinned, &other.changed), (&definition("a"), &Some(definition("b"))));
        assert_eq!(saw("b", 4).await.changed_at, Some(at(3)), "since it was first seen");
        assert_eq!(saw("c", 5).await.changed, Some(definition("c")));
        assert_eq!(saw("a", 6).await.changed, None, "back to what is pinned");
        let waits = saw("b", 7).await;
        assert_eq!(
            servers.tool(ours.org_id, "tickets", "read").await.expect("an answer"),
            Some(waits.clone())
        );
        assert_eq!(servers.tools(ours.org_id, "tickets").await.expect("an answer"), [waits]);
        assert_eq!(servers.tools(theirs.org_id, "tickets").await.expect("an answer"), []);

        let approve = async |org: &Org, hash: &str| {
            servers.approve(org.org_id, "tickets", hash, "ciso@ours.example", at(8)).await.expect("an answer")
        };
        assert!(!approve(&theirs, "hash of b").await && !approve(&ours, "hash of c").await);
        assert!(approve(&ours, "hash of b").await);
        assert!(!approve(&ours, "hash of b").await, "once");
        let pinned = saw("b", 9).await;
        assert_eq!((&pinned.pinned, &pinned.changed, pinned.pinned_at), (&definition("b"), &None, at(8)));
        assert_eq!(pinned.pinned_by.as_deref(), Some("ciso@ours.example"));

        let nowhere = servers.saw(ours.org_id, "nothing", "read", &definition("a"), at(1)).await;
        assert_eq!(nowhere.expect("an answer"), None);
        assert!(servers.remove(ours.org_id, "tickets", 1).await.expect("an answer"));
        assert_eq!(servers.tools(ours.org_id, "tickets").await.expect("an answer"), []);
    })
    .await;
}

#[tokio::test]
async fn of_first_definitions_at_once_one_is_pinned() {
    on_each(async |store: Store| {
        let (ours, _) = two_orgs(&store).await;
        assert!(store.mcp_servers().create(&server(&ours, "tickets")).await.expect("an answer"));
        let saw = |text: &'static str| {
            let store = store.clone();
            async move {
                let seen = definition(text);
                let known = store.mcp_servers().saw(ours.org_id, "tickets", "read", &seen, at(1)).await;
                known.expect("an answer").expect("a server").pinned
            }
        };
        let (a, b, c) = tokio::join!(saw("a"), saw("b"), saw("c"));
        assert!(a == b && b == c, "{a:?} {b:?} {c:?}");
    })
    .await;
}
