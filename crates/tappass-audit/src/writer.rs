//! The audit log of a gateway: many callers record, one task writes. What waits is written together, in one
//! transaction, and acknowledged when that has committed: a busy log pays one fsync for many calls.

use std::{
    collections::{BTreeMap, HashMap},
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tappass_model::{Clock, Ids};
use tappass_store::{Store, audit::AuditRow};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    AuditError, Checkpoint, Event, EventType, Signer,
    append::{Appender, Entry},
    spool::Spool,
    verify::MAX_UNSEALED,
};

/// How many events one transaction takes.
const BATCH: usize = 512;
/// How many spooled events are replayed in one transaction.
const REPLAY: usize = 256;
/// When so many shared the last commit, as many are likely to come at once again, and it pays to wait for them.
const CROWD: usize = 8;
/// How long: a commit takes about as long.
const GATHER: Duration = Duration::from_millis(1);
/// How often an ailing store is tried again when no call does.
const RETRY: Duration = Duration::from_secs(1);
/// A write that has not come back after this is given up, its connection with it.
const HUNG: Duration = Duration::from_secs(30);
/// How many committed events a slow subscriber may lag behind before it must read them from the store.
const FEED: usize = 1024;

/// What a log needs.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "clock and ids have no text form")]
pub struct AuditConfig {
    /// Where it is kept.
    pub store: Store,
    /// Who signs checkpoints.
    pub signer: Arc<Signer>,
    /// The time of checkpoints.
    pub clock: Arc<dyn Clock>,
    /// The ids of events that the log itself makes.
    pub ids: Arc<dyn Ids>,
    /// Where `record_or_spool` puts events that the store does not take; without, they are only counted.
    pub spool_dir: Option<PathBuf>,
    /// How many bytes the spool may have. Default 64 MiB.
    pub spool_max_bytes: u64,
    /// How long `record` may take. Default 2 s.
    pub deadline: Duration,
    /// A log is sealed when so many events are not; at most 1,000, the default.
    pub checkpoint_every: u64,
    /// A log that has grown is sealed at least so often. Default 60 s.
    pub checkpoint_interval: Duration,
    /// How many events may wait. Default 4,096.
    pub queue: usize,
}

impl AuditConfig {
    /// With the defaults and without a spool.
    #[must_use]
    pub fn new(store: Store, signer: Arc<Signer>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self {
            store,
            signer,
            clock,
            ids,
            spool_dir: None,
            spool_max_bytes: 64 * 1024 * 1024,
            deadline: Duration::from_secs(2),
            checkpoint_every: MAX_UNSEALED,
            checkpoint_interval: Duration::from_secs(60),
            queue: 4096,
        }
    }
}

/// The proof that an event is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The event.
    pub event_id: Uuid,
    /// Its number in its organisation's log.
    pub seq: u64,
}

/// What became of an event that must not hold up a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the log.
    Stored(Receipt),
    /// It is on disk and will be in the log when the store is back.
    Spooled,
    /// It is lost; an `audit_gap` event will say how many were.
    Lost,
}

/// A gateway's audit log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditLog {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    tracker: TaskTracker,
}

/// What the handles and the writer both see.
#[derive(Debug)]
struct Shared {
    feed: broadcast::Sender<Arc<AuditRow>>,
    deadline: Duration,
    /// Why the last write failed, if it did.
    ailing: Mutex<Option<String>>,
    /// Events lost since the last gap was recorded, by organisation.
    lost: Mutex<BTreeMap<Uuid, u64>>,
    /// Set for good when the disk cannot be trusted.
    fatal: CancellationToken,
    closing: CancellationToken,
}

#[derive(Debug)]
enum Job {
    Record { entry: Box<Entry>, spool: Option<Box<Event>>, ack: Ack<Recorded> },
    Seal { org_id: Uuid, ack: Ack<Option<Checkpoint>> },
}

type Ack<T> = oneshot::Sender<Result<T, AuditError>>;
type Answer<T> = oneshot::Receiver<Result<T, AuditError>>;

