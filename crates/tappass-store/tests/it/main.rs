//! The repositories, each test on all three storages.

mod connect;
mod support;
