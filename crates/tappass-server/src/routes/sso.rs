//! People sign in at another issuer: `/auth/google`, `/auth/oidc`; in a browser, or with one for a program.

use std::net::IpAddr;

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tappass_audit::EventType;
use tappass_identity::{
    SignedIn,
    federated::{self, Vouched},
    oidc::{self, CommandLine, FLOW_LIFE, Flow, FlowError, Identity, Provider, Purpose},
};
use uuid::Uuid;

use crate::{
    body::{RawJson, typed},
    caller::Caller,
    cookies::Cookie,
    dashboard::page,
    error::ApiError,
    middleware::client_address,
    params::Params,
    record::Change,
    routes::auth::{Session, end_session_of_cookie},
    sso::{Issuing, SsoError},
    state::App,
};

/// The longest path to go to at the end.
const MAX_NEXT: usize = 512;

/// `GET /auth/google`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// A path of the gateway to go to when signed in. Without, the answer says who you are.
    #[serde(default)]
    next: Option<String>,
    /// Makes an organisation of this name for somebody without an account.
    #[serde(default)]
    org_name: Option<String>,
    /// For a program on the browser's machine (RFC 8252): at the end the browser takes a code for the session to this port
    /// of 127.0.0.1, `?code=…`, and keeps no session itself. Needs `challenge`.
    #[serde(default)]
    port: Option<u16>,
    /// The S256 challenge (RFC 7636) of the verifier that the program will show with the code.
    #[serde(default)]
    challenge: Option<String>,
}

/// `POST /auth/cli`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// What the browser brought. It works once, for a minute.
    code: String,
    /// What its challenge was made of.
    verifier: String,
}

/// What an issuer sends back. It may add what it likes.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Answer {
    /// What is exchanged for an ID token.
    #[serde(default)]
    code: Option<String>,
    /// What was sent along.
    #[serde(default)]
    state: Option<String>,
    /// Who answers (RFC 9207).
    #[serde(default)]
    iss: Option<String>,
    /// Why there is no code.
    #[serde(default)]
    error: Option<String>,
}

/// `POST /auth/google-token`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// An ID token of the issuer, for this client, not older than ten minutes. It works once.
    id_token: String,
    /// Makes an organisation of this name for somebody without an account.
    #[serde(default)]
    org_name: Option<String>,
    /// For a browser: the session goes into a cookie, and not into the answer.
    #[serde(default)]
    cookie: bool,
}

/// `POST /auth/google/link`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Linking {
    /// Where the browser goes on.
    url: String,
}

/// `GET /auth/providers`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ways {
    items: Vec<Way>,
}

/// An issuer one can sign in at.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Way {
    /// `google` or `oidc`.
    id: &'static str,
    /// What people know it by.
    name: String,
    /// Where a browser begins.
    path: String,
}

/// `GET /auth/identities`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Identities {
    items: Vec<IdentityView>,
}

/// Whom another issuer means by you.
#[derive(Debug, Serialize, JsonSchema)]
pub struct IdentityView {
    identity_id: Uuid,
    /// Who vouches.
    issuer: String,
    /// The address it told when it was bound.
    email: String,
    created_at: String,
    last_used_at: String,
}

/// `GET /auth/providers`
pub async fn ways(State(app): State<App>) -> Json<Ways> {
    let way = |one: &Issuing| {
        let issuer = one.issuer();
        let id = issuer.provider.id();
        Way { id, name: issuer.name.clone(), path: format!("/auth/{id}") }
    };
    Json(Ways { items: app.sso.configured().map(way).collect() })
}

/// `GET /auth/google`: sends the browser to the issuer.
pub async fn begin(provider: Provider, app: App, asked: Begin) -> Result<Response, ApiError> {
    let Begin { next, org_name, port, challenge } = asked;
    if next.as_deref().is_some_and(|next| !is_path(next)) {
        let detail = "`next` must be a path of the gateway: it begins with one slash.";
        return Err(ApiError::bad_request("invalid_next", detail));
    }
    let program = match (port, challenge) {
        (None, None) => None,
        (port, challenge) => {
            let both = port.zip(challenge);
            let program = both.and_then(|(port, challenge)| CommandLine::new(port, challenge));
            Some(program.ok_or_else(|| {
                let detail =
                    "`port` (from 1024 on) and `challenge` (the base64url of a SHA-256) belong together.";
                ApiError::bad_request("invalid_program", detail)
            })?)
        }
    };
    let (url, cookie) = sent(provider, &app, Purpose { next, org_name, link: None, program }).await?;
    let to = HeaderValue::from_str(url.as_str()).map_err(ApiError::internal)?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, to), (header::SET_COOKIE, cookie)]).into_response())
}

