//! `/app/settings`: what an organisation sets for all its people and agents.

use std::time::Duration;

use askama::Template;
use axum::{extract::State, response::Response};
use tappass_detect::AllowEntry;
use tappass_model::{OrgFlags, Role, flags::KNOWN};
use tappass_pipeline::allow::entry_id;
use tappass_store::OrgTerms;

use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
    },
    error::ApiError,
    kept::{MOST_DAYS, Payloads},
    routes::payloads::kept_now,
    state::{App, KEPT_QUESTIONS, KEPT_SESSIONS},
};

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings {
    shell: Shell,
    governs: bool,
    terms: OrgTerms,
    payloads: Payloads,
    payloads_version: i64,
    kept: u64,
    most_days: u16,
    allowed: Vec<(String, AllowEntry)>,
    allowed_version: i64,
    flags: Vec<FlagRow>,
    flags_version: i64,
    kept_questions: u64,
    kept_sessions: u64,
    /// How the licence stands; whoever runs the platform is told.
    license: Option<String>,
}

/// A flag, with what the organisation says about it.
struct FlagRow {
    name: &'static str,
    /// What it is about.
    about: &'static str,
    words: &'static [&'static str],
    lock: String,
    default: String,
}

impl FlagRow {
    fn all(flags: &OrgFlags) -> Vec<Self> {
        let (mut locks, mut defaults) = (flags.locks.to_map(), flags.defaults.to_map());
        let row = |(name, words): (&'static str, &'static [&'static str])| Self {
            name,
            about: about(name),
            words,
            lock: locks.remove(name).unwrap_or_default(),
            default: defaults.remove(name).unwrap_or_default(),
        };
        KNOWN.into_iter().map(row).collect()
    }

    /// Whether a list has all it can be.
    fn closed(&self) -> bool {
        self.words.iter().all(|word| !word.contains('<'))
    }

    /// Agents have a mode each, so there is no default of it.
    fn has_default(&self) -> bool {
        self.name != "mode"
    }

    fn is_set(&self) -> bool {
        !(self.lock.is_empty() && self.default.is_empty())
    }
}

fn about(flag: &str) -> &'static str {
    match flag {
        "mode" => "How strictly calls are governed",
        "pii" => "Personal data",
        "secrets" => "Keys and passwords",
        "email" => "E-mail that tools send",
        "budget" => "What calls and sessions may cost",
        "tools" => "Which tools may be used",
        "files" => "What tools may do to files",
        _ => "What tools may do to databases",
    }
}

impl Settings {
    fn any_flag(&self) -> bool {
        self.flags.iter().any(FlagRow::is_set)
    }
}

/// A span of time in days.
const fn days(span: Duration) -> u64 {
    span.as_secs() / (24 * 60 * 60)
}

/// The settings; forms for who governs.
///
/// # Errors
/// 404 when the organisation is gone.
pub async fn show(State(app): State<App>, viewer: Viewer) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let terms = app.store.orgs().terms(org).await?.ok_or_else(ApiError::not_found)?;
    let payloads = app.kept.settings.read(org).await?;
    let flags = app.org_flags.read(org).await?;
    let allowed = app.allowlists.read(org).await?;
    let license = viewer.may(Role::PlatformAdmin);
    let license =
        if license { Some(app.license.told(app.agent_count().await, app.clock.now())) } else { None };
    page::show(&Settings {
        shell: viewer.shell("/app/settings"),
        governs: viewer.governs(),
        terms,
        payloads_version: payloads.version,
        payloads: payloads.value,
        kept: kept_now(&app, org).await?,
        most_days: MOST_DAYS,
        allowed_version: allowed.version,
        allowed: allowed.value.entries().iter().map(|entry| (entry_id(entry), entry.clone())).collect(),
        flags: FlagRow::all(&flags.value),
        flags_version: flags.version,
        kept_questions: days(KEPT_QUESTIONS),
        kept_sessions: days(KEPT_SESSIONS),
        license,
    })
}
