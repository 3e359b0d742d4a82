//! Logs: on stderr, pretty for a terminal and JSON for a collector. Never content, never keys.
//!
//! Lines go to a thread of their own: a reader of stderr that hangs must not stop the gateway. The thread writes
//! many lines at once; when it falls behind by [`MOST`] bytes, lines are dropped and their number is said.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        LazyLock,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::{EnvFilter, fmt, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

/// How many bytes may wait.
const MOST: usize = 2 << 20;
/// How long lines are gathered after some have been written: a busy gateway wakes the thread for hundreds of lines,
/// not for each.
const GATHER: Duration = Duration::from_millis(5);

static QUEUE: LazyLock<Queue> = LazyLock::new(|| {
    // Without the thread, lines are dropped: logging is no reason not to run.
    let _ = std::thread::Builder::new().name("log".to_owned()).spawn(|| {
        loop {
            QUEUE.write_once(&mut io::stderr());
            std::thread::sleep(GATHER);
        }
    });
    Queue::default()
});

/// Lines on their way to the thread.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// How many lines found no room since the last were written.
    dropped: u64,
    /// Answered when all before them is written.
    flushes: Vec<SyncSender<()>>,
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
        registry.with(fmt::layer().with_writer(Lines).with_target(false).compact()).try_init()
    } else {
        registry.with(fmt::layer().json().flatten_event(true).with_ansi(false).with_writer(Lines)).try_init()
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
    let (done, wait) = sync_channel(1);
    QUEUE.flush(done);
    let _ = wait.recv_timeout(Duration::from_secs(1));
}

/// Gives each line its way into the queue.
struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'static Queue;
    fn make_writer(&'a self) -> &'static Queue {
        &QUEUE
    }
}

/// Each write is a whole line: the layer formats one before it hands it over.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.lines.len() + line.len() > MOST {
            waiting.dropped += 1;
            return;
        }
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        self.ready.notify_one();
    }

    fn flush(&self, done: SyncSender<()>) {
        self.waiting.lock().flushes.push(done);
        self.ready.notify_one();
    }

    /// Waits until there is something, then writes all there is.
    fn write_once(&self, out: &mut impl Write) {
        let mut waiting = self.waiting.lock();
        self.ready.wait_while(&mut waiting, |w| w.lines.is_empty() && w.flushes.is_empty());
        let Waiting { lines, dropped, flushes } = std::mem::take(&mut *waiting);
        drop(waiting);
        // A stderr that is gone is no reason to stop.
        let _ = out.write_all(&lines);
        if dropped > 0 {
            let _ =
                writeln!(out, "{{\"level\":\"WARN\",\"message\":\"log lines dropped\",\"count\":{dropped}}}");
        }
        let _ = out.flush();
        for done in flushes {
            let _ = done.try_send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_in_order_and_a_flush_after_them() {
        let queue = Queue::default();
        let (done, wait) = sync_channel(1);
        queue.push(b"one\n");
        queue.push(b"two\n");
        queue.flush(done);
        let mut out = Vec::new();
        queue.write_once(&mut out);
        assert!(wait.try_recv().is_ok());
        assert_eq!(out, b"one\ntwo\n");
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let queue = Queue::default();
        queue.push(&vec![b'x'; MOST]);
        queue.push(b"lost\n");
        queue.push(b"lost\n");
        let mut out = Vec::new();
        queue.write_once(&mut out);
        let said = String::from_utf8_lossy(&out[MOST..]).into_owned();
        assert!(said.contains("\"count\":2") && !said.contains("lost"), "{said}");
        queue.push(b"room again\n");
        out.clear();
        queue.write_once(&mut out);
        assert_eq!(out, b"room again\n");
    }
}
