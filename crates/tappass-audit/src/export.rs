//! Exports: a whole log as JSON Lines, with all that is needed to verify it anywhere, and their verification.
//!
//! First a header, then events in order, each checkpoint right after the last event it covers, at the end a trailer.

use std::{
    collections::VecDeque,
    io::{BufRead, Read as _},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tappass_model::clock::rfc3339;
use tappass_store::{Store, audit::AuditRow};
use uuid::Uuid;

use crate::{
    AuditError, Checkpoint, Event, Expect, Signer, Verifier, VerifyReport,
    append::{column_text, from_row},
};

/// The header's `type`.
pub const FORMAT: &str = "tappass-audit-export";
/// How many events are held in memory at a time.
const PAGE: u32 = 500;
/// No line of an export is longer.
const MAX_LINE: u64 = 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    r#type: String,
    version: u32,
    org_id: Uuid,
    size: u64,
    public_key: String,
    key_id: String,
    exported_at: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Trailer {
    r#type: String,
    events: u64,
    checkpoints: u64,
}

/// Writes an export page by page: each call gives some lines, so that memory stays bounded and the reader sets the pace.
#[derive(Debug)]
pub struct Exporter {
    store: Store,
    org_id: Uuid,
    header: Option<Header>,
    size: u64,
    done: u64,
    checkpoints: u64,
    finished: bool,
}

impl Exporter {
    /// Begins an export of the log as it is now. Seal it first (`AuditLog::checkpoint`), and all of it is signed.
    ///
    /// # Errors
    /// [`AuditError`] when the store does not answer.
    pub async fn new(
        store: Store,
        org_id: Uuid,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<Self, AuditError> {
        let size = store.audit().head(org_id).await?.map_or(0, |h| h.size);
        let header = Header {
            r#type: FORMAT.to_owned(),
            version: 1,
            org_id,
            size,
            public_key: signer.public_key().to_owned(),
            key_id: signer.key_id().to_owned(),
            exported_at: rfc3339(now),
        };
        Ok(Self { store, org_id, header: Some(header), size, done: 0, checkpoints: 0, finished: false })
    }

    /// The next lines, each with its newline; `None` after the last.
    ///
    /// # Errors
    /// [`AuditError`] when the store does not answer.
    pub async fn next_chunk(&mut self) -> Result<Option<String>, AuditError> {
        if self.finished {
            return Ok(None);
        }
        let mut out = String::new();
        if let Some(header) = self.header.take() {
            line(&mut out, &header)?;
        }
        if self.done < self.size {
            let mut rows = self.store.audit().range(self.org_id, self.done, PAGE).await?;
            rows.retain(|r| r.seq <= self.size);
            let last = rows.last().map_or(self.size, |r| r.seq);
            let sealed = self.store.audit().checkpoints(self.org_id, self.done, last).await?;
            let mut sealed: VecDeque<Checkpoint> = sealed.into_iter().map(from_row).collect();
            self.checkpoints += sealed.len() as u64;
            for row in rows {
                // The stored text goes out as it is: never read and written again.
                out.push_str(&format!(
                    "{{\"type\":\"event\",\"hash\":\"{}\",\"event\":{}}}\n",
                    row.hash, row.body
                ));
                while let Some(checkpoint) = sealed.pop_front_if(|c| c.size <= row.seq) {
                    checkpoint_line(&mut out, &checkpoint)?;
                }
            }
            sealed.iter().try_for_each(|c| checkpoint_line(&mut out, c))?;
            self.done = last;
        } else {
            let trailer =
                Trailer { r#type: "end".to_owned(), events: self.size, checkpoints: self.checkpoints };
            line(&mut out, &trailer)?;
            self.finished = true;
        }
        Ok(Some(out))
    }
}

fn line(out: &mut String, value: &impl Serialize) -> Result<(), AuditError> {
    out.push_str(&serde_json::to_string(value).map_err(|e| AuditError::Unrecordable(e.to_string()))?);
    out.push('\n');
    Ok(())
}

fn checkpoint_line(out: &mut String, checkpoint: &Checkpoint) -> Result<(), AuditError> {
    #[derive(Serialize)]
    struct Line<'a> {
        r#type: &'a str,
        #[serde(flatten)]
        checkpoint: &'a Checkpoint,
    }
    line(out, &Line { r#type: "checkpoint", checkpoint })
}

/// What an export says of itself, and the verdict on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportReport {
    /// Whose log.
    pub org_id: Uuid,
    /// The key that the header names, base64. Compare it with the one you were given on another way.
    pub public_key: String,
    /// The verdict.
    #[serde(flatten)]
    pub report: VerifyReport,
}

/// Why a file is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It cannot be read.
    #[error("the export cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It does not begin as one.
    #[error("this is not an export of version 1: {0}")]
    Header(String),
}

/// Verifies an export, in memory that does not grow with it. `keys` and `expect` as in [`Verifier::new`]. Blocking.
///
/// # Errors
/// [`ExportError`] when this is no export at all; whatever else is wrong with it is in the report.
pub fn verify_export(
    mut reader: impl BufRead,
    keys: Vec<String>,
    expect: Vec<Expect>,
) -> Result<ExportReport, ExportError> {
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    #[derive(Deserialize)]
    struct EventLine<'a> {
        hash: String,
        #[serde(borrow)]
        event: &'a RawValue,
    }

    let first = next_line(&mut reader)?.ok_or_else(|| ExportError::Header("it is empty".to_owned()))?;
    let header: Header = serde_json::from_slice(&first).map_err(|e| ExportError::Header(e.to_string()))?;
    if header.r#type != FORMAT || header.version != 1 {
        return Err(ExportError::Header(format!("type {:?}, version {}", header.r#type, header.version)));
    }
    let mut verifier = Verifier::new(header.org_id, keys, expect);
    let (mut events, mut checkpoints, mut trailer) = (0, 0, None);
    while let Some(text) = next_line(&mut reader)? {
        let next = verifier.next_seq();
        if trailer.is_some() {
            verifier.fail(next, None, "something stands after the export's end");
            break;
        }
        let kind = serde_json::from_slice::<Kind>(&text).map(|k| k.r#type);
        let read = match kind.as_deref() {
            Ok("event") => serde_json::from_slice::<EventLine<'_>>(&text).map(|line| {
                events += 1;
                verifier.event(&line.hash, line.event.get());
            }),
            Ok("checkpoint") => serde_json::from_slice::<Checkpoint>(&text).map(|checkpoint| {
                checkpoints += 1;
                verifier.checkpoint(&checkpoint);
            }),
            Ok("end") => serde_json::from_slice::<Trailer>(&text).map(|line| trailer = Some(line)),
            _ => {
                verifier.fail(next, None, "a line is neither event, checkpoint nor end");
                Ok(())
            }
        };
        if read.is_err() {
            verifier.fail(next, None, "a line cannot be read");
        }
    }
    let next = verifier.next_seq();
    match trailer {
        None => verifier.fail(next, None, "missing: the export breaks off before its end"),
        Some(t) if t.events != events || t.checkpoints != checkpoints || header.size != events => {
            verifier.fail(next, None, "missing: the export holds not as much as it says");
        }
        Some(_) => {}
    }
    Ok(ExportReport { org_id: header.org_id, public_key: header.public_key, report: verifier.finish() })
}

/// The next line that is not blank. A longer one than any export has comes cut, and so cannot be read.
fn next_line(reader: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        let mut text = Vec::new();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut text)? == 0 {
            return Ok(None);
        }
        if !text.trim_ascii().is_empty() {
            return Ok(Some(text));
        }
    }
}

