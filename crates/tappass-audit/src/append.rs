//! One transaction: lock the logs concerned, chain the new events, seal what is due, commit. Where one log grows and
//! no one else has written to it, as nearly always, the store does all of that in one go.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use tappass_model::Clock;
use tappass_store::{
    Reach, Store, StoreError,
    audit::{APPEND_AT_MOST, AuditHead, AuditRow, AuditTx, CheckpointRow},
};
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::{
    AuditError, Checkpoint, Event, Signer,
    chain::{Draft, Tip},
    hash::parse_hex,
    merkle::Tree,
};

/// An event on its way into the store.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    draft: Draft,
    org_id: Uuid,
    pub(crate) event_id: Uuid,
    ts: Timestamp,
    agent_id: Option<String>,
    session_id: Option<String>,
    event_type: &'static str,
    action: Option<&'static str>,
}

impl Entry {
    pub(crate) fn new(event: &Event) -> Result<Self, AuditError> {
        Ok(Self {
            draft: Draft::new(event)?,
            org_id: event.org_id,
            event_id: event.event_id,
            ts: event.ts,
            agent_id: event.agent_id.as_deref().map(column_text),
            session_id: event.session_id.as_deref().map(column_text),
            event_type: event.event_type.as_str(),
            action: event.action.map(tappass_model::Action::as_str),
        })
    }
}

/// A text as a column may hold it: PostgreSQL takes no NUL.
pub(crate) fn column_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// How many logs' ends are remembered.
const REMEMBERED: usize = 1_000;

/// Appends to the store. With several replicas only the store knows where a log ends; what is remembered here is a
/// guess, which the store takes only while it holds.
pub(crate) struct Appender {
    pub(crate) store: Store,
    pub(crate) signer: Arc<Signer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) checkpoint_every: u64,
    pub(crate) feed: broadcast::Sender<Arc<AuditRow>>,
    /// Where the logs ended after the last commit of this process.
    pub(crate) ends: Mutex<HashMap<Uuid, AuditHead>>,
}

impl Appender {
    /// Appends the entries in their order; gives each one's number. `replayed` says that some may be there already;
    /// those keep the number they have.
    pub(crate) async fn append(&self, entries: &[Entry], replayed: bool) -> Result<Vec<u64>, AuditError> {
        if !replayed && let Some(numbers) = self.append_at_once(entries).await.map_err(|e| unavailable(&e))? {
            return Ok(numbers);
        }
        match self.try_append(entries, replayed).await {
            // An id that is there already: rare enough to look for it only then.
            Err(StoreError::Conflict(_)) if !replayed => self.try_append(entries, true).await,
            other => other,
        }
        .map_err(|e| unavailable(&e))
    }

