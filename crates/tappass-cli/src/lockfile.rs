//! The file in the data directory that says which server runs on it.
//!
//! The server holds a lock on it for as long as it lives, and the system lets go of the lock when the process
//! ends, however it ends. So a process id read from a locked file is never that of someone else.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// How often, and after which pause, a lock that someone has is tried again.
const LOOKS: u32 = 50;
const LOOK: Duration = Duration::from_millis(10);

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The server's process.
    pub pid: u32,
    /// Where it listens.
    pub url: String,
}

/// The lock, held by a server until dropped.
#[derive(Debug)]
pub struct Lock(File);

/// Whether a lock could be had.
#[derive(Debug)]
pub enum Acquired {
    /// It could.
    Ours(Lock),
    /// A server has it.
    Held(Option<Server>),
}

/// The file of a data directory.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("server.lock")
}

/// Takes the lock of a data directory. The directory is made (mode 0700) when it is not there.
///
/// # Errors
/// As the file system says.
pub fn acquire(data_dir: &Path) -> io::Result<Acquired> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let file = open(&path(data_dir), true)?;
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Acquired::Ours(Lock(file))),
            // `holder` takes the lock too, for the moment of a look.
            Err(TryLockError::WouldBlock) if tries < LOOKS => {
                tries += 1;
                std::thread::sleep(LOOK);
            }
            Err(TryLockError::WouldBlock) => return Ok(Acquired::Held(read(file))),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

/// The server that runs on a data directory, if one does.
///
/// # Errors
/// As the file system says.
pub fn holder(data_dir: &Path) -> io::Result<Option<Server>> {
    let file = match open(&path(data_dir), false) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match file.try_lock_shared() {
        // Let go again on return: nobody runs.
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(read(file)),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    fs::OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path)
}

fn read(mut file: File) -> Option<Server> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

impl Lock {
    /// Says who holds it.
    ///
    /// # Errors
    /// As the file system says.
    pub fn announce(&mut self, server: &Server) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        self.0.write_all(serde_json::to_string(server).map_err(io::Error::other)?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_it_until_it_ends() {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("data");
        assert_eq!(holder(&data).expect("looks"), None);
        let Ok(Acquired::Ours(mut lock)) = acquire(&data) else { panic!("free") };
        let server = Server { pid: 7, url: "http://127.0.0.1:1".to_owned() };
        lock.announce(&Server { url: "x".repeat(200), ..server.clone() }).expect("written");
        lock.announce(&server).expect("written");
        assert_eq!(holder(&data).expect("looks"), Some(server.clone()));
        assert!(matches!(acquire(&data), Ok(Acquired::Held(Some(s))) if s == server));
        drop(lock);
        // Someone who only looks does not keep a server from starting.
        let look = open(&path(&data), false).expect("there");
        look.try_lock_shared().expect("free");
        let looking = std::thread::spawn(move || {
            std::thread::sleep(LOOK);
            drop(look);
        });
        assert!(matches!(acquire(&data), Ok(Acquired::Ours(_))));
        looking.join().expect("it ended");
        assert_eq!(holder(&data).expect("looks"), None);
        assert!(matches!(acquire(&data), Ok(Acquired::Ours(_))));
    }
}
