//! MCP's framing: what is read as JSON-RPC messages and written again reads the same; reading refuses, and never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tappass_provider::jsonrpc::{Body, INVALID_REQUEST, PARSE_ERROR};

fuzz_target!(|data: &[u8]| {
    match Body::read(data) {
        Ok(body) => {
            assert!(body.batch || body.messages.len() == 1);
            let written = Body::write(body.batch, body.messages.clone()).to_string();
            assert_eq!(Body::read(written.as_bytes()).expect("what is written is read"), body);
        }
        Err(error) => assert!([PARSE_ERROR, INVALID_REQUEST].contains(&error.code), "{error}"),
    }
});
