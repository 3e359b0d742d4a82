//! State that replicas will share: rate limits, turns of sessions, budgets. One process keeps it in memory.
//!
//! Nothing here fails: an implementation that loses its server falls back to its own memory and says so itself.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tappass_model::{Change, Clock, Ids, Memory};

/// What a rate limit says of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may go on.
    pub allowed: bool,
    /// How many more may follow at once.
    pub remaining: u32,
    /// When it is worth trying again; zero if allowed.
    pub retry_after: Duration,
    /// How long until the limit is whole again.
    pub reset: Duration,
}

/// Where a call stands in its conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTurn {
    /// The session, as the client named it or as it was named here.
    pub id: String,
    /// Counts its calls from 1.
    pub turn: u32,
    /// Whether its agent has ended it: it takes no more calls, and this one was not counted.
    pub ended: bool,
}

/// What is known of a session without a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastTurn {
    /// How many calls it has had.
    pub turns: u32,
    /// When the last one came.
    pub at: Timestamp,
}

/// An amount to set aside on an account before it is spent. Units are the caller's: one account, one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The account: whose, of what, in which period.
    pub key: String,
    /// How much.
    pub amount: u64,
    /// How much the account may come to.
    pub limit: u64,
    /// How long the account is kept from now.
    pub life: Duration,
}

/// Why nothing was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short {
    /// Which of the holds did not fit.
    pub index: usize,
    /// What is left of its account.
    pub left: u64,
}

/// State that replicas share.
#[async_trait]
pub trait SharedState: fmt::Debug + Send + Sync + 'static {
    /// Takes one call out of `max_calls` in a window. Refills evenly (GCRA): a full window's worth may come at
    /// once, then one every `window / max_calls`.
    async fn take(&self, key: &str, max_calls: u32, window: Duration) -> Decision;

    /// Counts a call of a session. Without a name the call belongs to the scope's running session, or to a new
    /// one. After `idle` without a call a session begins anew: another name if it was named here, turn 1.
    async fn session(&self, scope: &str, named: Option<&str>, idle: Duration) -> SessionTurn;

    /// The last turn of a session by its name; `None` where no call is remembered.
    async fn last_turn(&self, scope: &str, named: &str) -> Option<LastTurn>;

    /// Ends a session: for `life` from now it takes no more calls.
    async fn end_session(&self, scope: &str, named: &str, life: Duration);

    /// What is remembered under a key; empty when there is nothing.
    async fn recall(&self, key: &str) -> Arc<Memory>;

    /// Adds to what is remembered under a key, for `life` from now.
    async fn remember(&self, key: &str, changes: &[Change], life: Duration);

    /// Sets all amounts aside at once, or none: many calls together never pass a limit. An account whose limit is
    /// reached takes nothing more, not even nothing.
    async fn reserve(&self, holds: &[Hold]) -> Result<(), Short>;

    /// What was really spent: each hold's amount becomes `spent`. Not held to a limit, for it has happened.
    async fn settle(&self, settled: &[(Hold, u64)]);
}

/// How many keys of each kind are kept; beyond, those that would be forgotten soonest are forgotten now.
pub const MEMORY_KEYS: usize = 100_000;

/// Shared state in the memory of this process.
pub struct MemoryState {
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    limits: Bounded<i128>,
    /// Each with when its last call came.
    sessions: Bounded<(SessionTurn, Timestamp)>,
    memories: Bounded<Arc<Memory>>,
    accounts: Bounded<u64>,
}

impl fmt::Debug for MemoryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryState")
    }
}

impl MemoryState {
    /// Empty, of [`MEMORY_KEYS`] keys of each kind.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self::with_capacity(clock, ids, MEMORY_KEYS)
    }

    /// Empty, of this many keys of each kind.
    #[must_use]
    pub fn with_capacity(clock: Arc<dyn Clock>, ids: Arc<dyn Ids>, keys: usize) -> Self {
        Self {
            clock,
            ids,
            limits: Bounded::new(keys),
            sessions: Bounded::new(keys),
            memories: Bounded::new(keys),
            accounts: Bounded::new(keys),
        }
    }

    /// How many keys it holds, all kinds together: for the metrics.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.limits.map.lock().len()
            + self.sessions.map.lock().len()
            + self.memories.map.lock().len()
            + self.accounts.map.lock().len()
    }
}

