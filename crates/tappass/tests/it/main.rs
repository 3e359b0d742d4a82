//! The program from outside, as a user meets it: real processes, a real server, a fresh home each.

mod agents;
mod approvals;
mod audit;
mod canary;
mod demo;
mod drain;
mod gateway;
mod gov;
mod hooks;
mod init;
mod journey;
mod kill;
mod lifecycle;
mod live;
mod mcp;
mod people;
mod printed;
mod support;
