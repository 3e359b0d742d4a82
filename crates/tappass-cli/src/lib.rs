//! The commands of the terminal: one file a verb, over the HTTP contract.
