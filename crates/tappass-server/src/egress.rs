//! The one client for addresses that people set. None of them leads to an internal address, unless the operator allows
//! it: what is checked is the address that is connected to, so neither a name that changes its mind, nor a redirect, nor
//! an odd notation gets around it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use tappass_pipeline::arguments::{Network, is_internal};

/// For a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(5);

/// What the operator allows: `TAPPASS_EGRESS_ALLOW`.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    hosts: Vec<String>,
    networks: Vec<Network>,
}

impl Rules {
    /// Reads hosts, `*.domains` and networks.
    ///
    /// # Errors
    /// A sentence that names what is neither.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let mut rules = Self::default();
        for entry in entries.iter().map(|e| e.trim()).filter(|e| !e.is_empty()) {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            let host = entry.strip_prefix("*.").unwrap_or(entry);
            if let Ok(network) = Network::parse(entry) {
                rules.networks.push(network);
            } else if !host.is_empty()
                && host.chars().all(plain)
                && host.contains(|c: char| c.is_ascii_alphabetic())
            {
                rules.hosts.push(entry.to_ascii_lowercase());
            } else {
                return Err(format!(
                    "`{entry}` is neither a host (mcp.corp.example, *.corp.example) nor a network (10.0.0.0/8)"
                ));
            }
        }
        Ok(rules)
    }

    fn allow_host(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.hosts.iter().any(|rule| match rule.strip_prefix('*') {
            Some(domain) => host.ends_with(domain),
            None => host == *rule,
        })
    }

    /// Whether an address behind `host` may be connected to. Without TLS it must be listed.
    fn allow(&self, host: &str, address: IpAddr, tls: bool) -> bool {
        self.allow_host(host)
            || self.networks.iter().any(|network| network.contains(address))
            || (tls && !is_internal(address))
    }

    /// Whether an address that somebody sets can be right. What its name leads to is seen when it is connected to.
    ///
    /// # Errors
    /// A sentence: what is wrong, and what to do.
    pub fn check(&self, url: &Url) -> Result<(), String> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err("must begin with https://".to_owned()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user or a password: give a credential of its own".to_owned());
        }
        if url.fragment().is_some() {
            return Err("must not have a fragment (#…)".to_owned());
        }
        let Some(host) = url.host_str() else { return Err("must name a host".to_owned()) };
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) if !self.allow(host, address, tls) => Err(refused(host, tls)),
            // A network may be what allows it: the name is looked up when it is called.
            Err(_) if !tls && !self.allow_host(host) && self.networks.is_empty() => Err(refused(host, tls)),
            _ => Ok(()),
        }
    }
}

fn refused(host: &str, tls: bool) -> String {
    let why = if tls { "leads to an internal address" } else { "is called without TLS (http)" };
    format!("`{host}` {why}, which the operator must allow: TAPPASS_EGRESS_ALLOW={host}")
}

/// Looks names up, and leaves away the addresses that may not be connected to.
struct Guarded {
    rules: Arc<Rules>,
    tls: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, tls) = (Arc::clone(&self.rules), self.tls);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|address| rules.allow(&host, address.ip(), tls)).collect();
            if allowed.is_empty() {
                return Err(
                    Box::new(Refused(refused(&host, tls))) as Box<dyn std::error::Error + Send + Sync>
                );
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// An address that may not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// The clients: one with TLS and one without, because they may reach different addresses.
pub struct Egress {
    rules: Arc<Rules>,
    clients: [OnceLock<Result<Client, String>>; 2],
}

impl Egress {
    /// With what the operator allows.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules: Arc::new(rules), clients: [OnceLock::new(), OnceLock::new()] }
    }

    /// What the operator allows.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The client for an address. It follows no redirect and no proxy.
    ///
    /// # Errors
    /// A sentence: the address is not allowed, or TLS cannot be set up.
    pub fn client(&self, url: &Url) -> Result<Client, String> {
        self.rules.check(url)?;
        let tls = url.scheme() == "https";
        self.clients[usize::from(tls)].get_or_init(|| build(&self.rules, tls)).clone()
    }
}

#[expect(clippy::disallowed_methods, reason = "the one factory of clients for addresses that people set")]
fn build(rules: &Arc<Rules>, tls: bool) -> Result<Client, String> {
    let mut builder = Client::builder()
        .connect_timeout(CONNECT)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .dns_resolver(Guarded { rules: Arc::clone(rules), tls })
        .user_agent(concat!("tappass/", env!("CARGO_PKG_VERSION")));
    // Without TLS no authorities are needed: a machine may have none.
    if !tls {
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|e| format!("TLS cannot be set up: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(entries: &[&str]) -> Rules {
        Rules::parse(&entries.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>()).expect("rules")
    }

    fn check(rules: &Rules, url: &str) -> Result<(), String> {
        rules.check(&Url::parse(url).expect("a URL"))
    }

    #[test]
    fn internal_addresses_in_any_notation_must_be_allowed() {
        let none = Rules::default();
        for bad in [
            "https://127.0.0.1/mcp",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://[::1]:8443/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest",
            "http://1.1.1.1/",
            "http://mcp.example.com/",
        ] {
            assert!(check(&none, bad).is_err_and(|e| e.contains("TAPPASS_EGRESS_ALLOW")), "{bad}");
        }
        for bad in [
            "ftp://mcp.example.com/",
            "https://u:p@mcp.example.com/",
            "https://mcp.example.com/#x",
            "file:///x",
        ] {
            assert!(check(&none, bad).is_err(), "{bad}");
        }
        check(&none, "https://mcp.example.com/mcp?x=1").expect("fine");
        let some = rules(&["10.0.0.0/8", "*.corp.example", " mcp.local "]);
        for fine in
            ["http://10.1.2.3:8000/mcp", "http://a.corp.example/", "http://MCP.local/", "https://10.0.0.1/"]
        {
            check(&some, fine).unwrap_or_else(|e| panic!("{fine}: {e}"));
        }
        for bad in ["http://127.0.0.1/", "https://192.168.0.1/"] {
            assert!(check(&some, bad).is_err(), "{bad}");
        }
        assert!(!some.allow_host("corp.example") && !some.allow_host("evilcorp.example"));
    }

    #[test]
    fn what_is_neither_host_nor_network_is_named() {
        for bad in ["10.0.0.0/40", "http://x", "a b", "*", "1.2.3"] {
            let entries = [bad.to_owned()];
            assert!(Rules::parse(&entries).is_err_and(|e| e.contains(bad)), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_connected_to() {
        let resolve = async |entries: &[&str], tls| {
            let guarded = Guarded { rules: Arc::new(rules(entries)), tls };
            let name: Name = "localhost".parse().expect("a name");
            guarded.resolve(name).await.map(Iterator::count)
        };
        assert!(resolve(&[], true).await.is_err_and(|e| e.to_string().contains("internal")));
        assert!(resolve(&[], false).await.is_err());
        assert!(resolve(&["127.0.0.0/8", "::1"], true).await.is_ok_and(|n| n > 0));
        assert!(resolve(&["localhost"], false).await.is_ok_and(|n| n > 0));
    }
}