impl AuditLog {
    /// Opens the spool and starts the writer.
    ///
    /// # Errors
    /// [`AuditError`] when the spool cannot be opened.
    pub async fn start(config: AuditConfig) -> Result<Self, AuditError> {
        let spool = match &config.spool_dir {
            Some(dir) => Some(Spool::open(dir, config.spool_max_bytes).await?),
            None => None,
        };
        let (jobs, queue) = mpsc::channel(config.queue.max(1));
        let shared = Arc::new(Shared {
            feed: broadcast::channel(FEED).0,
            deadline: config.deadline,
            ailing: Mutex::new(None),
            lost: Mutex::new(BTreeMap::new()),
            fatal: CancellationToken::new(),
            closing: CancellationToken::new(),
        });
        let appender = Appender {
            store: config.store,
            signer: config.signer,
            clock: Arc::clone(&config.clock),
            checkpoint_every: config.checkpoint_every.clamp(1, MAX_UNSEALED),
            feed: shared.feed.clone(),
            ends: Mutex::new(HashMap::new()),
        };
        let tracker = TaskTracker::new();
        let writer = Writer {
            shared: Arc::clone(&shared),
            appender: Arc::new(appender),
            spool,
            clock: config.clock,
            ids: config.ids,
            tracker: tracker.clone(),
            in_flight: None,
        };
        tracker.spawn(writer.run(queue, config.checkpoint_interval));
        Ok(Self { shared, jobs, tracker })
    }

    /// Records an event; returns when it is durable. Recording an id again gives the first receipt again.
    ///
    /// An error within the deadline means that it is not known to be recorded; it may have been all the same.
    ///
    /// # Errors
    /// [`AuditError`]; in enforce the call is answered with 503 `audit_unavailable`.
    pub async fn record(&self, event: &Event) -> Result<Receipt, AuditError> {
        let (entry, deadline) = (Entry::new(event)?, self.shared.deadline);
        let work = async { self.enqueue(entry, None).await?.await.unwrap_or(Err(AuditError::Closed)) };
        match timeout(deadline, work).await {
            Ok(Ok(Recorded::Stored(receipt))) => Ok(receipt),
            Ok(Ok(_)) => Err(AuditError::Unavailable("it was not stored".to_owned())),
            Ok(Err(e)) => Err(e),
            Err(_) => Err(AuditError::Unavailable(format!("not recorded within {deadline:?}"))),
        }
    }

    /// Records an event of a call that goes on whatever happens (observe, warn): when the store does not take it,
    /// it goes to the spool, and when that is full it is counted.
    ///
    /// # Errors
    /// [`AuditError`] when the event cannot be recorded at all, the log is closed, or the disk cannot be trusted.
    pub async fn record_or_spool(&self, event: Event) -> Result<Recorded, AuditError> {
        let (org_id, entry) = (event.org_id, Entry::new(&event)?);
        match timeout(self.shared.deadline, self.enqueue(entry, Some(Box::new(event)))).await {
            // No deadline here: the writer answers in time, and only its answer tells where the event is.
            Ok(Ok(answer)) => answer.await.unwrap_or(Err(AuditError::Closed)),
            Ok(Err(e)) => Err(e),
            Err(_) => {
                self.shared.lose(org_id, 1);
                Ok(Recorded::Lost)
            }
        }
    }

    /// Signs the state of an organisation's log now, unless its last checkpoint is that; `None` for an empty log.
    ///
    /// # Errors
    /// [`AuditError`] when the store does not answer.
    pub async fn checkpoint(&self, org_id: Uuid) -> Result<Option<Checkpoint>, AuditError> {
        let (ack, answer) = oneshot::channel();
        self.jobs.send(Job::Seal { org_id, ack }).await.map_err(|_| AuditError::Closed)?;
        answer.await.unwrap_or(Err(AuditError::Closed))
    }

    /// Events as this process commits them. What other replicas commit, and what a slow receiver missed
    /// (`RecvError::Lagged`), is read from the store by cursor.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<AuditRow>> {
        self.shared.feed.subscribe()
    }

    /// Whether events can be acknowledged, as far as the last write tells.
    ///
    /// # Errors
    /// Why not.
    pub fn healthy(&self) -> Result<(), String> {
        if self.shared.closing.is_cancelled() {
            return Err("the audit log is closed".to_owned());
        }
        self.shared.ailing.lock().clone().map_or(Ok(()), Err)
    }

    /// Returns when the disk cannot be trusted any more (a failed fsync), with the reason: the process must then
    /// end. Until then it waits.
    pub async fn failed(&self) -> String {
        self.shared.fatal.cancelled().await;
        self.shared.ailing.lock().clone().unwrap_or_default()
    }

    /// Takes no more events, writes those that wait, seals every log that has grown, and ends.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] when a write that hangs does not come back in time.
    pub async fn shutdown(&self) -> Result<(), AuditError> {
        self.shared.closing.cancel();
        self.tracker.close();
        timeout(self.shared.deadline * 5, self.tracker.wait())
            .await
            .map_err(|_| AuditError::Unavailable("the last write has not come back".to_owned()))
    }

    async fn enqueue(&self, entry: Entry, spool: Option<Box<Event>>) -> Result<Answer<Recorded>, AuditError> {
        let (ack, answer) = oneshot::channel();
        let job = Job::Record { entry: Box::new(entry), spool, ack };
        self.jobs.send(job).await.map_err(|_| AuditError::Closed)?;
        Ok(answer)
    }
}

