//! Requests that two readers in a row could cut differently (request smuggling). Written to the socket as they are: each
//! is refused and the connection closed, or read in the one way that there is. Never does what stands inside of one
//! become a request of its own.

use std::time::Duration;

use tappass_server::{Config, Running, Server, Setup};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::client::{config, setup};

/// What must never be answered: it stands in bodies only.
const INSIDE: &str = "GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n";
/// Far longer than any answer takes; the end of a test that fails.
const DEADLINE: Duration = Duration::from_secs(60);

async fn started() -> Running {
    let mut config = Config { port: 0, ..config() };
    // A body that never comes ends sometime; so does a request whose end is awaited in vain.
    config.limits.header_read_ms = 5_000;
    config.limits.body_read_ms = 5_000;
    let setup: Setup = setup(config);
    Box::pin(Server::start_with(setup)).await.expect("starts")
}

/// All that comes back until the gateway closes. The last request of `bytes` must make it do so.
async fn spoken(running: &Running, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(running.addr).await.expect("connects");
    // It may refuse and close before all is written.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = async {
        let mut piece = [0; 4096];
        loop {
            match socket.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(n) => answer.extend_from_slice(&piece[..n]),
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.expect("the gateway closes");
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.split("HTTP/1.1 ").skip(1);
    lines.map(|rest| rest.get(..3).and_then(|s| s.parse().ok()).expect("a status")).collect()
}

/// The requests, by name. `{inside}` is `INSIDE`, `{n}` its length; the head has no `Connection`.
fn corpus() -> Vec<(&'static str, String)> {
    let post = |headers: &str, body: &str| {
        format!(
            "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
        )
    };
    let n = INSIDE.len();
    let chunked = "Transfer-Encoding: chunked\r\n";
    vec![
        (
            "CL and TE",
            post(&format!("Content-Length: {}\r\n{chunked}", n + 5), &format!("0\r\n\r\n{INSIDE}")),
        ),
        ("TE and CL", post(&format!("{chunked}Content-Length: 4\r\n"), &format!("0\r\n\r\n{INSIDE}"))),
        ("two lengths", post(&format!("Content-Length: 0\r\nContent-Length: {n}\r\n"), INSIDE)),
        ("two lengths in a line", post(&format!("Content-Length: 0, {n}\r\n"), INSIDE)),
        ("a signed length", post(&format!("Content-Length: +{n}\r\n"), INSIDE)),
        ("a negative length", post("Content-Length: -1\r\n", INSIDE)),
        ("a hexadecimal length", post(&format!("Content-Length: {n:#x}\r\n"), INSIDE)),
        ("an empty length", post("Content-Length: \r\n", INSIDE)),
        ("a length beyond 64 bits", post("Content-Length: 18446744073709551617\r\n", INSIDE)),
        ("a length with a blank before the colon", post(&format!("Content-Length : {n}\r\n"), INSIDE)),
        (
            "TE with a blank before the colon",
            post("Transfer-Encoding : chunked\r\n", &format!("0\r\n\r\n{INSIDE}")),
        ),
        ("TE folded", post("Transfer-Encoding:\r\n chunked\r\n", &format!("0\r\n\r\n{INSIDE}"))),
        ("a header folded", post("X-A: b\r\n Content-Length: 5\r\n", INSIDE)),
        ("TE unknown", post("Transfer-Encoding: xchunked\r\n", &format!("0\r\n\r\n{INSIDE}"))),
        ("TE identity", post("Transfer-Encoding: identity\r\n", INSIDE)),
        ("TE not last", post("Transfer-Encoding: chunked, identity\r\n", &format!("0\r\n\r\n{INSIDE}"))),
        ("TE quoted", post("Transfer-Encoding: \"chunked\"\r\n", &format!("0\r\n\r\n{INSIDE}"))),
        ("TE with a vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", &format!("0\r\n\r\n{INSIDE}"))),
        (
            "TE twice, the last unknown",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n", &format!("0\r\n\r\n{INSIDE}")),
        ),
        ("TE in HTTP/1.0", format!("POST /auth/login HTTP/1.0\r\n{chunked}\r\n0\r\n\r\n{INSIDE}")),
        ("a chunk's size is no number", post(chunked, &format!("zz\r\n\r\n{INSIDE}"))),
        ("a chunk's size is negative", post(chunked, &format!("-1\r\n\r\n{INSIDE}"))),
        ("a chunk's size has 0x", post(chunked, &format!("0x0\r\n\r\n{INSIDE}"))),
        ("a chunk's size overflows", post(chunked, &format!("10000000000000000\r\n{INSIDE}"))),
        ("a chunk is longer than it says", post(chunked, &format!("1\r\n{{}}\r\n0\r\n\r\n{INSIDE}"))),
        ("a chunk ends in a bare LF", post(chunked, &format!("1\n{{\n0\n\n{INSIDE}"))),
        ("a chunk's extension has a bare LF", post(chunked, &format!("0;a\nb\r\n\r\n{INSIDE}"))),
        ("a bare CR in a header", post("X-A: b\rContent-Length: 5\r\n", INSIDE)),
        ("a NUL in a header", post("X-A: b\0\r\n", INSIDE)),
        ("a name with a blank", post("X A: b\r\n", INSIDE)),
        ("no name", post(": b\r\n", INSIDE)),
        ("no colon", post("Content-Length\r\n", INSIDE)),
        ("two targets", format!("GET /health /health/live HTTP/1.1\r\nHost: x\r\n\r\n{INSIDE}")),
        ("a version that is none", format!("GET /health HTTP/1.2\r\nHost: x\r\n\r\n{INSIDE}")),
        ("HTTP/2's preface", format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{INSIDE}")),
    ]
}

#[tokio::test]
async fn what_could_be_cut_in_two_ways_is_refused() {
    let running = started().await;
    for (name, request) in corpus() {
        let answer = spoken(&running, request.as_bytes()).await;
        assert!(!answer.contains("smuggled"), "{name}: {answer}");
        let statuses = statuses(&answer);
        assert!(statuses.len() <= 1 && statuses.iter().all(|s| (400..=505).contains(s)), "{name}: {answer}");
        // The same behind a request that is fine, on one connection.
        let fine = "GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: first\r\n\r\n";
        let answer = spoken(&running, format!("{fine}{request}").as_bytes()).await;
        assert!(!answer.contains("smuggled") && answer.contains("first"), "{name}, pipelined: {answer}");
    }
    running.shutdown().await;
}

#[tokio::test]
async fn what_can_be_read_in_one_way_is_read_so() {
    let running = started().await;
    let close = "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: last\r\n\r\n";
    let body = r#"{"email":"a@b.example","password":"correct horse"}"#;
    let length = body.len();
    let login = "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    for (name, request) in [
        ("a length", format!("{login}Content-Length: {length}\r\n\r\n{body}")),
        ("chunks", format!("{login}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")),
        (
            "chunks, loudly",
            format!(
                "{login}Transfer-Encoding: CHUNKED\r\n\r\n{length:X};a=b\r\n{body}\r\n0\r\nX-T: 1\r\n\r\n"
            ),
        ),
        // RFC 9112 §6.3 lets a length that is said twice alike be taken for one.
        (
            "a length twice alike",
            format!("{login}Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{body}"),
        ),
    ] {
        let answer = spoken(&running, format!("{request}{close}").as_bytes()).await;
        assert_eq!(statuses(&answer), [401, 200], "{name}: {answer}");
        assert!(answer.contains("last"), "{name}: {answer}");
    }
    // A body that a route does not want is not the next request.
    let unwanted =
        format!("GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{INSIDE}", INSIDE.len());
    let answer = spoken(&running, format!("{unwanted}{close}").as_bytes()).await;
    assert!(!answer.contains("smuggled"), "{answer}");
    running.shutdown().await;
}
