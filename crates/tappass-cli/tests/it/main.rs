//! The command line from outside: its help and its reference page.

mod help;