/// `POST /auth/google/link`: as `GET /auth/google`, to bind who comes back to the account that is signed in.
pub async fn link(provider: Provider, app: App, caller: Caller) -> Result<Response, ApiError> {
    let Caller::Person(person) = caller else { return Err(nobody()) };
    let purpose = Purpose { link: Some(person.user_id), ..Purpose::default() };
    let (url, cookie) = sent(provider, &app, purpose).await?;
    Ok(([(header::SET_COOKIE, cookie)], Json(Linking { url: url.into() })).into_response())
}

async fn sent(provider: Provider, app: &App, purpose: Purpose) -> Result<(Url, HeaderValue), ApiError> {
    let issuing = app.sso.issuer(provider)?;
    let flow = Flow::begin(provider, purpose, app.clock.now());
    let url = issuing.authorization(&flow, &redirect(app, provider)).await?;
    let sealed = flow.seal(app.sso.sealer()).map_err(ApiError::internal)?;
    Ok((url, Cookie::SignIn.set(app, &sealed, FLOW_LIFE)))
}

/// `GET /auth/google/callback`: where the issuer sends the browser back to.
pub async fn callback(provider: Provider, app: App, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let Params(answer) = Params::<Answer>::from_request_parts(&mut parts, &app).await?;
    let request = Request::from_parts(parts, body);
    let from = client_address(&request, &app.config.trusted_proxies);
    let done = ended(provider, &app, answer, request.headers(), from).await;
    // Whatever came of it, it was begun once and has ended.
    done.map_err(|e| e.header(header::SET_COOKIE, Cookie::SignIn.clear(&app)))
}

async fn ended(
    provider: Provider,
    app: &App,
    answer: Answer,
    headers: &HeaderMap,
    from: Option<IpAddr>,
) -> Result<Response, ApiError> {
    let issuing = app.sso.issuer(provider)?;
    let sealed = Cookie::SignIn.read(app, headers)?.unwrap_or_default();
    let state = answer.state.unwrap_or_default();
    let flow = Flow::open(&sealed, app.sso.sealer(), provider, &state, app.clock.now())
        .map_err(|e| ApiError::bad_request("sign_in_expired", format!("{e}: begin again.")))?;
    app.accounts.once(&state).await?;
    issuing.answered_by(answer.iss.as_deref()).await?;
    let code = match (answer.code, answer.error) {
        (Some(code), None) => code,
        (_, error) => {
            return Err(SsoError::Refused(error.unwrap_or_default()).into());
        }
    };
    let identity = issuing.exchange(&code, &flow, &redirect(app, provider)).await?;
    let purpose = flow.purpose();
    if let Some(program) = &purpose.program {
        let done = entered(app, issuing, &identity, purpose.org_name.as_deref(), from).await?;
        return handed_over(app, program, &done);
    }
    let mut response = match purpose.link {
        Some(user_id) => linked(app, &identity, user_id, headers).await?,
        None => {
            let done = entered(app, issuing, &identity, purpose.org_name.as_deref(), from).await?;
            end_session_of_cookie(app, headers).await?;
            Session::answer(app, &done, true)
        }
    };
    // Who came with a browser and said nothing of where to go is shown a page, not JSON.
    let usual =
        page::is_asked_for(headers).then_some(if purpose.link.is_some() { "/app/account" } else { "/app" });
    if let Some(next) = purpose.next.as_deref().or(usual).and_then(|next| HeaderValue::from_str(next).ok()) {
        let cookies = response.headers_mut().remove(header::SET_COOKIE);
        response = (StatusCode::SEE_OTHER, [(header::LOCATION, next)]).into_response();
        response.headers_mut().extend(cookies.map(|cookie| (header::SET_COOKIE, cookie)));
    }
    response.headers_mut().append(header::SET_COOKIE, Cookie::SignIn.clear(app));
    Ok(response)
}