#[async_trait]
impl SharedState for MemoryState {
    async fn take(&self, key: &str, max_calls: u32, window: Duration) -> Decision {
        if max_calls == 0 || window.is_zero() {
            return Decision { allowed: false, remaining: 0, retry_after: window, reset: window };
        }
        let now = self.clock.now();
        let (now_ns, window_ns) = (now.as_nanosecond(), nanos(window));
        let interval = window_ns / i128::from(max_calls);
        self.limits.with(key, now, |slot| {
            // The theoretical arrival time of the next call at an even pace.
            let due = slot.map_or(now_ns, |due| now_ns.max(*due));
            let wait = due + interval - window_ns - now_ns;
            let (allowed, due) = if wait > 0 { (false, due) } else { (true, due + interval) };
            let spent = due - now_ns;
            let decision = Decision {
                allowed,
                remaining: if allowed {
                    to_u32((window_ns - spent) / interval.max(1)).min(max_calls)
                } else {
                    0
                },
                retry_after: if allowed { Duration::ZERO } else { duration(wait) },
                reset: duration(spent),
            };
            (decision, Some((due, duration(spent))))
        })
    }

    async fn session(&self, scope: &str, named: Option<&str>, idle: Duration) -> SessionTurn {
        let key = format!("{scope}\0{}", named.unwrap_or_default());
        let now = self.clock.now();
        self.sessions.with_until(&key, now, |slot| {
            let (turn, at, until) = match slot {
                Some(((had, at), until)) if had.ended => (had.clone(), *at, until),
                Some(((had, _), _)) => {
                    (SessionTurn { turn: had.turn.saturating_add(1), ..had.clone() }, now, later(now, idle))
                }
                None => {
                    let id = named.map_or_else(|| self.ids.uuid().to_string(), str::to_owned);
                    (SessionTurn { id, turn: 1, ended: false }, now, later(now, idle))
                }
            };
            (turn.clone(), Some(((turn, at), until)))
        })
    }

    async fn last_turn(&self, scope: &str, named: &str) -> Option<LastTurn> {
        self.sessions.with_until(&format!("{scope}\0{named}"), self.clock.now(), |slot| {
            let had = slot.map(|(entry, until)| (entry.clone(), until));
            let last = had.as_ref().map(|((turn, at), _)| LastTurn { turns: turn.turn, at: *at });
            (last.filter(|last| last.turns > 0), had)
        })
    }

    async fn end_session(&self, scope: &str, named: &str, life: Duration) {
        let now = self.clock.now();
        self.sessions.with(&format!("{scope}\0{named}"), now, |slot| {
            let (turn, at) = slot.map_or((0, now), |(had, at)| (had.turn, *at));
            ((), Some(((SessionTurn { id: named.to_owned(), turn, ended: true }, at), life)))
        });
    }

    async fn recall(&self, key: &str) -> Arc<Memory> {
        self.memories.with_until(key, self.clock.now(), |slot| {
            let memory = slot.map(|(memory, until)| (Arc::clone(memory), until));
            (memory.as_ref().map(|(memory, _)| Arc::clone(memory)).unwrap_or_default(), memory)
        })
    }

    async fn remember(&self, key: &str, changes: &[Change], life: Duration) {
        let now = self.clock.now();
        self.memories.with(key, now, |slot| {
            let mut memory = slot.map_or_else(Memory::default, |memory| (**memory).clone());
            for change in changes {
                memory.apply(change, now);
            }
            ((), Some((Arc::new(memory), life)))
        });
    }

