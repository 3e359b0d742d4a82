//! What the gateway knows of MCP, held against the official SDK.

use rmcp::model::{self, ConstString as _, ProtocolVersion};
use tappass_server::mcp::methods::{
    Kind, NEWEST_WITH_SESSIONS, REVISIONS, STATELESS, from_server, to_server,
};

#[test]
fn every_revision_of_the_sdk_that_has_the_transport_is_known() {
    // The oldest has no Streamable HTTP.
    let theirs: Vec<&str> =
        ProtocolVersion::KNOWN_VERSIONS.iter().map(ProtocolVersion::as_str).skip(1).collect();
    assert_eq!(theirs, REVISIONS);
    assert_eq!(ProtocolVersion::LATEST_WITH_INITIALIZE.as_str(), NEWEST_WITH_SESSIONS);
    assert_eq!(ProtocolVersion::NO_INITIALIZE.as_str(), STATELESS);
    assert_eq!(ProtocolVersion::STANDARD_HEADERS.as_str(), STATELESS);
}

#[test]
fn every_method_of_the_sdk_is_known() {
    for method in [
        model::InitializeResultMethod::VALUE,
        model::DiscoverRequestMethod::VALUE,
        model::PingRequestMethod::VALUE,
        model::ListResourcesRequestMethod::VALUE,
        model::ListResourceTemplatesRequestMethod::VALUE,
        model::ReadResourceRequestMethod::VALUE,
        model::SubscribeRequestMethod::VALUE,
        model::UnsubscribeRequestMethod::VALUE,
        model::SubscriptionsListenRequestMethod::VALUE,
        model::ListPromptsRequestMethod::VALUE,
        model::GetPromptRequestMethod::VALUE,
        model::SetLevelRequestMethod::VALUE,
        model::CompleteRequestMethod::VALUE,
        model::ListToolsRequestMethod::VALUE,
        model::CallToolRequestMethod::VALUE,
        model::GetTaskMethod::VALUE,
        model::UpdateTaskMethod::VALUE,
        model::CancelTaskMethod::VALUE,
        model::ListSkillsRequestMethod::VALUE,
        model::GetSkillRequestMethod::VALUE,
        model::ReadResourceDirectoryRequestMethod::VALUE,
        model::InitializedNotificationMethod::VALUE,
        model::CancelledNotificationMethod::VALUE,
        model::ProgressNotificationMethod::VALUE,
        model::RootsListChangedNotificationMethod::VALUE,
        model::ElicitationResponseNotificationMethod::VALUE,
    ] {
        assert_ne!(to_server(method), Kind::Unknown, "{method}");
    }
    for method in [
        model::PingRequestMethod::VALUE,
        model::CreateMessageRequestMethod::VALUE,
        model::ElicitationCreateRequestMethod::VALUE,
        model::ListRootsRequestMethod::VALUE,
        model::CancelledNotificationMethod::VALUE,
        model::ProgressNotificationMethod::VALUE,
        model::LoggingMessageNotificationMethod::VALUE,
        model::ResourceUpdatedNotificationMethod::VALUE,
        model::ResourceListChangedNotificationMethod::VALUE,
        model::PromptListChangedNotificationMethod::VALUE,
        model::ToolListChangedNotificationMethod::VALUE,
        model::TaskStatusNotificationMethod::VALUE,
        model::SubscriptionsAcknowledgedNotificationMethod::VALUE,
    ] {
        assert_ne!(from_server(method), Kind::Unknown, "{method}");
    }
    assert_eq!(to_server("novel/method"), Kind::Unknown);
    // What servers ask is nothing that agents may ask of them, and the reverse.
    assert_eq!(
        (to_server("sampling/createMessage"), from_server("tools/call")),
        (Kind::Unknown, Kind::Unknown)
    );
}
