//! The server's HTTP contract, as the commands use it. An answer that is an error becomes one sentence, what to
//! do, and an exit code.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode, Url, redirect};
use serde_json::Value;

use crate::{
    error::{CliError, Exit},
    safe,
    settings::{Settings, is_loopback},
};

const CONNECT: Duration = Duration::from_secs(5);
/// For an answer as a whole; streams have no end.
const WHOLE: Duration = Duration::from_secs(60);

/// Query parameters.
pub type Query<'a> = &'a [(&'a str, String)];

/// A server, and who asks it.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    settings: Settings,
}

impl Client {
    /// For these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    #[expect(clippy::disallowed_methods, reason = "the command line's one factory of HTTP clients")]
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        // A redirect could carry the token elsewhere.
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("tappass/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&settings.url) {
            builder = builder.no_proxy();
        }
        // Without TLS no authorities are needed: a machine may have none.
        if settings.url.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|e| {
            CliError::failed(format!("cannot set up HTTPS: {}", chain(&e)))
                .mend("install the system's root certificates (the package `ca-certificates`)")
        })?;
        Ok(Self { http, settings })
    }

    /// Which server, and who asks.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// An address of the server; each part of the path is encoded.
    #[must_use]
    pub fn url(&self, path: &[&str], query: Query<'_>) -> Url {
        let mut url = self.settings.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Reads.
    ///
    /// # Errors
    /// [`CliError`]
    pub async fn get(&self, path: &[&str], query: Query<'_>) -> Result<Value, CliError> {
        self.call(Method::GET, path, query, None).await
    }

    /// One page of a list, and the next page's cursor.
    ///
    /// # Errors
    /// [`CliError`]
    pub async fn page(
        &self,
        path: &[&str],
        query: Query<'_>,
    ) -> Result<(Vec<Value>, Option<String>), CliError> {
        let mut page = self.get(path, query).await?;
        let next = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        match page.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok((items, next)),
            _ => Err(self.stranger()),
        }
    }

    /// A whole list, page by page.
    ///
    /// # Errors
    /// [`CliError`]
    pub async fn list(&self, path: &[&str], query: Query<'_>) -> Result<Vec<Value>, CliError> {
        let (mut all, mut next) = self.page(path, query).await?;
        while let Some(cursor) = next {
            let mut query = query.to_vec();
            query.push(("cursor", cursor));
            let (more, after) = self.page(path, &query).await?;
            all.extend(more);
            next = after;
        }
        Ok(all)
    }

    /// Sends something.
    ///
    /// # Errors
    /// [`CliError`]
    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Value, CliError> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// Any request whose answer is JSON or nothing.
    ///
    /// # Errors
    /// [`CliError`]
    pub async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: Query<'_>,
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let done = tokio::time::timeout(WHOLE, self.patiently(method, path, query, body)).await;
        done.unwrap_or_else(|_| Err(self.too_slow()))
    }

    /// As [`Client::call`], for work that takes as long as it takes.
    ///
    /// # Errors
    /// [`CliError`]
    pub async fn patiently(
        &self,
        method: Method,
        path: &[&str],
        query: Query<'_>,
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let response = self.success(self.send(method, path, query, &[], body).await?).await?;
        let bytes = response.bytes().await.map_err(|e| self.broken(&e))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| self.stranger())
    }

    /// Sends a request and gives its answer, if it is a success, before its body: for streams.
    ///
    /// # Errors
    /// [`CliError`]
    pub async fn open(&self, method: Method, path: &[&str], query: Query<'_>) -> Result<Response, CliError> {
        self.success(self.send(method, path, query, &[], None).await?).await
    }

    /// Sends a request and gives its answer, whatever its status, before its body.
    ///
    /// # Errors
    /// [`CliError`] when there is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: Query<'_>,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response, CliError> {
        let mut request = self.request(method, path, query, headers);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.map_err(|e| self.unreachable(&e))
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: Query<'_>,
        headers: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, self.url(path, query));
        if let Some(token) = &self.settings.token {
            request = request.bearer_auth(&token.secret);
        }
        if let Some(org) = &self.settings.org {
            request = request.header("x-tappass-org", org);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }

    fn too_slow(&self) -> CliError {
        let what = format!("{} did not answer within {} s", self.settings.url, WHOLE.as_secs());
        CliError::new(Exit::Unreachable, what).mend("see how it is with `tappass status`")
    }

    /// Sends a text that is no JSON, and gives the answer, which is.
    ///
    /// # Errors
    /// [`CliError`]
    pub async fn send_text(
        &self,
        method: Method,
        path: &[&str],
        query: Query<'_>,
        headers: &[(&str, &str)],
        text: String,
    ) -> Result<Value, CliError> {
        let mut request = self.request(method, path, query, headers);
        request = request.header("content-type", "application/yaml").body(text);
        let sent = tokio::time::timeout(WHOLE, request.send()).await;
        let answer = sent.map_err(|_| self.too_slow())?.map_err(|e| self.unreachable(&e))?;
        let (text, _) = self.text_of(answer).await?;
        serde_json::from_str(&text).map_err(|_| self.stranger())
    }

    /// Sends JSON as it came, and gives the answer, which is JSON too.
    ///
    /// # Errors
    /// [`CliError`]
    pub async fn post_bytes(
        &self,
        path: &[&str],
        query: Query<'_>,
        headers: &[(&str, &str)],
        json: Vec<u8>,
    ) -> Result<Value, CliError> {
        let request =
            self.request(Method::POST, path, query, headers).header("content-type", "application/json");
        let answer = request.body(json).send().await.map_err(|e| self.unreachable(&e))?;
        let bytes = self.success(answer).await?.bytes().await.map_err(|e| self.broken(&e))?;
        serde_json::from_slice(&bytes).map_err(|_| self.stranger())
    }

    /// An answer's text and its tag, if it is a success.
    ///
    /// # Errors
    /// [`CliError`]
    pub async fn text_of(&self, answer: Response) -> Result<(String, Option<String>), CliError> {
        let answer = self.success(answer).await?;
        let tag = answer.headers().get("etag").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let text = tokio::time::timeout(WHOLE, answer.text()).await.map_err(|_| self.too_slow())?;
        Ok((text.map_err(|e| self.broken(&e))?, tag))
    }

    async fn success(&self, response: Response) -> Result<Response, CliError> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = tokio::time::timeout(WHOLE, response.bytes()).await;
        let body = body.ok().and_then(Result::ok).and_then(|b| serde_json::from_slice(&b).ok());
        Err(self.refused(status, body.as_ref()))
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        let url = &self.settings.url;
        if error.is_builder() {
            return CliError::usage(format!("the request cannot be sent: {}", chain(error))).mend(
                "check TAPPASS_TOKEN, TAPPASS_API_KEY and TAPPASS_FLAGS for line breaks and odd characters",
            );
        }
        let mend = if is_loopback(url) {
            "start the server with `tappass up`, or name another one with --server or TAPPASS_URL"
        } else {
            "check the address (--server, TAPPASS_URL) and that the server runs"
        };
        CliError::new(Exit::Unreachable, format!("cannot reach {url}: {}", chain(error))).mend(mend)
    }

    /// The answer broke off.
    pub(crate) fn broken(&self, error: &reqwest::Error) -> CliError {
        let what = format!("{} broke off its answer: {}", self.settings.url, chain(error));
        CliError::new(Exit::Unreachable, what).mend("try again; see how it is with `tappass status`")
    }

    fn stranger(&self) -> CliError {
        CliError::new(Exit::Unreachable, format!("{} does not answer as TapPass does", self.settings.url))
            .mend("check the address (--server, TAPPASS_URL)")
    }

    /// An answer that is an error.
    pub(crate) fn refused(&self, status: StatusCode, body: Option<&Value>) -> CliError {
        let code = body.and_then(|b| b.get("code")).and_then(Value::as_str).map(str::to_owned);
        CliError { code, ..self.told(status, body) }
    }

    fn told(&self, status: StatusCode, body: Option<&Value>) -> CliError {
        let Some(sentence) = body.and_then(sentence) else { return self.stranger() };
        let id = body.and_then(|b| b.get("request_id")).and_then(Value::as_str);
        let what = match id.filter(|_| status.is_server_error()) {
            Some(id) => safe::text(&format!("{sentence} (request {id})")),
            None => safe::text(sentence),
        };
        let code = body.and_then(|b| b.get("code")).and_then(Value::as_str);
        if let Some((exit, mend)) = code.and_then(known) {
            return CliError::new(exit, what).mend(mend);
        }
        let origin = self.settings.token.as_ref().map(|t| t.origin.as_str());
        match (status, origin) {
            (StatusCode::UNAUTHORIZED, None) => CliError::new(Exit::Denied, format!("not signed in: {what}"))
                .mend("sign in with `tappass login`, or set TAPPASS_TOKEN"),
            (StatusCode::UNAUTHORIZED, Some(origin)) => {
                CliError::new(Exit::Denied, format!("the token from {origin} is not accepted: {what}"))
                    .mend("sign in with `tappass login`, or set TAPPASS_TOKEN")
            }
            (StatusCode::FORBIDDEN, Some(origin)) => CliError::new(Exit::Denied, what).mend(format!(
                "the token from {origin} may not do this: sign in as someone who may, with `tappass login`"
            )),
            (StatusCode::FORBIDDEN, None) => {
                CliError::new(Exit::Denied, what).mend("sign in with `tappass login`")
            }
            (
                StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY,
                _,
            ) => CliError::usage(what),
            (StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT, _) => {
                CliError::new(Exit::Unreachable, what).mend("see how the server is with `tappass status`")
            }
            _ => CliError::failed(what),
        }
    }
}