/// Verifies a log in the store, page by page, also that the columns that lists filter by are those of the events.
///
/// # Errors
/// [`AuditError`] when the store does not answer.
pub async fn verify_store(
    store: &Store,
    org_id: Uuid,
    keys: Vec<String>,
    expect: Vec<Expect>,
) -> Result<VerifyReport, AuditError> {
    let audit = store.audit();
    let size = audit.head(org_id).await?.map_or(0, |h| h.size);
    let mut verifier = Verifier::new(org_id, keys, expect);
    let mut done = 0;
    while done < size {
        let mut rows = audit.range(org_id, done, PAGE).await?;
        rows.retain(|r| r.seq <= size);
        let last = rows.last().map_or(size, |r| r.seq);
        let mut sealed: VecDeque<Checkpoint> =
            audit.checkpoints(org_id, done, last).await?.into_iter().map(from_row).collect();
        if rows.is_empty() {
            verifier.fail(done + 1, None, format!("missing: the log has {size} events"));
        }
        for row in rows {
            verifier.event(&row.hash, &row.body);
            if !verifier.is_broken() && !columns_fit(&row) {
                let reason = "the columns beside the event are not the event's";
                verifier.fail(row.seq, Some(row.event_id.to_string()), reason);
            }
            while let Some(checkpoint) = sealed.pop_front_if(|c| c.size <= row.seq) {
                verifier.checkpoint(&checkpoint);
            }
        }
        sealed.iter().for_each(|c| verifier.checkpoint(c));
        done = last;
        tokio::task::yield_now().await; // hashing a page takes a while: let others run
    }
    for checkpoint in audit.checkpoints(org_id, size, i64::MAX as u64).await? {
        // Sealed since we began, or the events below it are gone: only the head as it is now tells.
        if audit.head(org_id).await?.is_none_or(|h| h.size < checkpoint.size) {
            verifier.checkpoint(&from_row(checkpoint));
        }
    }
    Ok(verifier.finish())
}

fn columns_fit(row: &AuditRow) -> bool {
    serde_json::from_str::<Event>(&row.body).is_ok_and(|event| {
        event.event_id == row.event_id
            && event.ts.as_microsecond() == row.ts.as_microsecond()
            && event.agent_id.as_deref().map(column_text) == row.agent_id
            // Events from before the column have none in it.
            && (row.session_id.is_none() || event.session_id.as_deref().map(column_text) == row.session_id)
            && event.event_type.as_str() == row.event_type
            && event.action.map(tappass_model::Action::as_str) == row.action.as_deref()
    })
}
