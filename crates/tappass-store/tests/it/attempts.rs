//! What may be tried so often, or used once, on every storage.

use std::time::Duration;

use crate::support::{at, on_each};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn attempts_lock_and_unlock() {
    on_each(async |store| {
        let attempts = store.attempts();
        let attempt =
            async |second| attempts.attempt("k", 5, 15 * MINUTE, at(second)).await.expect("counted");
        for _ in 0..5 {
            assert_eq!(attempt(0).await, None);
        }
        assert_eq!(attempt(300).await, Some(10 * MINUTE));
        assert_eq!(attempt(900).await, None, "the lock has ended and the count with it");
        for _ in 0..4 {
            assert_eq!(attempt(900).await, None);
        }
        attempts.forgive("k").await.expect("done");
        assert_eq!(attempt(900).await, None, "one was taken back");
        assert_eq!(attempt(900).await, Some(15 * MINUTE));
        attempts.clear("k").await.expect("done");
        assert_eq!(attempt(900).await, None, "all are forgotten");
        assert_eq!(attempts.attempt("other", 1, MINUTE, at(0)).await.expect("counted"), None);
        assert_eq!(attempts.forget(at(1799)).await.expect("a number"), 1);
        assert_eq!(attempts.forget(at(1800)).await.expect("a number"), 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_used_once_is_used_by_one_of_many() {
    on_each(async |store| {
        let use_it = || async { store.attempts().first_use("k", MINUTE, at(0)).await.expect("an answer") };
        let taken = futures_util::future::join_all((0..12).map(|_| use_it())).await;
        assert_eq!(taken.into_iter().filter(|first| *first).count(), 1);
        assert!(!store.attempts().first_use("k", MINUTE, at(59)).await.expect("an answer"));
        assert!(
            store.attempts().first_use("k", MINUTE, at(60)).await.expect("an answer"),
            "its time is over"
        );
    })
    .await;
}
