//! The canonical form of JSON, RFC 8785: one text for one value, so that a hash means the value and not its spelling.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

/// Beyond this, neighbouring integers share one double, and parsers disagree (RFC 7493 §2.2).
pub(crate) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
/// How deep a recorded value may nest; what is deeper is recorded as JSON in a string.
const MAX_DEPTH: usize = 32;

/// The canonical text of `value`: keys sorted by UTF-16 code units, numbers as ECMAScript writes them, no blanks.
#[must_use]
pub fn to_string(value: &Value) -> String {
    let mut out = String::with_capacity(1024);
    write_value(&mut out, value);
    out
}

/// Appends the canonical text of `value` to `out`.
pub fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(n) => write_number(out, n),
        Value::String(s) => write_str(out, s),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (key, value)) in sorted(map).into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_str(out, key);
                out.push(':');
                write_value(out, value);
            }
            out.push('}');
        }
    }
}

/// The members of an object in canonical order. UTF-8 order differs from UTF-16's only beyond the surrogates,
/// so plain ASCII keys take the cheap comparison.
fn sorted(map: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let mut members: Vec<(&str, &Value)> = map.iter().map(|(k, v)| (k.as_str(), v)).collect();
    if members.iter().all(|(k, _)| k.is_ascii()) {
        members.sort_unstable_by_key(|(k, _)| *k);
    } else {
        members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    }
    members
}

/// Appends a string with the escapes that RFC 8785 §3.2.2.2 asks for and no other.
pub(crate) fn write_str(out: &mut String, s: &str) {
    out.push('"');
    let mut rest = 0;
    for (i, byte) in s.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            0x09 => "\\t",
            0x0a => "\\n",
            0x0c => "\\f",
            0x0d => "\\r",
            0x00..0x20 => "",
            _ => continue,
        };
        out.push_str(&s[rest..i]);
        rest = i + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&s[rest..]);
    out.push('"');
}

fn write_number(out: &mut String, n: &Number) {
    match n.as_i64() {
        Some(int) if int.unsigned_abs() <= 1 << 53 => {
            let _ = write!(out, "{int}");
        }
        _ => write_double(out, n.as_f64().unwrap_or(0.0)),
    }
}

/// Appends a finite double as ECMAScript's `Number::toString` does (ECMA-262 §6.1.6.1.20): the shortest digits
/// that read back as the same double, plain between 1e-7 and 1e21, with an exponent outside.
fn write_double(out: &mut String, value: f64) {
    if value == 0.0 {
        out.push('0'); // also for -0
        return;
    }
    if value < 0.0 {
        out.push('-');
    }
    // The shortest digits as serde_json finds them, ties to even as the RFC asks (Rust's own formatting breaks some
    // ties otherwise); only their layout differs.
    let shortest = Number::from_f64(value.abs()).map_or_else(String::new, |n| n.to_string());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let digits = significant.trim_end_matches('0');
    // Where the decimal point stands, counted from the first significant digit.
    let len = |s: &str| i32::try_from(s.len()).unwrap_or(i32::MAX);
    let point = len(whole) + exponent.parse::<i32>().unwrap_or(0) - (len(&all) - len(significant));
    let count = len(digits);
    let zeros = |out: &mut String, n: i32| (0..n).for_each(|_| out.push('0'));
    if count <= point && point <= 21 {
        out.push_str(digits);
        zeros(out, point - count);
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        let _ = write!(out, "{whole}.{fraction}");
    } else if -6 < point && point <= 0 {
        out.push_str("0.");
        zeros(out, -point);
        out.push_str(digits);
    } else {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            let _ = write!(out, ".{rest}");
        }
        let _ = write!(out, "e{:+}", point - 1);
    }
}

/// Makes a value one that every JSON reader understands alike: numbers that a double cannot hold exactly, and
/// what nests too deep, become strings. `depth` is how deep the value itself stands.
pub(crate) fn make_interoperable(value: &mut Value, depth: usize) {
    match value {
        Value::Number(n) if !is_safe(n) => *value = Value::String(n.to_string()),
        Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => *value = Value::String(value.to_string()),
        Value::Array(items) => items.iter_mut().for_each(|v| make_interoperable(v, depth + 1)),
        Value::Object(map) => map.values_mut().for_each(|v| make_interoperable(v, depth + 1)),
        _ => {}
    }
}

/// Whether [`make_interoperable`] would leave it as it is.
pub(crate) fn is_interoperable(value: &Value, depth: usize) -> bool {
    match value {
        Value::Number(n) => is_safe(n),
        Value::Array(items) => depth < MAX_DEPTH && items.iter().all(|v| is_interoperable(v, depth + 1)),
        Value::Object(map) => depth < MAX_DEPTH && map.values().all(|v| is_interoperable(v, depth + 1)),
        _ => true,
    }
}

fn is_safe(n: &Number) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "2^53 - 1 is a double")]
    n.as_f64().is_some_and(|f| f.abs() <= MAX_SAFE_INTEGER as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn double(bits: u64) -> String {
        let mut out = String::new();
        write_double(&mut out, f64::from_bits(bits));
        out
    }

    #[test]
    fn numbers_as_in_appendix_b_of_the_rfc() {
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(double(bits), expected, "{bits:016x}");
        }
    }

    #[test]
    fn the_example_of_section_3_2_2() {
        let value: Value = serde_json::from_str(
            r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
                "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
        )
        .expect("the RFC's example");
        assert_eq!(
            to_string(&value),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
             \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
    }

    #[test]
    fn keys_are_sorted_by_utf_16() {
        // The example of section 3.2.3: the emoji's surrogates come before U+FB33.
        let value =
            json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "ö": 7});
        assert_eq!(
            to_string(&value),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
    }

    #[test]
    fn what_readers_disagree_on_becomes_text() {
        let mut deep = json!(1);
        for _ in 0..40 {
            deep = json!([deep]);
        }
        let mut value =
            json!({"big": u64::MAX, "huge": 1e300, "fine": 9_007_199_254_740_991_u64, "deep": deep});
        make_interoperable(&mut value, 0);
        assert_eq!(value["big"], json!("18446744073709551615"));
        assert_eq!(value["huge"], json!("1e+300"));
        assert_eq!(value["fine"], json!(9_007_199_254_740_991_u64));
        let text = to_string(&value);
        assert_eq!(tappass_model::json::parse_strict(text.as_bytes()).expect("readable"), value);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,12}|[\u{0}-\u{1f}\"\\\\]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec(("\\PC{0,6}", inner), 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    fn reversed(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(reversed).collect(),
            Value::Object(map) => {
                Value::Object(map.iter().rev().map(|(k, v)| (k.clone(), reversed(v))).collect())
            }
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn writing_what_was_read_changes_nothing(value in any_json()) {
            let text = to_string(&value);
            let read: Value = serde_json::from_str(&text).expect("canonical text is JSON");
            prop_assert_eq!(to_string(&read), text);
        }

        #[test]
        fn the_order_of_keys_does_not_matter(value in any_json()) {
            prop_assert_eq!(to_string(&reversed(&value)), to_string(&value));
        }

        #[test]
        fn every_double_reads_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let mut out = String::new();
            write_double(&mut out, value);
            prop_assert_eq!(out.parse::<f64>().expect("a number"), value);
        }
    }
}