    /// The short way, for entries of one log whose end is remembered; `None`, and nothing is kept, where it does not
    /// lead there: another replica was faster, an id is known, a checkpoint is due.
    async fn append_at_once(&self, entries: &[Entry]) -> Result<Option<Vec<u64>>, StoreError> {
        let Some(org_id) = entries.first().map(|e| e.org_id) else { return Ok(None) };
        if entries.len() > APPEND_AT_MOST || entries.iter().any(|e| e.org_id != org_id) {
            return Ok(None);
        }
        // Taken out: whatever goes wrong from here on, it is read anew next time.
        let Some(before) = self.ends.lock().remove(&org_id) else { return Ok(None) };
        if before.size + entries.len() as u64 - before.sealed_size >= self.checkpoint_every {
            return Ok(None);
        }
        let (mut tree, mut tip) = restore(&before)?;
        let rows: Vec<AuditRow> = entries.iter().map(|entry| chain(entry, &mut tip, &mut tree)).collect();
        let numbers = (before.size + 1..=tip.seq).collect();
        let after = ended(&before, &tip, &tree);
        let committed = self.for_the_feed(&rows);
        match self.store.audit().append_at(org_id, &before, &after, rows).await {
            Ok(true) => {
                self.remember(org_id, after);
                self.announce(committed);
                Ok(Some(numbers))
            }
            Ok(false) | Err(StoreError::Conflict(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn try_append(&self, entries: &[Entry], may_be_known: bool) -> Result<Vec<u64>, StoreError> {
        // Sorted: replicas lock several logs in one order.
        let mut by_org: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        entries.iter().enumerate().for_each(|(i, e)| by_org.entry(e.org_id).or_default().push(i));

        let mut numbers = vec![0; entries.len()];
        let (mut committed, mut ends) = (Vec::new(), Vec::new());
        let reach = match by_org.keys().collect::<Vec<_>>()[..] {
            [one] => Reach::Org(*one),
            _ => Reach::All,
        };
        let mut tx = self.store.audit().begin(reach).await?;
        for (org_id, indexes) in by_org {
            let mut head = tx.lock(org_id).await?;
            let (mut tree, mut tip) = restore(&head)?;
            let mut known: HashMap<Uuid, u64> = HashMap::new();
            if may_be_known {
                let ids: Vec<Uuid> = indexes.iter().map(|i| entries[*i].event_id).collect();
                known.extend(tx.known(org_id, &ids).await?);
            }
            let mut rows = Vec::with_capacity(indexes.len());
            for i in indexes {
                let entry = &entries[i];
                if let Some(seq) = known.get(&entry.event_id) {
                    numbers[i] = *seq;
                    continue;
                }
                rows.push(chain(entry, &mut tip, &mut tree));
                numbers[i] = tip.seq;
                if may_be_known {
                    known.insert(entry.event_id, tip.seq);
                }
            }
            committed.extend(self.for_the_feed(&rows));
            tx.append(rows).await?;
            head = ended(&head, &tip, &tree);
            if head.size - head.sealed_size >= self.checkpoint_every {
                self.seal_head(&mut tx, org_id, &mut head, &tree).await?;
            }
            ends.push((org_id, head.clone()));
            tx.save(org_id, head).await?;
        }
        tx.commit().await?;
        for (org_id, head) in ends {
            self.remember(org_id, head);
        }
        self.announce(committed);
        Ok(numbers)
    }

    fn remember(&self, org_id: Uuid, head: AuditHead) {
        let mut ends = self.ends.lock();
        if ends.len() >= REMEMBERED {
            ends.clear();
        }
        ends.insert(org_id, head);
    }

    fn for_the_feed(&self, rows: &[AuditRow]) -> Vec<Arc<AuditRow>> {
        let heard = self.feed.receiver_count() > 0;
        rows.iter().filter(|_| heard).cloned().map(Arc::new).collect()
    }

    fn announce(&self, committed: Vec<Arc<AuditRow>>) {
        for row in committed {
            let _ = self.feed.send(row); // nobody listening is fine
        }
    }

    /// Signs the state of a log, unless its last checkpoint is that; `None` for a log without events.
    pub(crate) async fn seal(&self, org_id: Uuid) -> Result<Option<Checkpoint>, AuditError> {
        self.try_seal(org_id).await.map_err(|e| unavailable(&e))
    }

    async fn try_seal(&self, org_id: Uuid) -> Result<Option<Checkpoint>, StoreError> {
        let audit = self.store.audit();
        let mut tx = audit.begin(org_id).await?;
        let mut head = tx.lock(org_id).await?;
        if head.size == head.sealed_size {
            drop(tx);
            return Ok(audit.last_checkpoint(org_id).await?.map(from_row));
        }
        let (tree, _) = restore(&head)?;
        let checkpoint = self.seal_head(&mut tx, org_id, &mut head, &tree).await?;
        tx.save(org_id, head.clone()).await?;
        tx.commit().await?;
        self.remember(org_id, head);
        Ok(Some(checkpoint))
    }

    /// Signs every log that has grown since its last checkpoint.
    pub(crate) async fn seal_all(&self) -> Result<(), AuditError> {
        for org_id in self.store.audit().unsealed().await.map_err(|e| unavailable(&e))? {
            self.seal(org_id).await?;
        }
        Ok(())
    }

    async fn seal_head(
        &self,
        tx: &mut AuditTx,
        org_id: Uuid,
        head: &mut AuditHead,
        tree: &Tree,
    ) -> Result<Checkpoint, StoreError> {
        let previous = parse_hex(&head.sealed_hash).ok_or_else(|| damaged("sealed_hash"))?;
        let checkpoint = self.signer.seal(org_id, head.size, &tree.root(), &previous, self.clock.now());
        tx.add_checkpoint(to_row(checkpoint.clone())).await?;
        head.sealed_size = checkpoint.size;
        head.sealed_hash.clone_from(&checkpoint.hash);
        Ok(checkpoint)
    }
}

/// The entry as the next of its log.
fn chain(entry: &Entry, tip: &mut Tip, tree: &mut Tree) -> AuditRow {
    let (body, next) = entry.draft.append(tip);
    *tip = next;
    tree.push(&tip.hash);
    AuditRow {
        org_id: entry.org_id,
        seq: tip.seq,
        event_id: entry.event_id,
        ts: entry.ts,
        agent_id: entry.agent_id.clone(),
        session_id: entry.session_id.clone(),
        event_type: entry.event_type.to_owned(),
        action: entry.action.map(str::to_owned),
        hash: hex::encode(tip.hash),
        body,
    }
}

/// The end of a log that has grown.
fn ended(before: &AuditHead, tip: &Tip, tree: &Tree) -> AuditHead {
    AuditHead { size: tip.seq, hash: hex::encode(tip.hash), tree: tree.state(), ..before.clone() }
}

fn restore(head: &AuditHead) -> Result<(Tree, Tip), StoreError> {
    let tree = Tree::restore(head.size, &head.tree).ok_or_else(|| damaged("tree"))?;
    let hash = parse_hex(&head.hash).ok_or_else(|| damaged("hash"))?;
    Ok((tree, Tip { seq: head.size, hash }))
}

fn damaged(column: &'static str) -> StoreError {
    StoreError::Unreadable {
        column,
        reason: "the audit log's head is damaged; run `tappass audit verify`".to_owned(),
    }
}

/// After a failed fsync nobody knows what is on disk, and asking again may lie; everything else may pass.
fn unavailable(e: &StoreError) -> AuditError {
    if e.is_sync_failure() {
        AuditError::Fatal(e.to_string())
    } else {
        AuditError::Unavailable(e.to_string())
    }
}

/// A stored checkpoint as the signed object it is.
#[must_use]
pub fn from_row(c: CheckpointRow) -> Checkpoint {
    Checkpoint {
        org_id: c.org_id,
        size: c.size,
        root: c.root,
        time: c.time,
        previous: c.previous,
        key_id: c.key_id,
        hash: c.hash,
        public_key: c.public_key,
        signature: c.signature,
    }
}

fn to_row(c: Checkpoint) -> CheckpointRow {
    CheckpointRow {
        org_id: c.org_id,
        size: c.size,
        root: c.root,
        time: c.time,
        previous: c.previous,
        key_id: c.key_id,
        hash: c.hash,
        public_key: c.public_key,
        signature: c.signature,
    }
}
