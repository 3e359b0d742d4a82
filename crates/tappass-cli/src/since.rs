//! `--since 1h`: a span back from now, or a moment.

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

/// A moment: RFC 3339 (`2026-11-22T09:00:00Z`), a day (`2026-11-22`, UTC), or how long ago (`90s`, `15m`, `1h`,
/// `7d`, `2w`).
///
/// # Errors
/// A sentence with the valid forms.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    if let Ok(moment) = text.parse::<civil::Date>().and_then(|day| day.to_zoned(TimeZone::UTC)) {
        return Ok(moment.timestamp());
    }
    ago(text).and_then(|ago| now.checked_sub(ago).ok()).ok_or_else(|| {
        format!("`{text}` is not a time: give how long ago (90s, 15m, 1h, 7d, 2w) or a moment (2026-11-22, 2026-11-22T09:00:00Z)")
    })
}

/// Days and weeks are of 24 and 168 hours: the log is in UTC.
fn ago(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().next_back()?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().ok().filter(|n| *n >= 0)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    number.checked_mul(seconds).map(SignedDuration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_moments() {
        let now: Timestamp = "2026-11-22T09:30:00Z".parse().expect("a time");
        let at = |text| parse(text, now).map(|t| t.to_string());
        assert_eq!(at("1h").as_deref(), Ok("2026-11-22T08:30:00Z"));
        assert_eq!(at("7d").as_deref(), Ok("2026-11-15T09:30:00Z"));
        assert_eq!(at("90s").as_deref(), Ok("2026-11-22T09:28:30Z"));
        assert_eq!(at("2026-11-20").as_deref(), Ok("2026-11-20T00:00:00Z"));
        assert_eq!(at("2026-11-20T10:00:00+01:00").as_deref(), Ok("2026-11-20T09:00:00Z"));
        for wrong in ["", "h", "-1h", "1y", "1é", "soon", "99999999999999999w"] {
            assert!(at(wrong).is_err_and(|e| e.contains("15m")), "{wrong}");
        }
    }
}
