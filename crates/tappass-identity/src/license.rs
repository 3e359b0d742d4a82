//! Licences: who may register how many agents, as a signed statement that is checked offline.
//!
//! A licence decides about registering agents and about nothing else: whatever is said here, every call of every
//! registered agent is governed.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::jws::{JwsError, PublicKey, SigningKey, verified};

/// The type in the header, which no other signature has.
pub const TYP: &str = "tappass-license+jwt";
/// The public key that licences are signed for, base64 of 32 bytes. An operator who issues their own sets another with
/// `TAPPASS_LICENSE_PUBLIC_KEY`.
pub const PUBLIC_KEY: &str = "lLgs56xBYu+O6wfree7QrBDFmCjPlfB4JZ0JKae1KhU=";
/// How many agents there may be without a licence.
pub const DEVELOPMENT_AGENTS: u64 = 5;
/// How long a licence that has expired holds on, in days.
pub const GRACE_DAYS: i64 = 30;
/// How long before its end a licence is spoken of, in days.
const SOON_DAYS: i64 = 30;
const DAY: i64 = 24 * 60 * 60;

/// What a licence says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct License {
    /// The licence.
    pub jti: Uuid,
    /// Whose it is.
    pub customer: String,
    /// What they have.
    pub plan: String,
    /// How many agents may be registered; none: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<u64>,
    /// What is named beside the plan.
    #[serde(default)]
    pub features: Vec<String>,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
}

/// Why a text is no licence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LicenseError {
    /// Its signature does not hold, or it is something else.
    #[error("this is no licence for this program, or it was changed: {0}")]
    Jws(#[from] JwsError),
    /// It is signed, and does not say what a licence says.
    #[error("the licence does not say what a licence says")]
    Claims,
    /// The public key is none.
    #[error("the licences' public key must be base64 of 32 bytes")]
    PublicKey,
}

/// How things stand with the licence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// There is none: for development.
    Development,
    /// It holds.
    Valid,
    /// It holds, and ends within thirty days.
    EndsSoon,
    /// It has expired, and holds on for thirty days.
    Grace,
    /// It has expired more than thirty days ago.
    Expired,
    /// What was given is none; as without one.
    Invalid,
}

/// The public key in a text.
///
/// # Errors
/// [`LicenseError::PublicKey`].
pub fn public_key(text: &str) -> Result<PublicKey, LicenseError> {
    let bytes = STANDARD.decode(text.trim()).map_err(|_| LicenseError::PublicKey)?;
    if bytes.len() == 32 { Ok(PublicKey::new(&bytes)) } else { Err(LicenseError::PublicKey) }
}

/// A public key as [`public_key`] reads it.
#[must_use]
pub fn public_key_text(key: &SigningKey) -> String {
    STANDARD.encode(&key.public().bytes)
}

/// A private key from a PEM file as `openssl genpkey -algorithm ed25519` writes it; `None` for what is none.
#[must_use]
pub fn signing_key(pem: &str) -> Option<SigningKey> {
    let body = pem.split_once("-----BEGIN PRIVATE KEY-----")?.1.split_once("-----END PRIVATE KEY-----")?.0;
    let body: String = body.split_whitespace().collect();
    SigningKey::from_pkcs8(&zeroize::Zeroizing::new(STANDARD.decode(body).ok()?))
}

impl License {
    /// Signs it.
    #[must_use]
    pub fn issue(&self, key: &SigningKey) -> String {
        key.sign(TYP, self)
    }

    /// What a text says, once its signature holds. That it has expired is no error.
    ///
    /// # Errors
    /// [`LicenseError`].
    pub fn read(text: &str, key: &PublicKey) -> Result<Self, LicenseError> {
        let claims = verified(text.trim(), TYP, |id| (key.id == id).then_some(key))?;
        serde_json::from_slice(&claims).map_err(|_| LicenseError::Claims)
    }

    /// When it expires.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_second(self.exp).unwrap_or(Timestamp::MAX)
    }
}

/// The licence of a gateway: what it was given, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Licensed {
    /// Nothing, or `dev`.
    Development,
    /// A licence.
    Given(License),
    /// Something else, and why it is none.
    Invalid(LicenseError),
}