impl Shared {
    fn lose(&self, org_id: Uuid, count: u64) {
        tracing::error!(%org_id, count, "audit events lost: neither store nor spool takes them");
        *self.lost.lock().entry(org_id).or_default() += count;
    }

    fn note(&self, error: Option<&AuditError>) {
        if let Some(e @ AuditError::Fatal(_)) = error {
            *self.ailing.lock() = Some(e.to_string());
            self.fatal.cancel();
        } else if !self.fatal.is_cancelled() {
            *self.ailing.lock() = error.map(ToString::to_string);
        }
    }
}

/// An event that waits for its acknowledgement.
struct Waiting {
    event_id: Uuid,
    spool: Option<Box<Event>>,
    ack: Ack<Recorded>,
}

struct Writer {
    shared: Arc<Shared>,
    appender: Arc<Appender>,
    spool: Option<Spool>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    tracker: TaskTracker,
    /// A write that was not waited for to the end. While it runs, nothing else is written.
    in_flight: Option<JoinHandle<()>>,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>, checkpoint_interval: Duration) {
        let closing = self.shared.closing.clone();
        let (mut seal, mut retry) = (interval(checkpoint_interval), interval(RETRY));
        seal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        seal.reset(); // the first tick would be now
        let (mut jobs, mut crowd) = (Vec::with_capacity(BATCH), 0);
        loop {
            tokio::select! {
                received = queue.recv_many(&mut jobs, BATCH) => {
                    if received == 0 {
                        break;
                    }
                    if crowd >= CROWD && received < BATCH {
                        sleep(GATHER).await;
                        while jobs.len() < BATCH && let Ok(job) = queue.try_recv() {
                            jobs.push(job);
                        }
                    }
                    crowd = jobs.len();
                    self.work(jobs.drain(..)).await;
                }
                () = closing.cancelled(), if !queue.is_closed() => queue.close(),
                _ = seal.tick() => self.seal_all().await,
                _ = retry.tick(), if self.has_arrears() => self.write(Vec::new(), Vec::new()).await,
            }
        }
        if self.has_arrears() {
            self.write(Vec::new(), Vec::new()).await;
        }
        self.seal_all().await;
    }

    /// Whether there is something to try again although no call waits.
    fn has_arrears(&self) -> bool {
        self.spool.as_ref().is_some_and(|s| !s.is_empty())
            || self.shared.ailing.lock().is_some()
            || !self.shared.lost.lock().is_empty()
    }

    async fn work(&mut self, jobs: impl Iterator<Item = Job>) {
        let (mut entries, mut waiting, mut seals) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Record { entry, spool, ack } => {
                    waiting.push(Waiting { event_id: entry.event_id, spool, ack });
                    entries.push(*entry);
                }
                Job::Seal { org_id, ack } => seals.push((org_id, ack)),
            }
        }
        if !entries.is_empty() {
            self.write(entries, waiting).await;
        }
        for (org_id, ack) in seals {
            let appender = Arc::clone(&self.appender);
            let sealed = self.bounded(async move { appender.seal(org_id).await }).await;
            let _ = ack.send(sealed); // who asked may have gone
        }
    }

    /// Writes what is owed (spooled events, gaps) and the new entries, in that order; these in one transaction.
    async fn write(&mut self, entries: Vec<Entry>, waiting: Vec<Waiting>) {
        if self.shared.fatal.is_cancelled() {
            return self
                .refuse(waiting, &AuditError::Fatal("a write to disk has failed before".to_owned()))
                .await;
        }
        if let Err(e) = self.replay().await {
            return self.refuse(waiting, &e).await;
        }
        let lost = std::mem::take(&mut *self.shared.lost.lock());
        let mut all: Vec<Entry> =
            lost.iter().filter_map(|(org_id, count)| self.gap(*org_id, *count)).collect();
        let owed = all.len();
        all.extend(entries);

        let appender = Arc::clone(&self.appender);
        match self.bounded(async move { appender.append(&all, false).await }).await {
            Ok(numbers) => {
                self.shared.note(None);
                for (waiting, seq) in waiting.into_iter().zip(&numbers[owed..]) {
                    let receipt = Receipt { event_id: waiting.event_id, seq: *seq };
                    let _ = waiting.ack.send(Ok(Recorded::Stored(receipt))); // who waited may have gone
                }
            }
            Err(e) => {
                // Where the outcome is unknown a gap may be recorded twice: rather that than not at all.
                lost.into_iter()
                    .for_each(|(org_id, n)| *self.shared.lost.lock().entry(org_id).or_default() += n);
                self.refuse(waiting, &e).await;
            }
        }
    }

    /// Writes what was spooled before anything newer, as far as those who wait have time for: of a backlog that takes
    /// longer, the rest follows with the next writes.
    async fn replay(&mut self) -> Result<(), AuditError> {
        let begun = Instant::now();
        while let Some((events, end)) = self.owed_by_spool().await? {
            let appender = Arc::clone(&self.appender);
            self.bounded(async move { appender.append(&events, true).await }).await?;
            if let Some(spool) = &mut self.spool {
                spool.advance(end).await?;
            }
            if begun.elapsed() > self.shared.deadline / 4 {
                break;
            }
        }
        Ok(())
    }

    /// The next spooled events, and where the spool goes on after them.
    async fn owed_by_spool(&self) -> Result<Option<(Vec<Entry>, u64)>, AuditError> {
        let Some(spool) = self.spool.as_ref().filter(|s| !s.is_empty()) else { return Ok(None) };
        let chunk = spool.peek(REPLAY).await?;
        if chunk.unreadable > 0 {
            tracing::error!(lines = chunk.unreadable, "the audit spool has lines that are no events");
        }
        // What was spooled has been an entry before, so it is one again.
        Ok(Some((chunk.events.iter().filter_map(|e| Entry::new(e).ok()).collect(), chunk.end)))
    }

    fn gap(&self, org_id: Uuid, count: u64) -> Option<Entry> {
        let mut event = Event::new(EventType::AuditGap, org_id, &*self.ids, &*self.clock);
        event.details = serde_json::json!({ "lost": count });
        Entry::new(&event).ok()
    }

    /// Answers those whose events were not stored; spools what may be spooled.
    async fn refuse(&mut self, waiting: Vec<Waiting>, error: &AuditError) {
        if self.shared.ailing.lock().is_none() {
            tracing::error!(%error, "audit events cannot be stored");
        }
        self.shared.note(Some(error));
        let (mut events, mut acks) = (Vec::new(), Vec::new());
        for Waiting { spool, ack, .. } in waiting {
            if let Some(event) = spool {
                events.push(*event);
                acks.push(ack);
            } else {
                let _ = ack.send(Err(copy(error)));
            }
        }
        let kept = match &mut self.spool {
            _ if self.shared.fatal.is_cancelled() => 0,
            Some(spool) if !events.is_empty() => match spool.append(&events).await {
                Ok(kept) => kept,
                Err(e) => {
                    tracing::error!(error = %e, "the audit spool cannot be written");
                    self.shared.note(Some(&e));
                    0
                }
            },
            _ => 0,
        };
        for (i, ack) in acks.into_iter().enumerate() {
            let recorded = if i < kept { Recorded::Spooled } else { Recorded::Lost };
            if recorded == Recorded::Lost {
                self.shared.lose(events[i].org_id, 1);
            }
            let _ = ack.send(Ok(recorded));
        }
    }

    async fn seal_all(&mut self) {
        let appender = Arc::clone(&self.appender);
        if let Err(error) = self.bounded(async move { appender.seal_all().await }).await {
            tracing::warn!(%error, "audit logs could not be sealed");
            self.shared.note(Some(&error));
        }
    }

    /// Does some work on the store, and stops waiting for it in time to answer those who wait for us. The work goes
    /// on (a write cut off in the middle would leave its connection in an unknown state); until it ends, other work
    /// is refused at once.
    async fn bounded<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = Result<T, AuditError>> + Send + 'static,
    ) -> Result<T, AuditError> {
        if self.in_flight.as_ref().is_some_and(|task| !task.is_finished()) {
            return Err(AuditError::Unavailable("an earlier write has not come back".to_owned()));
        }
        self.in_flight = None;
        let mut work = Box::pin(AssertUnwindSafe(timeout(HUNG, work)).catch_unwind());
        let patience = self.shared.deadline * 3 / 4;
        match timeout(patience, &mut work).await {
            Ok(Ok(Ok(done))) => done,
            Ok(Ok(Err(_))) => Err(AuditError::Unavailable(format!("given up after {HUNG:?}"))),
            Ok(Err(_)) => Err(AuditError::Unavailable("the write panicked".to_owned())),
            Err(_) => {
                self.in_flight = Some(self.tracker.spawn(async move { drop(work.await) }));
                Err(AuditError::Unavailable(format!("no answer within {patience:?}")))
            }
        }
    }
}

/// The same error for each of those who wait for one write.
fn copy(error: &AuditError) -> AuditError {
    match error {
        AuditError::Fatal(reason) => AuditError::Fatal(reason.clone()),
        AuditError::Unavailable(reason) => AuditError::Unavailable(reason.clone()),
        other => AuditError::Unavailable(other.to_string()),
    }
}
