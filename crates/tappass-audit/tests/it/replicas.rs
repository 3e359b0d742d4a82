//! Promise 5: several replicas on one PostgreSQL write one line.

use tappass_store::Store;
use tokio::task::JoinSet;

use crate::support::{assert_whole, event, local, log_on, org, postgres};

#[tokio::test(flavor = "multi_thread")]
async fn four_replicas_make_no_fork_and_no_hole() {
    let (config, orgs) = (postgres().await, [org(), org()]);
    let mut callers = JoinSet::new();
    let mut replicas = Vec::new();
    for _ in 0..4 {
        // Each with its own connections, as a process of its own has.
        let store = Store::connect(&config).await.expect("a store");
        let log = log_on(&store).await;
        for task in 0..16 {
            let log = log.clone();
            callers.spawn(async move {
                for i in 0..20 {
                    log.record(&event(orgs[(task + i) % 2])).await.expect("recorded");
                    if i % 7 == 0 {
                        log.checkpoint(orgs[i % 2]).await.expect("sealed");
                    }
                }
            });
        }
        replicas.push((store, log));
    }
    callers.join_all().await;
    for (_, log) in &replicas {
        log.shutdown().await.expect("closed");
    }
    for org_id in orgs {
        assert_whole(&replicas[0].0, org_id, 4 * 16 * 20 / 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_another_has_written_to_goes_on_where_it_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    for config in [local(dir.path()), postgres().await] {
        let stores = [
            Store::connect(&config).await.expect("a store"),
            Store::connect(&config).await.expect("another on the same database"),
        ];
        let logs = [log_on(&stores[0]).await, log_on(&stores[1]).await];
        let org_id = org();
        let mut expected = 0;
        // Each writes, seals, and writes again after what it remembers has been overtaken.
        for turn in [0, 0, 1, 1, 0, 1, 0, 0] {
            expected += 1;
            let receipt = logs[turn].record(&event(org_id)).await.expect("recorded");
            assert_eq!(receipt.seq, expected);
            if turn == 1 {
                logs[turn].checkpoint(org_id).await.expect("sealed");
            }
        }
        for log in &logs {
            log.shutdown().await.expect("closed");
        }
        assert_whole(&stores[0], org_id, expected).await;
    }
}
