//! Who calls: keys, passwords, sessions, roles and the secrets they rest on.
