//! Who calls: keys, passwords, sessions, roles and the secrets they rest on.

pub mod accounts;
pub mod authenticate;
pub mod capability;
pub mod factors;
pub mod federated;
pub mod invitations;
pub mod jws;
pub mod keys;
pub mod license;
pub mod oidc;
pub mod passwords;
pub mod personal;
pub mod seal;
pub mod secrets;
pub mod svid;
mod tokens;
mod totp;
pub mod vault;

pub use accounts::{AccountError, Accounts, SignedIn};
pub use authenticate::{AuthError, Authenticator, KeyTerms, Principal, UserPrincipal};
pub use factors::Enrolment;
pub use invitations::{Inviter, LinkToken};
pub use keys::ApiKey;
pub use passwords::{PasswordError, Passwords, WeakPassword};
pub use seal::{SealError, Sealer};
pub use secrets::{Created, SecretsError, ServerSecrets};
pub use svid::{PeerSvid, SvidConfig, SvidError, Svids};
pub use tokens::{SESSION_PREFIX, SessionToken};
pub use zeroize::Zeroizing;
