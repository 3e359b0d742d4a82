//! The secrets a server rests on: from the environment, else from `secrets.toml` in the data directory, else made.
//!
//! Three are kept: the admin key, the secret behind people's sessions, and the vault key, which is the root of what
//! is stored. From the vault key follow, by HKDF (RFC 5869), the pepper of the agents' keys, the seed that signs
//! the audit log, the key that seals what waits for approval, and the one that binds names of kept answers: replicas with the same vault key agree on them. These functions block: call them before the
//! runtime serves, or off its threads.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::hkdf;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{keys::ApiKey, tokens};

/// The file in the data directory.
pub const SECRETS_FILE: &str = "secrets.toml";
/// The shortest admin key and session secret that is not weak.
const MIN_LEN: usize = 32;
const HEADER: &str = "# Made by tappass. Whoever reads this file governs the gateway: keep it at mode 0600,\n\
                      # and back it up with the database, which is of no use without it.\n";

/// The environment variable of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// `TAPPASS_ADMIN_API_KEY`
    AdminApiKey,
    /// `TAPPASS_JWT_SECRET`
    JwtSecret,
    /// `TAPPASS_VAULT_KEY`
    VaultKey,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AdminApiKey, Self::JwtSecret, Self::VaultKey];

    /// The variable's name.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::AdminApiKey => "TAPPASS_ADMIN_API_KEY",
            Self::JwtSecret => "TAPPASS_JWT_SECRET",
            Self::VaultKey => "TAPPASS_VAULT_KEY",
        }
    }
}

/// A secret that was missing and has been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Which.
    pub name: Name,
    /// Where it is kept; `None`: in memory, gone with the process.
    pub path: Option<PathBuf>,
}

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file or its directory cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Others than its owner may read or replace it.
    #[error("{path} is open to other users (mode {mode:04o}); run: chmod {wanted} {path}")]
    Open {
        /// What.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What to give `chmod`.
        wanted: &'static str,
    },
    /// The file is not what was written.
    #[error("{path} cannot be read as secrets: {reason}; restore it from the backup of the data directory")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why, without the values.
        reason: String,
    },
    /// The vault key is not 32 bytes in base64.
    #[error("TAPPASS_VAULT_KEY must be base64 of 32 bytes; make one with: openssl rand -base64 32")]
    VaultKey,
    /// A public address needs secrets that exist before.
    #[error("a public address needs secrets of its own; missing: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// A public address needs secrets that cannot be guessed.
    #[error("a public address needs strong secrets: {}", .0.join("; "))]
    Weak(Vec<String>),
}

/// The secrets. Wiped from memory when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ServerSecrets {
    admin_api_key: String,
    jwt_secret: String,
    vault_key: [u8; 32],
}

impl fmt::Debug for ServerSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSecrets(…)")
    }
}

/// What is in the file. What the environment gives need not be.
#[derive(Default, Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_api_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vault_key: Option<String>,
}

impl Kept {
    fn slot(&mut self, name: Name) -> &mut Option<String> {
        match name {
            Name::AdminApiKey => &mut self.admin_api_key,
            Name::JwtSecret => &mut self.jwt_secret,
            Name::VaultKey => &mut self.vault_key,
        }
    }

    fn missing(&self) -> Vec<Name> {
        let mut all = self.clone();
        Name::ALL.into_iter().filter(|name| all.slot(*name).is_none()).collect()
    }

    /// With what the environment gives in place of what was kept. A blank variable counts as unset.
    fn overlaid(&self, env: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut all = self.clone();
        for name in Name::ALL {
            if let Some(value) = env(name.variable()).filter(|v| !v.trim().is_empty()) {
                *all.slot(name) = Some(value.trim().to_owned());
            }
        }
        all
    }
}

impl ServerSecrets {
    /// The secrets; what is missing is made, and kept in the data directory if there is one.
    ///
    /// # Errors
    /// [`SecretsError`] says what to do. A file or directory that is open to other users is refused.
    pub fn load_or_create(
        data_dir: Option<&Path>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<Created>), SecretsError> {
        let kept = data_dir.map(read).transpose()?.flatten().unwrap_or_default().overlaid(env);
        if kept.missing().is_empty() {
            return Ok((Self::from(&kept)?, Vec::new()));
        }
        // Two that start at once must not make two sets: the second waits and finds what the first made.
        let _lock = data_dir.map(lock).transpose()?;
        let mut kept = data_dir.map(read).transpose()?.flatten().unwrap_or_default();
        let missing = kept.overlaid(env).missing();
        for name in &missing {
            *kept.slot(*name) = Some(make(*name));
        }
        let path = data_dir.filter(|_| !missing.is_empty()).map(|dir| write(dir, &kept)).transpose()?;
        let created = missing.into_iter().map(|name| Created { name, path: path.clone() }).collect();
        Ok((Self::from(&kept.overlaid(env))?, created))
    }

