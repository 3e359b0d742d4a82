//! The shared state in memory, under a clock that goes only when told.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use tappass_model::{Clock, SystemIds};
use tappass_store::{Hold, LastTurn, MemoryState, SharedState, Short};
use tappass_testkit::ManualClock;

const MINUTE: Duration = Duration::from_secs(60);

fn state(keys: usize) -> (Arc<ManualClock>, MemoryState) {
    let clock = Arc::new(ManualClock::default());
    let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    (clock, MemoryState::with_capacity(shared, Arc::new(SystemIds), keys))
}

#[tokio::test]
async fn a_limit_gives_a_burst_then_an_even_pace() {
    let (clock, state) = state(100);
    for left in (0..6).rev() {
        let d = state.take("k", 6, MINUTE).await;
        assert!(d.allowed && d.remaining == left, "{d:?}");
    }
    let d = state.take("k", 6, MINUTE).await;
    assert!(!d.allowed);
    assert_eq!((d.remaining, d.retry_after, d.reset), (0, Duration::from_secs(10), MINUTE));
    assert!(state.take("other", 6, MINUTE).await.allowed, "keys don't share");
    clock.advance(Duration::from_secs(9));
    assert_eq!(state.take("k", 6, MINUTE).await.retry_after, Duration::from_secs(1));
    clock.advance(Duration::from_secs(1));
    assert!(state.take("k", 6, MINUTE).await.allowed);
    assert!(!state.take("k", 6, MINUTE).await.allowed);
    clock.advance(MINUTE);
    assert_eq!(state.take("k", 6, MINUTE).await.remaining, 5, "whole again");
    assert!(!state.take("none", 0, MINUTE).await.allowed);
}

proptest! {
    /// From any start, a window holds at most its burst and what refills while it lasts.
    #[test]
    fn a_limit_is_never_exceeded(max in 1_u32..20, steps in prop::collection::vec(0_u64..20_000, 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (clock, state) = state(10);
        let (mut elapsed, mut allowed) = (Duration::ZERO, 0_u128);
        for millis in steps {
            let step = Duration::from_millis(millis);
            clock.advance(step);
            elapsed += step;
            let d = runtime.block_on(state.take("k", max, MINUTE));
            allowed += u128::from(d.allowed);
            let refilled = elapsed.as_nanos() * u128::from(max) / MINUTE.as_nanos();
            prop_assert!(allowed <= u128::from(max) + refilled + 1);
            if !d.allowed {
                // Waiting as told is enough.
                clock.advance(d.retry_after + Duration::from_micros(1));
                elapsed += d.retry_after + Duration::from_micros(1);
                let again = runtime.block_on(state.take("k", max, MINUTE));
                prop_assert!(again.allowed, "{again:?}");
                allowed += 1;
            }
        }
    }
}

#[tokio::test]
async fn a_session_counts_its_turns_until_it_falls_silent() {
    let (clock, state) = state(100);
    let idle = 30 * MINUTE;
    let first = state.session("org:agent", None, idle).await;
    assert_eq!(first.turn, 1);
    clock.advance(29 * MINUTE);
    let second = state.session("org:agent", None, idle).await;
    assert_eq!((&second.id, second.turn), (&first.id, 2));
    assert_ne!(state.session("org:other", None, idle).await.id, first.id);
    clock.advance(30 * MINUTE);
    let anew = state.session("org:agent", None, idle).await;
    assert_eq!(anew.turn, 1);
    assert_ne!(anew.id, first.id);

    let named = state.session("org:agent", Some("mine"), idle).await;
    assert_eq!((named.id.as_str(), named.turn), ("mine", 1));
    assert_eq!(state.session("org:agent", Some("mine"), idle).await.turn, 2);
    assert_eq!(state.session("org:other", Some("mine"), idle).await.turn, 1, "names don't cross scopes");
}

#[tokio::test]
async fn an_ended_session_takes_no_calls_until_it_is_forgotten() {
    let (clock, state) = state(100);
    let idle = 30 * MINUTE;
    assert_eq!(state.last_turn("s", "job").await, None);
    state.session("s", Some("job"), idle).await;
    state.session("s", Some("job"), idle).await;
    let at = clock.now();
    clock.advance(10 * MINUTE);
    assert_eq!(state.last_turn("s", "job").await, Some(LastTurn { turns: 2, at }));
    state.end_session("s", "job", 48 * idle).await;
    state.end_session("s", "unused", 48 * idle).await;
    for (name, turn) in [("job", 2), ("job", 2), ("unused", 0)] {
        let found = state.session("s", Some(name), idle).await;
        assert_eq!((found.ended, found.turn), (true, turn), "{name}");
    }
    assert_eq!(state.last_turn("s", "unused").await, None);
    assert_eq!(state.last_turn("s", "job").await.map(|last| last.at), Some(at));
    clock.advance(idle);
    assert!(state.session("s", Some("job"), idle).await.ended, "silence does not open it again");
    clock.advance(48 * idle);
    let anew = state.session("s", Some("job"), idle).await;
    assert_eq!((anew.ended, anew.turn), (false, 1));
}

#[tokio::test]
async fn memory_is_bounded_and_what_lasts_longest_stays() {
    let (clock, state) = state(100);
    let used = hold("budget", 100, 100);
    assert_eq!(state.reserve(&[Hold { life: 15 * MINUTE, ..used.clone() }]).await, Ok(()));
    for i in 0..10_000 {
        let _ = state.reserve(&[hold(&format!("flood-{i}"), 1, 5)]).await;
    }
    assert!(state.reserve(&[hold("budget", 1, 100)]).await.is_err(), "a flood frees nothing");
    assert!(state.keys() <= 100);
    clock.advance(16 * MINUTE);
    assert_eq!(state.reserve(&[used]).await, Ok(()));
}

fn hold(key: &str, amount: u64, limit: u64) -> Hold {
    Hold { key: key.into(), amount, limit, life: MINUTE }
}

#[tokio::test]
async fn what_is_set_aside_is_all_or_nothing_and_settled_by_what_was_spent() {
    let (clock, state) = state(100);
    let (day, month) = (hold("day", 60, 100), hold("month", 60, 1000));
    assert_eq!(state.reserve(&[day.clone(), month.clone()]).await, Ok(()));
    let short = state.reserve(&[month.clone(), day.clone()]).await;
    assert_eq!(short, Err(Short { index: 1, left: 40 }));
    assert_eq!(state.reserve(&[hold("month", 940, 1000)]).await, Ok(()), "the refused one took nothing");
    // One spent less than held, one nothing: the whole comes back.
    state.settle(&[(day.clone(), 10)]).await;
    assert_eq!(state.reserve(&[hold("day", 90, 100)]).await, Ok(()));
    assert_eq!(state.reserve(&[hold("day", 0, 100)]).await, Err(Short { index: 0, left: 0 }), "used up");
    state.settle(&[(hold("day", 90, 100), 0)]).await;
    // What has happened counts, beyond the limit too.
    state.settle(&[(hold("day", 0, 100), 500)]).await;
    assert_eq!(state.reserve(&[hold("day", 1, 510)]).await, Err(Short { index: 0, left: 0 }));
    clock.advance(MINUTE);
    assert_eq!(state.reserve(&[day]).await, Ok(()), "an account ends with its life");
}

#[test]
fn many_at_once_never_pass_the_limit() {
    let (_, state) = state(100);
    let held = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                for _ in 0..25 {
                    let fits = runtime.block_on(state.reserve(&[hold("k", 3, 100)])).is_ok();
                    held.fetch_add(u32::from(fits), std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(held.into_inner(), 33);
}
