//! Agents and keys.
