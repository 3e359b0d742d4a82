//! Addresses on the web that a tool may fetch: plainly written, and not inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Objection, net::is_internal, snake};
use crate::steps::shared::glob;

/// Which addresses are fine.
#[derive(Debug, Clone, Default)]
pub struct UrlPolicy {
    /// Hosts, by name or glob, that may be reached although they are internal.
    pub allow_hosts: Vec<String>,
}

/// Schemes that read files or reach what is no web server.
const BAD_SCHEMES: [&str; 13] = [
    "file",
    "gopher",
    "dict",
    "ftp",
    "ldap",
    "ldaps",
    "tftp",
    "jar",
    "php",
    "phar",
    "netdoc",
    "javascript",
    "data",
];
/// Names that mean this machine, this network or a cloud's metadata.
const INTERNAL_NAMES: [&str; 7] = [
    "localhost",
    "metadata",
    "instance-data",
    "kubernetes",
    "host.docker.internal",
    "broadcasthost",
    "ip6-localhost",
];
/// Ends of names of private zones, and of services that turn any address into a public name.
const INTERNAL_ENDS: [&str; 14] = [
    ".localhost",
    ".local",
    ".internal",
    ".localdomain",
    ".lan",
    ".intranet",
    ".corp",
    ".home.arpa",
    ".nip.io",
    ".sslip.io",
    ".xip.io",
    ".localtest.me",
    ".lvh.me",
    ".cluster.local",
];

/// Whether an argument is an address on the web: by its name, or because it begins with a scheme.
#[must_use]
pub fn looks_like_url(key: &str, text: &str) -> bool {
    // A sentence that begins with an address, or with `data:`, is none.
    (scheme(text).is_some() && !text.trim().contains(char::is_whitespace))
        || matches!(
            snake(key).as_str(),
            "url" | "uri" | "href" | "link" | "endpoint" | "webhook" | "base_url"
        )
        || ["_url", "_uri", "_endpoint", "_webhook"].iter().any(|end| snake(key).ends_with(end))
}

/// The scheme of an address with `//`, or one of those that need none to do harm.
fn scheme(text: &str) -> Option<String> {
    let (scheme, rest) = text.trim().split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let scheme = scheme.to_ascii_lowercase();
    (valid && (rest.starts_with("//") || BAD_SCHEMES.contains(&scheme.as_str()))).then_some(scheme)
}

impl UrlPolicy {
    /// Why an address may not be fetched. `strict`: nothing but `http` and `https`.
    ///
    /// # Errors
    /// The objection.
    pub fn check(&self, text: &str, strict: bool) -> Result<(), Objection> {
        let odd = |why: &'static str| Err(Objection::new("URL_ODD", why));
        let text = text.trim();
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return odd("an address has a space, a control character or a backslash in it");
        }
        let rest = match scheme(text) {
            Some(s) if s == "http" || s == "https" => &text[s.len() + 3..],
            Some(s) if strict || BAD_SCHEMES.contains(&s.as_str()) => {
                return Err(Objection::new("URL_SCHEME", "an address is neither http nor https"));
            }
            Some(_) => return Ok(()),
            // `//host/path`, or `host/path` for tools that put `http://` before it.
            None => text.trim_start_matches('/'),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return odd("an address has a user name in it, which hides where it leads");
        }
        let host = host(authority);
        if host.is_empty() || host.contains('%') || !host.is_ascii() {
            return odd("an address has no plainly written host");
        }
        let host = host.to_ascii_lowercase();
        let name = host.trim_end_matches('.');
        if self.allow_hosts.iter().any(|allowed| glob(allowed, name)) {
            return Ok(());
        }
        let internal = || Err(Objection::new("URL_INTERNAL", "an address leads to an internal host"));
        if let Some(v6) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
            return match v6.parse::<Ipv6Addr>() {
                Ok(v6) if !is_internal(IpAddr::V6(v6)) => Ok(()),
                Ok(_) => internal(),
                Err(_) => odd("an address has a host that is none"),
            };
        }
        if let Ok(v4) = name.parse::<Ipv4Addr>() {
            return if is_internal(IpAddr::V4(v4)) { internal() } else { Ok(()) };
        }
        // `0x7f.1`, `2130706433`, `0177.0.0.1`: readers take them for addresses, people do not.
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
            return odd("an address writes its host's number in an odd way");
        }
        let no_dot = !name.contains('.');
        if no_dot || INTERNAL_NAMES.contains(&name) || INTERNAL_ENDS.iter().any(|end| name.ends_with(end)) {
            return internal();
        }
        Ok(())
    }
}

fn host(authority: &str) -> &str {
    match authority.find(']') {
        Some(end) if authority.starts_with('[') => &authority[..=end],
        _ => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public_and_plain_passes() {
        for fine in [
            "https://example.com/a?b=c#d",
            "http://93.184.216.34:8080/",
            "https://[2606:4700::1111]/",
            "example.com/path",
            "HTTPS://Example.COM",
            "https://sub.example.co.uk.",
            "s3://bucket/key",
        ] {
            assert_eq!(UrlPolicy::default().check(fine, false), Ok(()), "{fine}");
        }
        assert!(UrlPolicy::default().check("s3://bucket/key", true).is_err());
    }

    #[test]
    fn what_leads_inside_or_is_disguised_does_not() {
        for bad in [
            "http://169.254.169.254/latest/meta-data/",
            "http://localhost:8080",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "file:///etc/passwd",
            "gopher://x:70/",
            "http://good.example@10.0.0.1/",
            "http://metadata.google.internal/",
            "http://intranet/",
            "http://10.0.0.1.nip.io/",
            "http://ex%61mple.com/",
            "http://\u{ff11}27.0.0.1/",
            "http://good.example\\@evil/",
            "169.254.169.254/latest",
            "//10.0.0.1/x",
            "http:///x",
            "javascript:alert(1)",
            "http://1.2.3.4.0x5/",
        ] {
            assert!(UrlPolicy::default().check(bad, false).is_err(), "{bad}");
        }
        let ours = UrlPolicy { allow_hosts: vec!["*.corp.internal".into(), "10.0.0.*".into()] };
        assert_eq!(ours.check("http://wiki.corp.internal/x", true), Ok(()));
        assert_eq!(ours.check("http://10.0.0.7/", true), Ok(()));
        assert!(ours.check("http://10.0.1.7/", true).is_err());
    }

    #[test]
    fn what_is_an_address() {
        assert!(looks_like_url("q", "https://a.b") && looks_like_url("callbackUrl", "a.b"));
        assert!(!looks_like_url("q", "data: see https://a.b") && !looks_like_url("time", "10:30"));
    }
}
