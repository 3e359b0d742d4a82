//! Repositories over SQLite and PostgreSQL, and the state that replicas share.