impl Licensed {
    /// From what the operator has set: a licence, `dev`, or nothing; and the public key, where it is not the program's own.
    #[must_use]
    pub fn of(text: Option<&str>, key: Option<&str>) -> Self {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty() && *text != "dev") else {
            return Self::Development;
        };
        let read = public_key(key.unwrap_or(PUBLIC_KEY)).and_then(|key| License::read(text, &key));
        read.map_or_else(Self::Invalid, Self::Given)
    }

    /// How things stand.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        let license = match self {
            Self::Development => return Standing::Development,
            Self::Invalid(_) => return Standing::Invalid,
            Self::Given(license) => license,
        };
        let left = license.exp.saturating_sub(now.as_second());
        if left > SOON_DAYS * DAY {
            Standing::Valid
        } else if left > 0 {
            Standing::EndsSoon
        } else if left > -GRACE_DAYS * DAY {
            Standing::Grace
        } else {
            Standing::Expired
        }
    }

    /// How many agents there may be; none: any number.
    #[must_use]
    pub const fn agents(&self) -> Option<u64> {
        match self {
            Self::Given(license) => license.agents,
            Self::Development | Self::Invalid(_) => Some(DEVELOPMENT_AGENTS),
        }
    }

    /// Whether one more agent may be registered, where there are so many.
    ///
    /// # Errors
    /// Why not, and what to do: a name and a sentence.
    pub fn admits(&self, there: u64, now: Timestamp) -> Result<(), (&'static str, String)> {
        if self.standing(now) == Standing::Expired {
            let why = "The licence has expired: agents that are registered go on and are governed, new ones need a new \
                       licence (TAPPASS_LICENSE).";
            return Err(("license_expired", why.to_owned()));
        }
        match self.agents() {
            Some(most) if there >= most => {
                let whose = if matches!(self, Self::Given(_)) {
                    "The licence is for"
                } else {
                    "Without a licence there are"
                };
                Err((
                    "agent_limit",
                    format!(
                        "{whose} at most {most} agents, and {there} are registered: remove one, or set a licence for more \
                     (TAPPASS_LICENSE). Those that are registered go on."
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// How things stand, in a sentence without the customer's name.
    #[must_use]
    pub fn told(&self, there: Option<u64>, now: Timestamp) -> String {
        let count = match (there, self.agents()) {
            (Some(there), Some(most)) => format!(", {there} of {most} agents"),
            (Some(there), None) => format!(", {there} agents"),
            (None, _) => String::new(),
        };
        let Self::Given(license) = self else {
            let why = match self {
                Self::Invalid(error) => format!("what is set is not used ({error}): as without one"),
                _ => "none: for development, with all features".to_owned(),
            };
            return format!("{why}{count}");
        };
        let day = license.expires_at().strftime("%Y-%m-%d").to_string();
        let plan = Plain(&license.plan);
        match self.standing(now) {
            Standing::Valid => format!("{plan}, until {day}{count}"),
            Standing::EndsSoon => format!("{plan}, ends on {day}{count}"),
            Standing::Grace => {
                let over = now.as_second().saturating_sub(license.exp) / DAY;
                format!("{plan}, expired on {day}; holds on for {} more days{count}", GRACE_DAYS - over)
            }
            _ => format!("{plan}, expired on {day}: no new agents; calls are governed as ever{count}"),
        }
    }
}

/// A text of a licence, as terminals and logs take it.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().filter(|c| !c.is_control()).take(100).try_for_each(|c| write!(f, "{c}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32])
    }

    fn license(exp: i64, agents: Option<u64>) -> License {
        let (customer, plan) = ("Client NV".to_owned(), "Team".to_owned());
        License {
            jti: Uuid::from_u128(1),
            customer,
            plan,
            agents,
            features: vec!["hooks".into()],
            iat: NOW - DAY,
            exp,
        }
    }

    fn given(exp: i64, agents: Option<u64>) -> Licensed {
        Licensed::of(Some(&license(exp, agents).issue(&key())), Some(&public_key_text(&key())))
    }

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).expect("a time")
    }

    #[test]
    fn it_stands_as_its_time_says() {
        for (exp, standing, admits) in [
            (NOW + 31 * DAY, Standing::Valid, true),
            (NOW + 29 * DAY, Standing::EndsSoon, true),
            (NOW + 1, Standing::EndsSoon, true),
            (NOW, Standing::Grace, true),
            (NOW - 29 * DAY, Standing::Grace, true),
            (NOW - 30 * DAY, Standing::Expired, false),
            (0, Standing::Expired, false),
        ] {
            let licensed = given(exp, None);
            assert_eq!(licensed.standing(now()), standing, "{exp}");
            assert_eq!(licensed.admits(1_000_000, now()).is_ok(), admits, "{exp}");
        }
        assert!(given(NOW - DAY, None).told(Some(3), now()).contains("29 more days"));
    }

    #[test]
    fn it_bounds_how_many_agents_there_are() {
        let licensed = given(NOW + 90 * DAY, Some(7));
        assert!(licensed.admits(6, now()).is_ok());
        assert_eq!(licensed.admits(7, now()).expect_err("full").0, "agent_limit");
        for none in [None, Some(""), Some("dev"), Some("  dev\n")] {
            let licensed = Licensed::of(none, None);
            assert_eq!(licensed.standing(now()), Standing::Development);
            assert!(licensed.admits(4, now()).is_ok() && licensed.admits(5, now()).is_err());
        }
    }

    #[test]
    fn what_is_not_signed_for_us_is_none() {
        let text = license(NOW + 90 * DAY, None).issue(&key());
        let own = public_key_text(&key());
        let other = public_key_text(&SigningKey::from_seed(&[8; 32]));
        let token = key().sign(crate::capability::TYP, &license(NOW, None));
        let claims = key().sign(TYP, &serde_json::json!({"plan": "all"}));
        for (text, key) in [
            (text.as_str(), None),
            (&text, Some(other.as_str())),
            (&text, Some("AAAA")),
            (&text[1..], Some(&own)),
            (&token, Some(&own)),
            (&claims, Some(&own)),
            ("enterprise", Some(&own)),
        ] {
            let licensed = Licensed::of(Some(text), key);
            assert_eq!(licensed.standing(now()), Standing::Invalid, "{text}");
            assert_eq!(licensed.agents(), Some(DEVELOPMENT_AGENTS));
        }
        assert_eq!(Licensed::of(Some(&format!(" {text}\n")), Some(&own)).standing(now()), Standing::Valid);
        public_key(PUBLIC_KEY).expect("the program's own is one");
    }
}
