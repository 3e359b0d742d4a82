//! Logs: on stderr, pretty for a terminal and JSON for a collector. Never content, never keys.
//!
//! Lines go to a thread of their own: a reader of stderr that hangs must not stop the gateway. When it falls
//! behind by [`QUEUE`] lines, lines are dropped and their number is said.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use tracing_subscriber::{EnvFilter, fmt, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

/// How many lines may wait.
const QUEUE: usize = 8_192;

static LINES: OnceLock<SyncSender<Message>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Message {
    Line(Vec<u8>),
    /// Answered when all before it is written.
    Flush(SyncSender<()>),
}

/// Starts logging for the process. The filter is `TAPPASS_LOG`, else `RUST_LOG`, else `info`. A second call has
/// no effect.
pub fn init() {
    let spec = ["TAPPASS_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    // The database's driver shows slow statements with their text.
    let filter = EnvFilter::try_new(spec.as_deref().unwrap_or("info,sqlx=warn,hyper=warn"))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let done = if io::stderr().is_terminal() {
        registry.with(fmt::layer().with_writer(Queue).with_target(false).compact()).try_init()
    } else {
        registry.with(fmt::layer().json().flatten_event(true).with_ansi(false).with_writer(Queue)).try_init()
    };
    if done.is_err() {
        tracing::debug!("logging was started before");
        return;
    }
    // Where, and not what: the message of a panic can quote the text that was being handled.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "a panic");
    }));
}

/// Waits, a second at most, until what was logged is written. Call before the process ends.
pub fn flush() {
    let Some(lines) = LINES.get() else { return };
    let (done, wait) = sync_channel(1);
    if lines.try_send(Message::Flush(done)).is_ok() {
        let _ = wait.recv_timeout(Duration::from_secs(1));
    }
}

struct Queue;

/// One line as it is formatted; handed over when it is dropped.
struct Line(Vec<u8>);

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line;
    fn make_writer(&'a self) -> Line {
        Line(Vec::with_capacity(256))
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let lines = LINES.get_or_init(start);
        if lines.try_send(Message::Line(std::mem::take(&mut self.0))).is_err() {
            DROPPED.fetch_add(1, Relaxed);
        }
    }
}

fn start() -> SyncSender<Message> {
    let (lines, written) = sync_channel(QUEUE);
    // Without the thread, lines are dropped: logging is no reason not to run.
    let _ =
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&written, &mut io::stderr()));
    lines
}

fn write(lines: &Receiver<Message>, out: &mut impl Write) {
    while let Ok(message) = lines.recv() {
        match message {
            Message::Line(line) => {
                let _ = out.write_all(&line);
            }
            Message::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        let dropped = DROPPED.swap(0, Relaxed);
        if dropped > 0 {
            let _ =
                writeln!(out, "{{\"level\":\"WARN\",\"message\":\"log lines dropped\",\"count\":{dropped}}}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_in_order_and_a_flush_after_them() {
        let (lines, received) = sync_channel(4);
        let (done, wait) = sync_channel(1);
        lines.try_send(Message::Line(b"one\n".to_vec())).expect("room");
        lines.try_send(Message::Line(b"two\n".to_vec())).expect("room");
        lines.try_send(Message::Flush(done)).expect("room");
        drop(lines);
        let mut out = Vec::new();
        write(&received, &mut out);
        assert!(wait.try_recv().is_ok());
        assert_eq!(out, b"one\ntwo\n");
    }
}
