//! Signing in for a program on the browser's machine, the way of RFC 8252: the program listens on a port of its own
//! loopback address, the browser signs in at the issuer and comes back to that port with a code, and the program exchanges
//! the code for the session. What stands in the code is sealed, and opens only together with a secret that never left the
//! program; so whoever reads the browser's history has nothing. Nothing is kept here meanwhile.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::flow::{FlowError, challenge_of, random};
use crate::{SealError, Sealer};

/// How long the program may take to exchange its code, in seconds.
pub const CODE_LIFE: i64 = 60;
/// What is sealed for a program opens as nothing else.
const PLACE: &str = "session for a command line, v1";
/// Ports below are not for programs of people.
const LEAST_PORT: u16 = 1024;

/// A program that waits for a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    port: u16,
    challenge: String,
}

#[derive(Serialize, Deserialize)]
struct Code {
    session: String,
    challenge: String,
    ends: i64,
}

/// What a program keeps to itself, and what it sends ahead of it: the verifier and its S256 challenge (RFC 7636).
#[must_use]
pub fn pkce() -> (String, String) {
    let verifier = random();
    let challenge = challenge_of(&verifier);
    (verifier, challenge)
}

impl CommandLine {
    /// `None` where the port is not one of a program, or the challenge is none.
    #[must_use]
    pub fn new(port: u16, challenge: String) -> Option<Self> {
        let is_hash = URL_SAFE_NO_PAD.decode(&challenge).is_ok_and(|bytes| bytes.len() == 32);
        (port >= LEAST_PORT && is_hash).then_some(Self { port, challenge })
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The code of a session (base64, so an address must encode it).
    ///
    /// # Errors
    /// [`SealError`]
    pub fn code(&self, sealer: &Sealer, session: String, now: Timestamp) -> Result<String, SealError> {
        let code = Code { session, challenge: self.challenge.clone(), ends: now.as_second() + CODE_LIFE };
        sealer.seal(PLACE, &serde_json::to_vec(&code).map_err(|_| SealError)?)
    }
}

/// The session of a code, for whoever has the verifier.
///
/// # Errors
/// [`FlowError`]
pub fn collect(code: &str, verifier: &str, sealer: &Sealer, now: Timestamp) -> Result<String, FlowError> {
    let bytes = sealer.open(PLACE, code).map_err(|_| FlowError)?;
    let code: Code = serde_json::from_slice(&bytes).map_err(|_| FlowError)?;
    let same: bool = code.challenge.as_bytes().ct_eq(challenge_of(verifier).as_bytes()).into();
    if same && now.as_second() < code.ends { Ok(code.session) } else { Err(FlowError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_for_who_has_the_verifier_for_a_minute() {
        let (sealer, now) = (Sealer::new(&[7; 32]).expect("a key"), Timestamp::UNIX_EPOCH);
        let (verifier, challenge) = pkce();
        let program = CommandLine::new(40_000, challenge.clone()).expect("a port and a challenge");
        let code = program.code(&sealer, "{}".to_owned(), now).expect("seals");
        let later = |seconds| Timestamp::from_second(seconds).expect("a time");
        assert_eq!(collect(&code, &verifier, &sealer, later(CODE_LIFE - 1)), Ok("{}".to_owned()));
        assert_eq!(collect(&code, &verifier, &sealer, later(CODE_LIFE)), Err(FlowError), "over");
        for other in ["", challenge.as_str(), pkce().0.as_str()] {
            assert_eq!(collect(&code, other, &sealer, now), Err(FlowError));
        }
        let elsewhere = sealer.seal("elsewhere", b"{}").expect("seals");
        assert_eq!(collect(&elsewhere, &verifier, &sealer, now), Err(FlowError));
        let other = Sealer::new(&[8; 32]).expect("a key");
        assert_eq!(collect(&code, &verifier, &other, now), Err(FlowError));
        assert_eq!(CommandLine::new(80, challenge), None);
        assert_eq!(CommandLine::new(40_000, "not a hash".to_owned()), None);
    }
}
