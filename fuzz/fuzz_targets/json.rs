//! The strict reader: what it takes, every reader takes in the same way, and what is written again reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tappass_model::json::parse_strict;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = parse_strict(data) else { return };
    let lenient: Value = serde_json::from_slice(data).expect("what the strict reader takes is JSON");
    assert_eq!(value, lenient);
    assert_eq!(parse_strict(value.to_string().as_bytes()).expect("what is written is read"), value);
});
