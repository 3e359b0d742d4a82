//! Keys that sign capability tokens.

use tappass_store::TokenKey;

use crate::support::{at, on_each};

fn key(name: &str, created: i64, signs_from: Option<i64>) -> TokenKey {
    TokenKey {
        key_id: name.to_owned(),
        sealed: format!("sealed {name}"),
        created_at: at(created),
        signs_from: signs_from.map(at),
        retired_at: None,
    }
}

#[tokio::test]
async fn one_signs_and_the_one_before_stays_until_it_is_over() {
    on_each(async |store| {
        let keys = store.token_keys();
        let names = async || {
            let all = store.token_keys().list().await.expect("keys");
            all.into_iter().map(|key| (key.key_id, key.signs_from, key.retired_at)).collect::<Vec<_>>()
        };
        assert!(names().await.is_empty());
        keys.create(&key("first", 1, Some(1))).await.expect("made");
        keys.create(&key("waiting", 2, None)).await.expect("made");
        // One that waits signs before a spare one does.
        let signs = keys.rotate(&key("spare", 3, None), at(3), at(0)).await.expect("rotated");
        assert_eq!((signs.key_id.as_str(), signs.signs_from), ("waiting", Some(at(3))));
        let (first, waiting) = ("first".to_owned(), "waiting".to_owned());
        assert_eq!(names().await, [(waiting.clone(), Some(at(3)), None), (first, Some(at(1)), Some(at(3)))]);
        let signs = keys.rotate(&key("spare", 9, None), at(9), at(3)).await.expect("rotated");
        assert_eq!(signs.key_id, "spare");
        assert_eq!(
            names().await,
            [("spare".to_owned(), Some(at(9)), None), (waiting, Some(at(3)), Some(at(9)))]
        );
    })
    .await;
}