/// Errors that a command mends better than their status tells.
fn known(code: &str) -> Option<(Exit, &'static str)> {
    match code {
        "wrong_credentials" => Some((Exit::Denied, "check both; `tappass signup` makes an account")),
        "wrong_code" => Some((Exit::Denied, "try again with the app's next code, or with a recovery code")),
        "second_factor_required" => Some((
            Exit::Denied,
            "set one up: POST /auth/second-factor, then POST /auth/second-factor/confirm",
        )),
        "session_needed" => Some((Exit::Denied, "sign in with `tappass login`")),
        "above_your_role" => Some((Exit::Denied, "ask somebody of a higher role")),
        "last_admin" => Some((Exit::Failed, "`tappass people role EMAIL org_admin` makes another")),
        "invalid_link" => {
            Some((Exit::Denied, "ask an admin: `tappass people invite` or `tappass people reset`"))
        }
        "email_taken" => Some((Exit::Failed, "sign in with `tappass login`")),
        "no_organisation" => Some((Exit::Failed, "make one with `tappass signup --email you@example.com`")),
        "org_id_needed" => Some((Exit::Usage, "name one with --org, or sign in with `tappass login`")),
        "four_eyes" => Some((Exit::Denied, "ask somebody else who governs the organisation to decide it")),
        "already_decided" => {
            Some((Exit::Failed, "`tappass approvals list --state all` shows what became of it"))
        }
        "unknown_pipeline" => Some((Exit::Usage, "`tappass gov pipelines` lists them")),
        _ => None,
    }
}

