//! Where a command writes: data to stdout, messages to stderr. Colour goes where a terminal reads it and
//! `NO_COLOR` is not set; everywhere else it is stripped.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
    sync::LazyLock,
};

use anstream::AutoStream;
use serde_json::Value;

use crate::{safe, table::Table};

/// A style: the escape that begins it. [`RESET`] ends it.
pub mod style {
    /// For headings.
    pub const BOLD: &str = "\x1b[1m";
    /// For what matters less.
    pub const DIM: &str = "\x1b[2m";
    /// For what is wrong.
    pub const RED: &str = "\x1b[31m";
    /// For what is well.
    pub const GREEN: &str = "\x1b[32m";
    /// For what needs a look.
    pub const YELLOW: &str = "\x1b[33m";
    /// Back to plain.
    pub const RESET: &str = "\x1b[0m";
}
use style::{DIM, RED, RESET, YELLOW};

/// The two streams of a command.
pub struct Out {
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    width: Option<u16>,
}

impl Out {
    /// The process's own.
    #[must_use]
    pub fn terminal() -> Self {
        let width = if io::stdout().is_terminal() { comfy_table::Table::new().width() } else { None };
        Self {
            stdout: Box::new(AutoStream::auto(io::stdout())),
            stderr: Box::new(AutoStream::auto(io::stderr())),
            width,
        }
    }

    /// Data: a line to stdout. What comes from a server must have passed [`safe`].
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.stdout, "{line}")
    }

    /// Data that is not a whole line yet.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn piece(&mut self, piece: &str) -> io::Result<()> {
        self.stdout.write_all(piece.as_bytes())?;
        self.stdout.flush()
    }

    /// Data as it is: for what is not looked at but kept.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)
    }

    /// Data as indented JSON.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn json(&mut self, value: &Value) -> io::Result<()> {
        self.line(&safe::json(&format!("{value:#}")))
    }

    /// One line of NDJSON.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn ndjson(&mut self, value: &Value) -> io::Result<()> {
        self.line(&safe::json(&value.to_string()))
    }

    /// Data as a table that fits the terminal. An empty one is a message.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn table(&mut self, table: &Table, none: &str) -> io::Result<()> {
        if table.is_empty() {
            self.note(none);
            return Ok(());
        }
        let text = table.render(self.width);
        self.line(&text)
    }

    /// How wide the terminal is that reads the data; `None` where none does.
    #[must_use]
    pub const fn width(&self) -> Option<u16> {
        self.width
    }

    /// A message to stderr.
    pub fn note(&mut self, message: &str) {
        // A message that cannot be written has nobody to tell.
        let _ = writeln!(self.stderr, "{}", as_called(message, &CALLED));
    }

    /// A message to stderr about something that needs a look.
    pub fn warn(&mut self, message: &str) {
        self.note(&format!("{YELLOW}warning{RESET}: {message}"));
    }

    /// What went wrong, to stderr.
    pub fn error(&mut self, message: &str) {
        self.note(&format!("{RED}error{RESET}: {message}"));
    }

    /// What to do about it, to stderr.
    pub fn mend(&mut self, message: &str) {
        self.note(&format!("{DIM}  →{RESET} {message}"));
    }
}

/// How this program was called, as typed: `tappass`, `./tappass`, `/opt/bin/tappass`.
static CALLED: LazyLock<String> = LazyLock::new(|| {
    let typed = std::env::args_os().next().and_then(|name| name.into_string().ok()).unwrap_or_default();
    if typed.ends_with("/tappass") { safe::text(&typed) } else { "tappass".to_owned() }
});

/// A message whose commands can be typed as this one was.
fn as_called<'a>(message: &'a str, program: &str) -> Cow<'a, str> {
    if program == "tappass" {
        return Cow::Borrowed(message);
    }
    Cow::Owned(message.replace("`tappass ", &format!("`{program} ")))
}

#[cfg(test)]
impl Out {
    /// One that keeps what it is told, as a pipe would get it.
    pub(crate) fn captured() -> (Self, Captured) {
        let captured = Captured::default();
        let strip = |kept: &Kept| {
            Box::new(anstream::StripStream::new(Box::new(kept.clone()) as Box<dyn Write + Send>))
        };
        (Self { stdout: strip(&captured.out), stderr: strip(&captured.err), width: None }, captured)
    }
}

/// What a test's [`Out`] was told.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Captured {
    out: Kept,
    err: Kept,
}

#[cfg(test)]
impl Captured {
    /// What went to stdout, colours stripped.
    pub(crate) fn stdout(&self) -> String {
        self.out.text()
    }

    /// What went to stderr, colours stripped.
    pub(crate) fn stderr(&self) -> String {
        self.err.text()
    }
}

#[cfg(test)]
#[derive(Clone, Default)]
struct Kept(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
    }
}

#[cfg(test)]
impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_can_be_typed_as_the_program_was() {
        let hint = "sign in with `tappass login`, not TapPass";
        assert_eq!(as_called(hint, "tappass"), hint);
        assert_eq!(as_called(hint, "./tappass"), "sign in with `./tappass login`, not TapPass");
    }

    #[test]
    fn data_and_messages_go_apart() {
        let (mut out, printed) = Out::captured();
        out.json(&serde_json::json!({"name": "a\u{1b}[31m\u{9b}"})).expect("written");
        out.ndjson(&serde_json::json!([1, 2])).expect("written");
        out.warn("careful");
        assert_eq!(printed.stdout(), "{\n  \"name\": \"a\\u001b[31m\\u009b\"\n}\n[1,2]\n");
        assert_eq!(printed.stderr(), "warning: careful\n");
    }
}