    /// The secrets of a server on a public address: none is made, and weak ones are refused.
    ///
    /// # Errors
    /// [`SecretsError::Missing`] and [`SecretsError::Weak`] beside those of [`ServerSecrets::load_or_create`].
    pub fn load_for_public(
        data_dir: Option<&Path>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SecretsError> {
        let all = data_dir.map(read).transpose()?.flatten().unwrap_or_default().overlaid(env);
        let missing = all.missing();
        if !missing.is_empty() {
            return Err(SecretsError::Missing(missing.into_iter().map(Name::variable).collect()));
        }
        let secrets = Self::from(&all)?;
        let weak = secrets.weaknesses();
        if weak.is_empty() { Ok(secrets) } else { Err(SecretsError::Weak(weak)) }
    }

    /// The admin key kept in a data directory, for the tools on the same machine. `None` when none is kept there.
    ///
    /// # Errors
    /// [`SecretsError`] when there is a file that cannot or must not be read.
    pub fn kept_admin_key(data_dir: &Path) -> Result<Option<Zeroizing<String>>, SecretsError> {
        let mut kept = read(data_dir)?.unwrap_or_default();
        Ok(kept.admin_api_key.take().map(Zeroizing::new))
    }

    fn from(all: &Kept) -> Result<Self, SecretsError> {
        let text = |slot: &Option<String>| slot.clone().unwrap_or_default();
        let decoded =
            Zeroizing::new(STANDARD.decode(text(&all.vault_key)).map_err(|_| SecretsError::VaultKey)?);
        let vault_key = decoded.as_slice().try_into().map_err(|_| SecretsError::VaultKey)?;
        Ok(Self { admin_api_key: text(&all.admin_api_key), jwt_secret: text(&all.jwt_secret), vault_key })
    }

    /// The key of the platform's administrator.
    #[must_use]
    pub fn admin_api_key(&self) -> &str {
        &self.admin_api_key
    }

    /// What credentials at rest are sealed with.
    #[must_use]
    pub fn vault_key(&self) -> &[u8; 32] {
        &self.vault_key
    }

    /// What agents' keys are hashed under.
    #[must_use]
    pub fn key_pepper(&self) -> Zeroizing<[u8; 32]> {
        derive(&self.vault_key, b"tappass: agent keys, v1")
    }

    /// What the tokens of people's sessions are hashed under: another `TAPPASS_JWT_SECRET` ends all sessions.
    #[must_use]
    pub fn session_pepper(&self) -> Zeroizing<[u8; 32]> {
        derive(self.jwt_secret.as_bytes(), b"tappass: user sessions, v1")
    }

    /// The seed of the Ed25519 key (RFC 8032) that signs the audit log's checkpoints.
    #[must_use]
    pub fn audit_signing_seed(&self) -> Zeroizing<[u8; 32]> {
        derive(&self.vault_key, b"tappass: audit checkpoints, v1")
    }

    /// What seals the requests that wait for a person.
    ///
    /// # Errors
    /// [`SealError`](crate::SealError) when the key is not taken.
    pub fn approvals_sealer(&self) -> Result<crate::Sealer, crate::SealError> {
        crate::Sealer::new(&derive(&self.vault_key, b"tappass: approvals, v1"))
    }

    /// Seals what belongs to MCP servers: their credentials, what they say of their tools, their sessions' ids.
    ///
    /// # Errors
    /// [`SealError`](crate::SealError) when the key is not taken.
    pub fn mcp_sealer(&self) -> Result<crate::Sealer, crate::SealError> {
        crate::Sealer::new(&derive(&self.vault_key, b"tappass: mcp, v1"))
    }

    /// Seals a sign-in at another issuer while it is under way.
    ///
    /// # Errors
    /// [`SealError`](crate::SealError) when the key is not taken.
    pub fn sign_in_sealer(&self) -> Result<crate::Sealer, crate::SealError> {
        crate::Sealer::new(&derive(&self.vault_key, b"tappass: sign-ins under way, v1"))
    }

    /// Seals the secrets of people's second factors.
    ///
    /// # Errors
    /// [`SealError`](crate::SealError) when the key is not taken.
    pub fn second_factor_sealer(&self) -> Result<crate::Sealer, crate::SealError> {
        crate::Sealer::new(&derive(&self.vault_key, b"tappass: second factors, v1"))
    }

    /// What people's recovery codes are hashed under.
    #[must_use]
    pub fn recovery_pepper(&self) -> Zeroizing<[u8; 32]> {
        derive(&self.vault_key, b"tappass: recovery codes, v1")
    }

    /// Wraps the data keys of the vault.
    ///
    /// # Errors
    /// [`SealError`](crate::SealError) when the key is not taken.
    pub fn vault_sealer(&self) -> Result<crate::Sealer, crate::SealError> {
        crate::Sealer::new(&derive(&self.vault_key, b"tappass: vault, v1"))
    }

    /// Seals the keys that sign capability tokens.
    ///
    /// # Errors
    /// [`SealError`](crate::SealError) when the key is not taken.
    pub fn token_keys_sealer(&self) -> Result<crate::Sealer, crate::SealError> {
        crate::Sealer::new(&derive(&self.vault_key, b"tappass: token keys, v1"))
    }

    /// What binds the names of answers that providers keep to the agent they were given to.
    #[must_use]
    pub fn kept_names_key(&self) -> Zeroizing<[u8; 32]> {
        derive(&self.vault_key, b"tappass: names of kept answers, v1")
    }

    /// Why these secrets are not fit for a public address, one sentence each, without the values. Empty: they are.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<String> {
        let mut weak = Vec::new();
        for (name, value) in [(Name::AdminApiKey, &self.admin_api_key), (Name::JwtSecret, &self.jwt_secret)] {
            weak.extend(weakness(value).map(|why| format!("{} {why}", name.variable())));
        }
        if looks_regular(&self.vault_key) {
            weak.push(format!("{} has a pattern in it", Name::VaultKey.variable()));
        }
        if self.admin_api_key == self.jwt_secret {
            let (a, b) = (Name::AdminApiKey.variable(), Name::JwtSecret.variable());
            weak.push(format!("{a} and {b} are the same"));
        }
        weak
    }
}

