//! Accounts and the authenticator over a store in memory.

mod accounts;
mod authenticate;
mod id_tokens;
mod support;
