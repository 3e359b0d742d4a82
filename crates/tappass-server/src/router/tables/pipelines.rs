//! What governs: pipelines, policies, allowlists, providers.

use http::{Method, StatusCode};

use crate::{
    params::{ListQuery, Listed},
    router::table::{AUDITOR, MEMBER, ORG_ADMIN, Route},
    routes::{allowlist, pipeline_check, pipeline_edit, pipelines, policies, providers},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(Method::GET, "/pipelines", MEMBER, pipelines::list, "Lists presets and pipelines")
            .asks::<ListQuery>()
            .gives::<Listed<pipelines::PipelineSummary>>(ok),
        Route::new(
            Method::GET,
            "/pipelines/{name}",
            MEMBER,
            pipelines::show,
            "What a pipeline does, step by step",
        )
        .gives::<pipelines::PipelineView>(ok),
        Route::new(
            Method::PUT,
            "/pipelines/{name}",
            ORG_ADMIN,
            pipelines::put,
            "Writes a pipeline: a preset with overrides, YAML or JSON",
        )
        .takes::<pipelines::PipelineFile>()
        .gives::<pipelines::PipelineView>(ok),
        Route::new(
            Method::GET,
            "/policies",
            AUDITOR,
            policies::list,
            "The four questions, the shipped policies and the own",
        )
        .gives::<Listed<policies::PolicyView>>(ok),
        Route::new(Method::GET, "/policies/{question}", AUDITOR, policies::show, "One question's policies")
            .gives::<policies::PolicyView>(ok),
        Route::new(
            Method::PUT,
            "/policies/{question}",
            ORG_ADMIN,
            policies::put,
            "Writes the organisation's policy; it tightens, never loosens",
        )
        .takes::<policies::PolicyText>()
        .gives::<policies::PolicyView>(ok),
        Route::new(
            Method::DELETE,
            "/policies/{question}",
            ORG_ADMIN,
            policies::remove,
            "Takes the organisation's policy back",
        )
        .gives_nothing(StatusCode::NO_CONTENT),
        Route::new(
            Method::POST,
            "/pipelines/import",
            ORG_ADMIN,
            pipelines::import,
            "Writes a pipeline; its name stands in the query or in the text",
        )
        .asks::<pipelines::ImportQuery>()
        .takes::<pipelines::PipelineFile>()
        .gives::<pipelines::PipelineView>(ok),
        Route::new(
            Method::POST,
            "/pipelines/check",
            MEMBER,
            pipeline_check::check,
            "What is wrong with a pipeline's text, and what it would change; writes nothing",
        )
        .takes::<pipeline_check::Unsaved>()
        .gives::<pipeline_check::Checked>(ok),
        Route::new(
            Method::POST,
            "/pipelines/edit",
            MEMBER,
            pipeline_edit::edit,
            "A pipeline's text with one parameter set, all else as it was written; writes nothing",
        )
        .takes::<pipeline_edit::Edit>()
        .gives::<pipeline_edit::Edited>(ok),
        Route::new(
            Method::GET,
            "/pipelines/{name}/versions",
            MEMBER,
            pipeline_check::versions,
            "The versions of a pipeline, the newest first",
        )
        .gives::<Listed<pipeline_check::VersionView>>(ok),
        Route::new(
            Method::GET,
            "/pipelines/{name}/export",
            MEMBER,
            pipelines::export,
            "A pipeline's text, as YAML",
        ),
        Route::new(
            Method::GET,
            "/allowlist",
            MEMBER,
            allowlist::show,
            "What the organisation never counts as a hit",
        )
        .gives::<allowlist::ListView>(ok),
        Route::new(Method::PUT, "/allowlist", ORG_ADMIN, allowlist::put, "Replaces the whole list")
            .takes::<allowlist::NewList>()
            .gives::<allowlist::ListView>(ok),
        Route::new(Method::POST, "/allowlist", ORG_ADMIN, allowlist::add, "Adds an entry; effective at once")
            .takes::<tappass_detect::AllowEntry>()
            .gives::<allowlist::EntryView>(StatusCode::CREATED),
        Route::new(Method::DELETE, "/allowlist/{entry}", ORG_ADMIN, allowlist::remove, "Removes an entry")
            .gives_nothing(StatusCode::NO_CONTENT),
        Route::new(Method::GET, "/api/providers", MEMBER, providers::list, "Where calls can go"),
    ]
}
