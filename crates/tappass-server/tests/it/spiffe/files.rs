//! mTLS with nothing but files: our certificate, its key, and the bundles.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use rcgen::{BasicConstraints, IsCa};
use serde_json::{Value, json};
use tappass_model::{Ids as _, SystemIds};
use tappass_server::{Config, Federated, Gateway, Limits, Running, Server, Spiffe};
use tappass_testkit::spire::{Svid, TrustDomain};

use super::{AUDIENCE, Connection, HOUR, Org, soon};
use crate::client::{ask, config, setup};

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// Writes what the gateway reads, as whoever rotates it would.
fn write(dir: &Path, domain: &TrustDomain) {
    let svid = domain.svid("/tappass", HOUR);
    std::fs::write(dir.join("key.pem"), pem("PRIVATE KEY", &svid.key)).expect("written");
    std::fs::write(dir.join("certificate.pem"), pem("CERTIFICATE", &svid.certificate)).expect("written");
    std::fs::write(dir.join("bundle.json"), domain.jwk_set(true).to_string()).expect("written");
}

fn of_files(dir: &Path, federation: Vec<Federated>) -> Config {
    let spiffe = Spiffe {
        trust_domain: Some("corp.example".to_owned()),
        mtls_port: Some(0),
        audience: vec![AUDIENCE.to_owned()],
        bundle_file: Some(dir.join("bundle.json")),
        certificate_file: Some(dir.join("certificate.pem")),
        key_file: Some(dir.join("key.pem")),
        federation,
        ..Spiffe::default()
    };
    Config { spiffe, limits: Limits { anonymous_per_minute: 1_000_000, ..Limits::default() }, ..config() }
}

async fn answer(running: &Running, svid: Option<&Svid>, by: &TrustDomain) -> Option<StatusCode> {
    let at = running.mtls_addr.expect("an mTLS port");
    let mut connection = Connection::open(at, svid, &by.x509_bundle()).await.ok()?;
    connection.call().await.ok().map(|(status, _)| status)
}

#[tokio::test]
async fn a_workload_is_its_agent_without_a_workload_api() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut domain = TrustDomain::new("corp.example");
    let partner = TrustDomain::new("partner.example");
    write(dir.path(), &domain);
    let theirs = dir.path().join("partner.json");
    std::fs::write(&theirs, partner.jwk_set(true).to_string()).expect("written");
    let client = SystemIds.uuid();
    let federated = Federated {
        trust_domain: "partner.example".to_owned(),
        organisations: vec![client],
        bundle_file: Some(theirs),
    };
    let setup = setup(of_files(dir.path(), vec![federated]));
    let running = Box::pin(Server::start_with(setup)).await.expect("starts");
    let gateway = Gateway::new(running.app.clone());
    let org = Org::new(&gateway, client, "client").await;
    let other = Org::new(&gateway, SystemIds.uuid(), "other").await;
    let path = org.path("claims");

    let svid = domain.svid(&path, HOUR);
    assert_eq!(answer(&running, Some(&svid), &domain).await, Some(StatusCode::OK));
    let nobody = domain.svid("/agent/nobody", HOUR);
    assert_eq!(answer(&running, Some(&nobody), &domain).await, Some(StatusCode::UNAUTHORIZED));
    let status = ask(&gateway, &org.admin, Method::GET, "/admin/status", Value::Null).await.json();
    let row = status["checks"].as_array().expect("checks").iter().find(|c| c["name"] == "spire").expect("it");
    let detail = row["detail"].as_str().expect("a text");
    assert!(row["state"] == "pass" && detail.contains("spiffe://corp.example/tappass until 20"), "{row}");

    let id = domain.id(&path);
    for (what, wrong) in [
        ("none", None),
        ("expired", Some(domain.signed(&id, -60, |_| {}))),
        ("of a trust domain of the same name", Some(TrustDomain::new("corp.example").svid(&path, HOUR))),
        ("of an unknown one", Some(TrustDomain::new("evil.example").svid(&path, HOUR))),
        ("an id of ours by a federated one", Some(partner.signed(&id, HOUR, |_| {}))),
        ("a trust domain and no workload", Some(domain.signed(&domain.id(""), HOUR, |_| {}))),
        (
            "an authority's",
            Some(domain.signed(&id, HOUR, |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ),
        ("not said what its key is for", Some(domain.signed(&id, HOUR, |p| p.key_usages.clear()))),
    ] {
        assert_eq!(answer(&running, wrong.as_ref(), &domain).await, None, "{what}");
    }
    let from_partner = partner.svid(&path, HOUR);
    assert_eq!(answer(&running, Some(&from_partner), &domain).await, Some(StatusCode::OK), "federated");
    let not_theirs = partner.svid(&other.path("claims"), HOUR);
    assert_eq!(answer(&running, Some(&not_theirs), &domain).await, Some(StatusCode::UNAUTHORIZED));

    // New files are read while it runs.
    domain.add_keys();
    domain.drop_old_keys();
    write(dir.path(), &domain);
    let new = domain.svid(&path, HOUR);
    assert!(
        soon(async || answer(&running, Some(&new), &domain).await == Some(StatusCode::OK)).await,
        "the new bundle and certificate are not read"
    );
    assert_eq!(answer(&running, Some(&svid), &domain).await, None, "an authority that is trusted no more");
    // Files that cannot be read leave all as it was.
    std::fs::write(dir.path().join("key.pem"), "half").expect("written");
    assert_eq!(answer(&running, Some(&new), &domain).await, Some(StatusCode::OK));
    running.shutdown().await;
}

#[tokio::test]
async fn files_that_do_not_serve_keep_it_from_starting() {
    let dir = tempfile::tempdir().expect("a directory");
    let domain = TrustDomain::new("corp.example");
    for (file, text, says) in [
        ("key.pem", "nothing".to_owned(), "key.pem"),
        ("certificate.pem", "nothing".to_owned(), "no certificate"),
        ("key.pem", pem("PRIVATE KEY", &domain.svid("/other", HOUR).key), "certificate.pem"),
        ("bundle.json", json!({"keys": [{"use": "x509-svid", "x5c": ["AA=="]}]}).to_string(), "bundle.json"),
    ] {
        write(dir.path(), &domain);
        std::fs::write(dir.path().join(file), text).expect("written");
        let Err(error) = Box::pin(Server::start_with(setup(of_files(dir.path(), Vec::new())))).await else {
            panic!("it starts with a wrong {file}");
        };
        assert!(format!("{error:#}").contains(says), "{error:#}");
    }
}
