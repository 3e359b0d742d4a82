//! Promise 1: what was acknowledged is in the log, whenever the process is killed.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use tappass_model::{Ids as _, SystemIds};
use tappass_store::{Store, StoreConfig};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{config, event, local, postgres, signer, stored};

const PLACE: &str = "TAPPASS_TEST_APPEND_TO";
const ORG: &str = "TAPPASS_TEST_ORG";
const ROUNDS: u32 = 12;

/// The process that is killed: sixteen tasks record without end, and say each id once it is acknowledged.
#[test]
#[ignore = "started and killed by the other tests of this file"]
fn appender() {
    let place = std::env::var(PLACE).expect("started by another test");
    let org_id: Uuid = std::env::var(ORG).expect("an organisation").parse().expect("an id");
    let config_of = |place: &str| match place.strip_prefix("dir:") {
        Some(dir) => local(dir.as_ref()),
        None => StoreConfig::Postgres { url: place.to_owned() },
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let store = Store::connect(&config_of(&place)).await.expect("a store");
        let mut config = config(&store);
        config.checkpoint_every = 50;
        let log = tappass_audit::AuditLog::start(config).await.expect("a log");
        let mut tasks = JoinSet::new();
        for _ in 0..16 {
            let log = log.clone();
            tasks.spawn(async move {
                loop {
                    let receipt = log.record(&event(org_id)).await.expect("recorded");
                    let said = format!("\nack {}\n", receipt.event_id);
                    std::io::stdout().lock().write_all(said.as_bytes()).expect("said");
                }
            });
        }
        tasks.join_all().await;
    });
}

async fn survives_kills(place: String, config: StoreConfig) {
    let org_id = SystemIds.uuid();
    let mut acknowledged = HashSet::new();
    for _ in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "kill::appender", "--ignored", "--nocapture"])
            .env(PLACE, &place)
            .env(ORG, org_id.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = child.stdout.take().expect("its output");
        let before = acknowledged.len();
        // Anywhere between the first acknowledgement and some hundred later.
        let enough = 1 + usize::from(SystemIds.uuid().as_bytes()[15]);
        for line in BufReader::new(output).lines() {
            // The last line may be cut: then its id was not said.
            let Some(Ok(id)) = line.expect("a line").strip_prefix("ack ").map(Uuid::parse_str) else {
                continue;
            };
            acknowledged.insert(id);
            if acknowledged.len() - before == enough {
                child.kill().expect("killed"); // SIGKILL; what it had said is still read
            }
        }
        child.wait().expect("ended");
        assert!(acknowledged.len() - before >= enough, "the child ended by itself");
    }
    let store = Store::connect(&config).await.expect("a store");
    let ids = stored(&store, org_id).await;
    let in_log: HashSet<Uuid> = ids.iter().copied().collect();
    assert_eq!(in_log.len(), ids.len(), "an event stands twice");
    let missing: Vec<_> = acknowledged.difference(&in_log).collect();
    assert!(
        missing.is_empty(),
        "{} of {} acknowledged are not in the log",
        missing.len(),
        acknowledged.len()
    );
    let keys = vec![signer().public_key().to_owned()];
    let report = tappass_audit::verify_store(&store, org_id, keys, Vec::new()).await.expect("a report");
    assert!(report.ok && report.checkpoints > 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_what_was_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    survives_kills(format!("dir:{}", dir.path().display()), local(dir.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_what_was_acknowledged() {
    let config = postgres().await;
    let StoreConfig::Postgres { url } = &config else { panic!("PostgreSQL") };
    survives_kills(url.clone(), config.clone()).await;
}
