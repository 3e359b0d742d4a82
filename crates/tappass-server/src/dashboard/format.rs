//! How pages say numbers, times and verdicts. Pieces of HTML are types whose text is made here and escaped here.

use std::fmt;

use askama::filters::HtmlSafe;
use jiff::Timestamp;
use tappass_model::clock::rfc3339;
use tappass_store::Proof;

use super::assets;

/// A piece of HTML that is safe by its making: all that was put into it has been escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Html(pub(super) String);

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Html {}

/// Text as it must stand in HTML, in attributes too.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Text in which what stands between backticks is code.
#[must_use]
pub fn ticked(text: &str) -> Html {
    let piece = |(i, part): (usize, &str)| match i % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    };
    Html(text.split('`').enumerate().map(piece).collect())
}

/// A symbol of `vendor/icons.svg`, as decoration.
#[must_use]
pub fn icon(name: &str) -> Html {
    let url = assets::url("vendor/icons.svg");
    Html(format!(
        r##"<svg class="icon" aria-hidden="true" focusable="false"><use href="{url}#{}"/></svg>"##,
        escape(name)
    ))
}

/// A time of day, or of another day; the browser tells it in its own zone.
#[must_use]
pub fn time(ts: &Timestamp) -> Html {
    when(ts, "short")
}

/// Date and time in full.
#[must_use]
pub fn moment(ts: &Timestamp) -> Html {
    when(ts, "full")
}

/// A date.
#[must_use]
pub fn day(ts: &Timestamp) -> Html {
    when(ts, "day")
}

/// How long ago, or how soon.
#[must_use]
pub fn ago(ts: &Timestamp) -> Html {
    when(ts, "ago")
}

fn when(ts: &Timestamp, style: &str) -> Html {
    let shown = ts.strftime(if style == "day" { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%S UTC" });
    Html(format!(r#"<time datetime="{}" data-style="{style}">{shown}</time>"#, rfc3339(*ts)))
}

/// `1 234 567`, with narrow spaces that do not break.
#[must_use]
pub fn count(n: &u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + 8);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `1.2k`, `34M`: where a number must be short.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn short(n: &u64) -> String {
    let scaled = |by: f64, unit: &str| {
        let x = *n as f64 / by;
        if x < 10.0 { format!("{x:.1}{unit}") } else { format!("{x:.0}{unit}") }
    };
    match *n {
        0..10_000 => count(n),
        10_000..1_000_000 => scaled(1e3, "k"),
        1_000_000..1_000_000_000 => scaled(1e6, "M"),
        _ => scaled(1e9, "G"),
    }
}

/// Microseconds in the unit that fits: `870 µs`, `12.4 ms`, `3.2 s`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn micros(us: &u64) -> String {
    match *us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", *us as f64 / 1e3),
        1_000_000..60_000_000 => format!("{:.1} s", *us as f64 / 1e6),
        _ => format!("{:.1} min", *us as f64 / 6e7),
    }
}

/// Milliseconds, where they are known, in the unit that fits.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration, rounded")]
pub fn millis(ms: &Option<f64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| micros(&((ms * 1000.0).round() as u64)))
}

/// US dollars: more digits for small sums, since a call costs fractions of a cent.
#[must_use]
pub fn dollars(usd: &f64) -> String {
    match usd.abs() {
        0.0 => "$0".to_owned(),
        x if x < 0.000_1 => "<$0.0001".to_owned(),
        x if x < 1.0 => format!("${usd:.4}"),
        x if x < 10_000.0 => format!("${usd:.2}"),
        _ => format!("${usd:.0}"),
    }
}

/// A share as per cent: `97.3 %`.
#[must_use]
pub fn percent(share: &f64) -> String {
    let x = share * 100.0;
    if x == 0.0 || x >= 99.95 { format!("{x:.0} %") } else { format!("{x:.1} %") }
}

/// A name of records for people: `llm_call_blocked` → `llm call blocked`.
#[must_use]
pub fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// What a session stands on.
#[must_use]
pub const fn proof(proof: &Proof) -> &'static str {
    match proof {
        Proof::Password => "password",
        Proof::Issuer => "single sign-on",
    }
}

/// The first letter, as a mark.
#[must_use]
pub fn initial(name: &str) -> String {
    name.chars().find(|c| c.is_alphanumeric()).map(|c| c.to_uppercase().collect()).unwrap_or_default()
}

/// The first part of an id: enough to recognise it by.
#[must_use]
pub fn brief(id: &str) -> String {
    let chars: Vec<char> = id.chars().collect();
    match chars.len() {
        0..=13 => id.to_owned(),
        n => {
            format!("{}…{}", chars[..8].iter().collect::<String>(), chars[n - 4..].iter().collect::<String>())
        }
    }
}

/// What was done, or would have been, as a coloured word.
#[must_use]
pub fn action(name: &str) -> Html {
    let (class, icon_name) = match name {
        "allow" => ("ok", "allow"),
        "log" | "notify" => ("info", "info"),
        "redact" | "mask" | "modify" => ("warn", "mask"),
        "block" | "error" => ("bad", "block"),
        "escalate" | "approval_required" => ("ask", "ask"),
        _ => ("", "info"),
    };
    Html(format!(r#"<span class="chip {class}">{}{}</span>"#, icon(icon_name), escape(&words(name))))
}

/// A mode, as a word whose colour says how strict it is.
#[must_use]
pub fn mode(name: &str) -> Html {
    let class = match name {
        "enforce" => "ok",
        "lockdown" => "bad",
        "warn" => "warn",
        _ => "info",
    };
    Html(format!(r#"<span class="chip {class}">{}</span>"#, escape(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact() {
        assert_eq!(count(&0), "0");
        assert_eq!(count(&1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(short(&9_999), "9\u{202f}999");
        assert_eq!(short(&12_345), "12k");
        assert_eq!(short(&1_250_000), "1.2M");
        assert_eq!(micros(&870), "870 µs");
        assert_eq!(micros(&12_400), "12.4 ms");
        assert_eq!(micros(&90_000_000), "1.5 min");
        assert_eq!(dollars(&0.0), "$0");
        assert_eq!(dollars(&0.000_01), "<$0.0001");
        assert_eq!(dollars(&0.012_345), "$0.0123");
        assert_eq!(percent(&0.9731), "97.3 %");
    }

    #[test]
    fn pieces_escape_what_they_are_given() {
        assert_eq!(escape("<b a='\"&"), "&lt;b a=&#39;&quot;&amp;");
        assert!(!action("<script>").0.contains("<script"));
        assert!(!mode("\"><img>").0.contains("<img"));
        assert_eq!(ticked("use `<a>` & go").0, "use <code>&lt;a&gt;</code> &amp; go");
        assert_eq!(brief("0199a1b2-0000-7000-8000-00000000abcd"), "0199a1b2…abcd");
    }
}