/// Sends the browser, which keeps no session, to the program that waits for one.
fn handed_over(app: &App, program: &CommandLine, done: &SignedIn) -> Result<Response, ApiError> {
    let session = serde_json::to_string(&Session::of(done)).map_err(ApiError::internal)?;
    let code = program.code(app.sso.sealer(), session, app.clock.now()).map_err(ApiError::internal)?;
    // By its address: a name could be somebody else's.
    let machine = format!("http://127.0.0.1:{}/", program.port());
    let to = Url::parse_with_params(&machine, [("code", code)]).map_err(ApiError::internal)?;
    let to = HeaderValue::from_str(to.as_str()).map_err(ApiError::internal)?;
    let headers = [(header::LOCATION, to), (header::SET_COOKIE, Cookie::SignIn.clear(app))];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// `POST /auth/cli`: the session that a browser has made for a program.
pub async fn collect(State(app): State<App>, RawJson(bytes): RawJson) -> Result<Response, ApiError> {
    if app.sso.configured().next().is_none() {
        let detail = "Nobody signs in here at another issuer: the operator configures none.";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "sso_not_configured", detail));
    }
    let Collect { code, verifier } = typed(&bytes)?;
    let session =
        oidc::collect(&code, &verifier, app.sso.sealer(), app.clock.now()).map_err(|FlowError| {
            let detail = "This code is over, or was made for another program: begin again.";
            ApiError::bad_request("sign_in_expired", detail)
        })?;
    app.accounts.once(&code).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], session).into_response())
}

/// Binds who came back to whoever began it, if their session is still the browser's.
async fn linked(
    app: &App,
    identity: &Identity,
    user_id: Uuid,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let token = Cookie::Session.read(app, headers)?.unwrap_or_default();
    let person = app.authenticator.person(&token).await.ok().filter(|person| person.user_id == user_id);
    let Some(person) = person else {
        return Err(ApiError::unauthorized(
            "The session that began this has ended: sign in and begin again.",
        ));
    };
    if app.accounts.link_vouched(identity, &person).await? {
        let details = json!({"identity": "linked", "issuer": identity.issuer, "address": identity.email});
        app.changed(Change::by(EventType::ConfigChanged, person.org_id, &person.email).details(details))
            .await?;
    }
    Ok(Json(identities_of(app, user_id).await?).into_response())
}

/// `POST /auth/google-token`
pub async fn token(provider: Provider, app: App, request: Request) -> Result<Response, ApiError> {
    let from = client_address(&request, &app.config.trusted_proxies);
    let headers = request.headers().clone();
    let issuing = app.sso.issuer(provider)?;
    let RawJson(bytes) = RawJson::from_request(request, &app).await?;
    let given: Token = typed(&bytes)?;
    if given.cookie {
        app.same_origin(&headers)?;
    }
    let identity = issuing.believe(&given.id_token, None).await?;
    app.accounts.once(&given.id_token).await?;
    let done = match entered(&app, issuing, &identity, given.org_name.as_deref(), from).await {
        Ok(done) => done,
        Err(error) => {
            // It opened nothing: the client may try again, with `org_name` for instance.
            app.accounts.not_used(&given.id_token).await?;
            return Err(error);
        }
    };
    if given.cookie {
        end_session_of_cookie(&app, &headers).await?;
    }
    Ok(Session::answer(&app, &done, given.cookie))
}

