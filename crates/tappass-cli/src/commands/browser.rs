//! Signing in in a browser on this machine, at an issuer that the gateway knows (RFC 8252): the browser comes back to a
//! port that only this process listens on, with a code that only this process can exchange for the session.

use std::{net::Ipv4Addr, process::Stdio, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tappass_identity::oidc::{self, FLOW_LIFE};
use tokio::{
    net::TcpListener,
    process::Command,
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    client::Client,
    error::{CliError, Exit},
    output::Out,
    safe, settings,
    table::cell,
};

/// An issuer that the gateway knows.
pub(super) struct Issuer {
    /// `google` or `oidc`.
    pub(super) id: String,
    name: String,
}

impl Issuer {
    /// As a choice.
    pub(super) fn offer(&self) -> String {
        format!("Sign in with {}, in a browser", safe::text(&self.name))
    }
}

/// The issuers that the gateway knows.
pub(super) async fn issuers(client: &Client) -> Result<Vec<Issuer>, CliError> {
    let known = client.get(&["auth", "providers"], &[]).await?;
    let items = known["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(items.iter().map(|item| Issuer { id: cell(item, "id"), name: cell(item, "name") }).collect())
}

/// A code that a browser brought, and where to say whether it was ours.
type Brought = (String, oneshot::Sender<bool>);

/// What the browser says.
#[derive(Deserialize)]
struct Asked {
    code: String,
}

/// Signs in at an issuer: the session. `org_name` makes an organisation for somebody who has no account.
pub(super) async fn sign_in(
    client: &Client,
    issuer: &str,
    org_name: Option<&str>,
    out: &mut Out,
) -> anyhow::Result<Value> {
    let server = &client.settings().url;
    if !issuers(client).await?.iter().any(|known| known.id == issuer) {
        return Err(CliError::usage(format!("nobody can sign in to {server} with `{issuer}`"))
            .mend("say login --email ADDRESS; how an operator adds an issuer is in docs/sign-in.md")
            .into());
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (verifier, challenge) = oidc::pkce();
    let mut query = vec![("port", listener.local_addr()?.port().to_string()), ("challenge", challenge)];
    query.extend(org_name.map(|name| ("org_name", name.to_owned())));
    let url = client.url(&["auth", issuer], &query);
    out.note(&format!("sign in in a browser on this machine, within ten minutes: {url}"));
    open(url.as_str());

    let (sender, mut brought) = mpsc::channel::<Brought>(1);
    let router = Router::new().route("/", get(page)).with_state(sender);
    let done = CancellationToken::new();
    let serving = axum::serve(listener, router).with_graceful_shutdown(done.clone().cancelled_owned());
    let session = async {
        let session = timeout(Duration::from_secs(FLOW_LIFE.unsigned_abs()), async {
            while let Some((code, ours)) = brought.recv().await {
                let exchanged =
                    client.post(&["auth", "cli"], &json!({"code": code, "verifier": verifier})).await;
                let _ = ours.send(exchanged.is_ok()); // the browser may have gone
                match exchanged {
                    // Anybody on this machine may knock; what is not ours changes nothing.
                    Err(e) if e.code.as_deref() == Some("sign_in_expired") => {}
                    other => return other,
                }
            }
            Err(CliError::failed("the port was closed"))
        });
        let session = session.await.unwrap_or_else(|_| {
            Err(CliError::new(Exit::Denied, "nobody signed in within ten minutes").mend("try again"))
        });
        done.cancel();
        session
    };
    let (served, session) = tokio::join!(serving.into_future(), session);
    served?;
    Ok(session?)
}

/// Where the browser comes back to.
async fn page(State(sender): State<mpsc::Sender<Brought>>, Query(asked): Query<Asked>) -> Response {
    let (ours, answer) = oneshot::channel();
    let signed_in = sender.send((asked.code, ours)).await.is_ok() && answer.await.unwrap_or(false);
    let (status, says) = if signed_in {
        (StatusCode::OK, "You are signed in. Close this page, and go back to the terminal.")
    } else {
        (StatusCode::BAD_REQUEST, "This is not the sign-in that the terminal waits for. Begin again there.")
    };
    let headers: [(HeaderName, &str); 3] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>TapPass</title><p>{says}</p></html>"
    );
    (status, headers, Html(page)).into_response()
}

/// Opens the address where there is a desktop; who has none has read it.
fn open(url: &str) {
    let desktop = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| settings::env(name).is_some());
    if desktop {
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let quiet = Stdio::null;
        let _ = Command::new(opener).arg(url).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
    }
}
