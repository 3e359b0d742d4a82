//! The handlers, one file a resource. `router::table` says which route is whose.

pub mod docs;
pub mod health;