/// What went wrong, from an error body: RFC 9457's `detail`, or the model routes' `error.message`.
fn sentence(body: &Value) -> Option<&str> {
    let found = body.get("detail").or_else(|| body.pointer("/error/message")).or_else(|| body.get("message"));
    found.and_then(Value::as_str)
}

/// An error with its causes, in one line. Without the address, which reqwest puts in and we have said.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = cause.to_string();
        next = cause.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::Token;

    fn client(token: bool) -> Client {
        // Tests have no main that would have chosen one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let url = Url::parse("http://127.0.0.1:1/gw").expect("an address");
        let token = token.then(|| Token { secret: "s3cret".to_owned(), origin: "TAPPASS_TOKEN".to_owned() });
        Client::new(Settings { url, token, org: None, notes: Vec::new() }).expect("a client")
    }

    #[test]
    fn path_parts_are_encoded() {
        let url = client(false).url(&["agents", "a/../b c?"], &[("cursor", "x&y=".to_owned())]);
        assert_eq!(url.as_str(), "http://127.0.0.1:1/gw/agents/a%2F..%2Fb%20c%3F?cursor=x%26y%3D");
    }

    #[test]
    fn each_status_has_its_exit_code() {
        let problem = json!({"detail": "No.", "request_id": "r-1"});
        let exit = |status: u16, token| {
            let status = StatusCode::from_u16(status).expect("a status");
            let error = client(token).refused(status, Some(&problem));
            assert!(!error.what.contains("s3cret"));
            (error.exit, error.what)
        };
        assert_eq!(exit(401, false), (Exit::Denied, "not signed in: No.".to_owned()));
        assert_eq!(exit(401, true).1, "the token from TAPPASS_TOKEN is not accepted: No.");
        assert_eq!(exit(403, true), (Exit::Denied, "No.".to_owned()));
        assert_eq!(exit(404, true), (Exit::Failed, "No.".to_owned()));
        assert_eq!(exit(422, true).0, Exit::Usage);
        assert_eq!(exit(500, true), (Exit::Failed, "No. (request r-1)".to_owned()));
        assert_eq!(exit(503, true).0, Exit::Unreachable);
        assert_eq!(client(true).refused(StatusCode::OK, None).exit, Exit::Unreachable);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_exit_5() {
        let error = client(false).get(&["health"], &[]).await.expect_err("nobody there");
        assert_eq!(error.exit, Exit::Unreachable);
        assert!(
            error.what.contains("http://127.0.0.1:1/gw: ") && error.what.contains("refused"),
            "{}",
            error.what
        );
        assert!(error.mend.is_some_and(|m| m.contains("tappass up")));
    }
}