    async fn reserve(&self, holds: &[Hold]) -> Result<(), Short> {
        let now = self.clock.now();
        let mut map = self.accounts.map.lock();
        let held: Vec<u64> = holds.iter().map(|hold| live(&map, &hold.key, now)).collect();
        for (index, (hold, held)) in holds.iter().zip(&held).enumerate() {
            let left = hold.limit.saturating_sub(*held);
            if left == 0 || hold.amount > left {
                return Err(Short { index, left });
            }
        }
        for (hold, held) in holds.iter().zip(held) {
            self.accounts.put(&mut map, &hold.key, (held + hold.amount, later(now, hold.life)), now);
        }
        Ok(())
    }

    async fn settle(&self, settled: &[(Hold, u64)]) {
        let now = self.clock.now();
        let mut map = self.accounts.map.lock();
        for (hold, spent) in settled {
            let account = live(&map, &hold.key, now).saturating_sub(hold.amount).saturating_add(*spent);
            self.accounts.put(&mut map, &hold.key, (account, later(now, hold.life)), now);
        }
    }
}

fn live(map: &HashMap<String, (u64, Timestamp)>, key: &str, now: Timestamp) -> u64 {
    map.get(key).filter(|(_, until)| *until > now).map_or(0, |(amount, _)| *amount)
}

/// A map of bounded size whose entries end at a time of their own.
struct Bounded<V> {
    capacity: usize,
    map: Mutex<HashMap<String, (V, Timestamp)>>,
}

impl<V> Bounded<V> {
    fn new(capacity: usize) -> Self {
        Self { capacity, map: Mutex::new(HashMap::new()) }
    }

    /// As [`Bounded::with_until`], for an entry that lives for a duration from now.
    fn with<R>(
        &self,
        key: &str,
        now: Timestamp,
        f: impl FnOnce(Option<&V>) -> (R, Option<(V, Duration)>),
    ) -> R {
        self.with_until(key, now, |slot| {
            let (result, new) = f(slot.map(|(v, _)| v));
            (result, new.map(|(v, life)| (v, later(now, life))))
        })
    }

    /// Looks at the entry of a key, if it still lives, and replaces it by what `f` gives.
    fn with_until<R>(
        &self,
        key: &str,
        now: Timestamp,
        f: impl FnOnce(Option<(&V, Timestamp)>) -> (R, Option<(V, Timestamp)>),
    ) -> R {
        let mut map = self.map.lock();
        let live = map.get(key).filter(|(_, until)| *until > now).map(|(v, until)| (v, *until));
        let (result, new) = f(live);
        match new {
            None => {
                map.remove(key);
            }
            Some(new) => self.put(&mut map, key, new, now),
        }
        result
    }

    fn put(&self, map: &mut HashMap<String, (V, Timestamp)>, key: &str, new: (V, Timestamp), now: Timestamp) {
        match map.get_mut(key) {
            Some(entry) => *entry = new,
            None => {
                if map.len() >= self.capacity {
                    make_room(map, now);
                }
                map.insert(key.to_owned(), new);
            }
        }
    }
}

/// Forgets what has ended; if that frees less than a tenth, also the tenth that ends soonest. So the work is spread
/// thin over the insertions that follow.
fn make_room<V>(map: &mut HashMap<String, (V, Timestamp)>, now: Timestamp) {
    let full = map.len();
    let share = (full / 10).max(1);
    map.retain(|_, (_, until)| *until > now);
    if full - map.len() >= share {
        return;
    }
    let mut ends: Vec<Timestamp> = map.values().map(|(_, until)| *until).collect();
    let (_, cut, _) = ends.select_nth_unstable(share - 1);
    let cut = *cut;
    let mut left = share;
    map.retain(|_, (_, until)| {
        let goes = left > 0 && *until <= cut;
        left -= usize::from(goes);
        !goes
    });
}

fn later(now: Timestamp, life: Duration) -> Timestamp {
    now.checked_add(life).unwrap_or(Timestamp::MAX)
}

fn nanos(d: Duration) -> i128 {
    i128::try_from(d.as_nanos()).unwrap_or(i128::MAX / 4)
}

fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

fn to_u32(n: i128) -> u32 {
    u32::try_from(n.max(0)).unwrap_or(u32::MAX)
}