async fn entered(
    app: &App,
    issuing: &Issuing,
    identity: &Identity,
    org_name: Option<&str>,
    from: Option<IpAddr>,
) -> Result<SignedIn, ApiError> {
    let issuer = issuing.issuer();
    let domain = issuer.domain(identity);
    if !issuer.admits(domain.as_deref()) {
        let detail =
            format!("{} may sign in people of certain domains only; yours is none of them.", issuer.name);
        return Err(ApiError::new(StatusCode::FORBIDDEN, "domain_not_allowed", detail));
    }
    let join = domain.as_deref().and_then(|domain| app.config.sso.joins(domain));
    let who = Vouched { identity, spoken_for: domain.is_some(), join, org_name, from };
    let (done, way) = app.accounts.enter_vouched(who).await?;
    if way == federated::Way::Founded {
        app.begins_with_license(done.org.org_id).await;
    }
    let details = json!({
        "from": from, "session_id": done.session.session_id, "issuer": identity.issuer, "way": way,
    });
    app.changed(Change::by(EventType::Signin, done.org.org_id, &done.user.email).details(details)).await?;
    Ok(done)
}

/// `GET /auth/identities`
pub async fn identities(State(app): State<App>, caller: Caller) -> Result<Json<Identities>, ApiError> {
    let Caller::Person(person) = caller else { return Err(nobody()) };
    Ok(Json(identities_of(&app, person.user_id).await?))
}

async fn identities_of(app: &App, user_id: Uuid) -> Result<Identities, ApiError> {
    let all = app.store.identities().of(user_id).await?;
    let view = |one: tappass_store::LinkedIdentity| IdentityView {
        identity_id: one.identity_id,
        issuer: one.issuer,
        email: one.email,
        created_at: tappass_model::clock::rfc3339(one.created_at),
        last_used_at: tappass_model::clock::rfc3339(one.last_used_at),
    };
    Ok(Identities { items: all.into_iter().map(view).collect() })
}

/// `DELETE /auth/identities/{identity}`: that issuer's word opens the account no more, unless it is bound again.
pub async fn unlink(
    State(app): State<App>,
    axum::extract::Path(identity): axum::extract::Path<String>,
    caller: Caller,
) -> Result<StatusCode, ApiError> {
    let Caller::Person(person) = caller else { return Err(nobody()) };
    let identity: Uuid = identity.parse().map_err(|_| ApiError::not_found())?;
    if !app.store.identities().remove(person.user_id, identity).await? {
        return Err(ApiError::not_found());
    }
    let details = json!({"identity": "unlinked", "identity_id": identity});
    app.changed(Change::by(EventType::ConfigChanged, person.org_id, &person.email).details(details)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn nobody() -> ApiError {
    ApiError::bad_request("no_account", "The admin key is nobody's account: sign in as a person.")
}

fn redirect(app: &App, provider: Provider) -> String {
    format!("{}/auth/{}/callback", app.base_url().trim_end_matches('/'), provider.id())
}

/// Whether this is a path of ours, whatever a browser makes of it: one slash first, nothing that turns into another.
fn is_path(next: &str) -> bool {
    let ours = "http://gateway.invalid";
    let stays = || {
        Url::parse(ours)
            .and_then(|base| base.join(next))
            .is_ok_and(|url| url.origin().ascii_serialization() == ours)
    };
    next.starts_with('/')
        && !next.starts_with("//")
        && next.len() <= MAX_NEXT
        && !next.contains('\\')
        && next.chars().all(|c| c.is_ascii_graphic())
        && stays()
}

impl From<SsoError> for ApiError {
    fn from(e: SsoError) -> Self {
        match e {
            SsoError::Issuer(_) => {
                let detail = "The issuer cannot be asked now; the log says why, under this request id.";
                Self::new(StatusCode::BAD_GATEWAY, "issuer_unavailable", detail).because(e)
            }
            SsoError::Refused(why) => {
                let why = crate::sso::word(&why);
                let detail = format!("The issuer did not sign you in ({why}): begin again.");
                Self::new(StatusCode::UNAUTHORIZED, "sign_in_refused", detail)
            }
            SsoError::Token(e) => {
                let detail = format!("The ID token is not accepted: {e}.");
                Self::new(StatusCode::UNAUTHORIZED, "invalid_id_token", detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for ours in ["/", "/dashboard", "/a/b?c=d&e=%2F%2Fx#f", "/a//b", "/@evil.example"] {
            assert!(is_path(ours), "{ours}");
        }
        for other in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/é",
            &format!("/{}", "a".repeat(MAX_NEXT)),
        ] {
            assert!(!is_path(other), "{other}");
        }
    }
}
