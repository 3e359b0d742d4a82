//! `tappass logs -f`: as it happens, and on from where it was stopped.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::ChildStdout,
    sync::mpsc::{Receiver, channel},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{DEADLINE, Home, Running};

/// The lines of a process as they come.
fn lines(stdout: ChildStdout) -> Receiver<Value> {
    let (send, receive) = channel();
    drop(std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(serde_json::from_str(&line).expect("JSON")).is_err() {
                return;
            }
        }
    }));
    receive
}

/// Follows the log until an event of this agent comes; gives all that came, and where to go on.
fn follow(home: &Home, more: &[&str], agent: &str, then: impl FnOnce()) -> (Vec<Value>, String) {
    let mut child = home.command(&[&["logs", "-f", "--json"], more].concat()).spawn().expect("it runs");
    let events = lines(child.stdout.take().expect("a pipe"));
    let mut running = Running(child);
    let mut seen = Vec::new();
    let mut then = Some(then);
    while seen.last().is_none_or(|e: &Value| e["agent_id"] != agent) {
        seen.push(events.recv_timeout(DEADLINE).expect("an event"));
        if let Some(then) = then.take() {
            then();
        }
    }
    let pid = i32::try_from(running.0.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::INT).expect("it runs");
    let status = running.0.wait().expect("it ends");
    assert_eq!(status.code(), Some(0));
    let mut note = String::new();
    running.0.stderr.take().expect("a pipe").read_to_string(&mut note).expect("text");
    let cursor = note.trim_end().rsplit(' ').next().expect("a cursor").to_owned();
    assert!(note.contains("--cursor"), "{note}");
    (seen, cursor)
}

#[test]
fn events_come_as_they_happen_and_none_is_lost_between_two_follows() {
    let home = Home::signed_in();
    home.agent("before");
    let (seen, cursor) = follow(&home, &[], "during", || drop(home.agent("during")));
    let seqs: Vec<_> = seen.iter().map(|e| e["seq"].as_u64().expect("a number")).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "all of them, each once, in order");

    home.agent("between");
    let (seen, _) = follow(&home, &["--cursor", &cursor], "after", || drop(home.agent("after")));
    let agents: Vec<_> = seen.iter().map(|e| e["agent_id"].as_str().expect("an agent")).collect();
    assert_eq!(agents, ["between", "after"]);
}

#[test]
fn a_server_that_comes_back_is_followed_on() {
    let mut home = Home::signed_in();
    let mut child = home.command(&["logs", "-f", "--json"]).spawn().expect("it runs");
    let events = lines(child.stdout.take().expect("a pipe"));
    let _running = Running(child);
    // With the same licence, a server that starts has nothing to note of it.
    let next = || events.recv_timeout(DEADLINE).expect("an event");
    assert_eq!(next()["event_type"], "signin");
    home.ok(&["down"]);
    let port = home.url.rsplit(':').next().and_then(|p| p.parse().ok()).expect("a port");
    home.start_at(port, &[]);
    home.agent("after");
    assert_eq!(next()["agent_id"], "after", "and nothing twice");
    home.agent("later");
    assert_eq!(next()["agent_id"], "later");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let home = Home::signed_in();
    home.agent("claims-processor");
    let mut child = home.command(&["audit", "export"]).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
}