/// Words that stand in examples. Six letters at least, so that no random key meets one by chance.
const DEFAULTS: [&str; 12] = [
    "changeme",
    "change-me",
    "change_me",
    "secret",
    "password",
    "example",
    "default",
    "placeholder",
    "tappass",
    "insecure",
    "replace",
    "your-key",
];

fn weakness(value: &str) -> Option<&'static str> {
    let folded = value.to_lowercase();
    if value.len() < MIN_LEN {
        Some("is shorter than 32 characters")
    } else if DEFAULTS.iter().any(|word| folded.contains(word)) {
        Some("looks like a default or an example")
    } else if looks_regular(value.as_bytes()) {
        Some("has a pattern in it")
    } else {
        None
    }
}

/// Few different bytes, a repetition, or runs like `abc…` and `111…`.
fn looks_regular(bytes: &[u8]) -> bool {
    let different = bytes.iter().collect::<std::collections::BTreeSet<_>>().len();
    let repeats = (1..=bytes.len() / 2).any(|n| bytes[n..] == bytes[..bytes.len() - n]);
    let steps = bytes.windows(2).filter(|w| w[1].abs_diff(w[0]) <= 1).count();
    different < 10 || repeats || steps * 2 > bytes.len()
}

fn make(name: Name) -> String {
    if name == Name::AdminApiKey {
        return ApiKey::generate(tappass_store::KeyKind::Agent).expose().to_owned();
    }
    let mut bytes = Zeroizing::new([0; 32]);
    tokens::fill(bytes.as_mut());
    STANDARD.encode(bytes.as_ref())
}

fn derive(secret: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(secret)
        .expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut()))
        .expect("HKDF-SHA256 gives 32 bytes");
    out
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SecretsError + 'a {
    move |source| SecretsError::Io { action, path: path.to_owned(), source }
}

/// What the data directory keeps, if anything.
fn read(dir: &Path) -> Result<Option<Kept>, SecretsError> {
    let path = dir.join(SECRETS_FILE);
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => Zeroizing::new(other.map_err(failed("read", &path))?),
    };
    refuse_open(dir, 0o022, "go-w")?;
    refuse_open(&path, 0o077, "600")?;
    // The parser's message may quote the line: only its position is told.
    let kept = toml::from_str(&text).map_err(|e| {
        let at = e.span().map_or(0, |s| text[..s.start.min(text.len())].lines().count().max(1));
        SecretsError::Malformed { path, reason: format!("line {at} is not one of ours") }
    })?;
    Ok(Some(kept))
}

#[cfg(unix)]
fn refuse_open(path: &Path, forbidden: u32, wanted: &'static str) -> Result<(), SecretsError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).map_err(failed("read", path))?.permissions().mode() & 0o7777;
    if mode & forbidden == 0 {
        return Ok(());
    }
    Err(SecretsError::Open { path: path.to_owned(), mode, wanted })
}

#[cfg(not(unix))]
fn refuse_open(_: &Path, _: u32, _: &'static str) -> Result<(), SecretsError> {
    Ok(())
}

/// Makes the directory, for its owner alone, and locks it until the file is dropped.
fn lock(dir: &Path) -> Result<fs::File, SecretsError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(failed("make the directory", dir))?;
    refuse_open(dir, 0o022, "go-w")?;
    let handle = fs::File::open(dir).map_err(failed("open", dir))?;
    handle.lock().map_err(failed("lock", dir))?;
    Ok(handle)
}

/// Writes the file beside and renames it, so that there is never half a file, nor one that others can read.
fn write(dir: &Path, kept: &Kept) -> Result<PathBuf, SecretsError> {
    let path = dir.join(SECRETS_FILE);
    let beside = dir.join(format!(".{SECRETS_FILE}.{}", std::process::id()));
    let text = toml::to_string(kept)
        .map_err(|e| SecretsError::Malformed { path: path.clone(), reason: e.to_string() })?;
    let text = Zeroizing::new(format!("{HEADER}{}", Zeroizing::new(text).as_str()));
    let written = write_private(&beside, text.as_bytes()).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.map_err(failed("write", &path))?;
    fs::File::open(dir).and_then(|d| d.sync_all()).map_err(failed("write", dir))?;
    Ok(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
