//! A bounded local file for events that the store cannot take: one JSON line each, on disk before it counts.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{AuditError, Event};

const FILE: &str = "audit-spool.jsonl";

/// The file, and how far it has been replayed. What was replayed is gone only when all was: after a crash some
/// events come twice, and their ids tell.
#[derive(Debug)]
pub(crate) struct Spool {
    file: Arc<File>,
    path: PathBuf,
    max_bytes: u64,
    len: u64,
    done: u64,
}

/// What stands next in the file.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) events: Vec<Event>,
    /// Where the file goes on after it.
    pub(crate) end: u64,
    /// Lines that are no events: damage from outside.
    pub(crate) unreadable: u64,
}

impl Spool {
    /// Opens or makes the file in `dir`. A line that a crash cut short was never promised to anyone and is dropped.
    pub(crate) async fn open(dir: &Path, max_bytes: u64) -> Result<Self, AuditError> {
        let dir = dir.to_owned();
        blocking(move || {
            std::fs::create_dir_all(&dir)?;
            let path = dir.join(FILE);
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(&path)?;
            let len = whole_lines(&file)?;
            file.set_len(len)?;
            sync(&file)?;
            // The entry in the directory must last too.
            sync(&File::open(&dir)?)?;
            Ok(Self { file: Arc::new(file), path, max_bytes, len, done: 0 })
        })
        .await
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.done >= self.len
    }

    /// Appends the lines that still fit, all on disk when this returns; gives how many did.
    pub(crate) async fn append(&mut self, events: &[Event]) -> Result<usize, AuditError> {
        let mut text = Vec::new();
        let mut count = 0;
        for event in events {
            let line = serde_json::to_vec(event).map_err(|e| AuditError::Unrecordable(e.to_string()))?;
            if self.len + (text.len() + line.len()) as u64 >= self.max_bytes {
                break;
            }
            text.extend_from_slice(&line);
            text.push(b'\n');
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        let (file, len) = (Arc::clone(&self.file), self.len);
        let added = text.len() as u64;
        blocking(move || {
            let mut out = &*file;
            if let Err(e) = out.write_all(&text) {
                // A full disk: nothing of it counts.
                file.set_len(len)?;
                return Err(e.into());
            }
            sync(&file)
        })
        .await?;
        self.len += added;
        Ok(count)
    }

    /// The next events, at most `limit`.
    pub(crate) async fn peek(&self, limit: usize) -> Result<Chunk, AuditError> {
        if self.is_empty() {
            return Ok(Chunk { end: self.done, ..Chunk::default() });
        }
        let (path, done) = (self.path.clone(), self.done);
        blocking(move || {
            let mut reader = BufReader::new(File::open(path)?);
            reader.seek(SeekFrom::Start(done))?;
            let mut chunk = Chunk { end: done, ..Chunk::default() };
            let mut line = Vec::new();
            while chunk.events.len() < limit {
                line.clear();
                let read = reader.read_until(b'\n', &mut line)?;
                if read == 0 {
                    break;
                }
                chunk.end += read as u64;
                match serde_json::from_slice(&line) {
                    Ok(event) => chunk.events.push(event),
                    Err(_) => chunk.unreadable += 1,
                }
            }
            Ok(chunk)
        })
        .await
    }

    /// Says that everything before `end` is in the store. When that is all, the file is emptied.
    pub(crate) async fn advance(&mut self, end: u64) -> Result<(), AuditError> {
        self.done = end;
        if self.is_empty() && self.len > 0 {
            let file = Arc::clone(&self.file);
            blocking(move || {
                file.set_len(0)?;
                sync(&file)
            })
            .await?;
            self.len = 0;
            self.done = 0;
        }
        Ok(())
    }
}

/// How many bytes of the file are whole lines.
fn whole_lines(file: &File) -> std::io::Result<u64> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(0))?;
    let (mut whole, mut at) = (0, 0);
    let mut buffer = [0; 64 * 1024];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(whole);
        }
        if let Some(newline) = buffer[..read].iter().rposition(|b| *b == b'\n') {
            whole = at + newline as u64 + 1;
        }
        at += read as u64;
    }
}

/// A failed fsync is never retried: the kernel may have thrown the pages away and say yes the next time.
fn sync(file: &File) -> Result<(), AuditError> {
    file.sync_all().map_err(|e| AuditError::Fatal(format!("fsync of the spool: {e}")))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
) -> Result<T, AuditError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(AuditError::Unavailable(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventType;
    use tappass_model::{SystemClock, SystemIds};
    use uuid::Uuid;

    fn events(n: usize) -> Vec<Event> {
        (0..n).map(|_| Event::new(EventType::LlmCall, Uuid::nil(), &SystemIds, &SystemClock)).collect()
    }

    #[tokio::test]
    async fn keeps_order_over_restarts_and_drops_a_cut_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let written = events(5);
        let mut spool = Spool::open(dir.path(), 1 << 20).await.expect("opens");
        assert_eq!(spool.append(&written).await.expect("writes"), 5);
        let mut file = OpenOptions::new().append(true).open(dir.path().join(FILE)).expect("the file");
        file.write_all(b"{\"event_id\":\"01").expect("half a line");
        drop((spool, file));

        let mut spool = Spool::open(dir.path(), 1 << 20).await.expect("opens");
        let first = spool.peek(2).await.expect("reads");
        assert_eq!(
            first.events.iter().map(|e| e.event_id).collect::<Vec<_>>(),
            [written[0].event_id, written[1].event_id]
        );
        spool.advance(first.end).await.expect("advances");
        let rest = spool.peek(10).await.expect("reads");
        assert_eq!((rest.events.len(), rest.unreadable), (3, 0));
        spool.advance(rest.end).await.expect("advances");
        assert!(spool.is_empty());
        assert_eq!(std::fs::metadata(dir.path().join(FILE)).expect("the file").len(), 0);
    }

    #[tokio::test]
    async fn is_bounded() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut spool = Spool::open(dir.path(), 1000).await.expect("opens");
        let kept = spool.append(&events(100)).await.expect("writes");
        assert!(kept > 0 && kept < 100, "{kept}");
        assert_eq!(spool.append(&events(1)).await.expect("full"), 0);
        assert!(std::fs::metadata(dir.path().join(FILE)).expect("the file").len() <= 1000);
    }
}
