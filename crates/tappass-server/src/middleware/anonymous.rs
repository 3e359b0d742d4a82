//! How often one address may ask without credentials: guesses at passwords, floods of sign-ups.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use http::Request;
use moka::sync::Cache;
use parking_lot::Mutex;

use super::Peer;
use crate::error::ApiError;

/// One bucket for each address; the oldest are forgotten beyond a bound.
pub struct AnonymousLimit {
    per_second: f64,
    burst: f64,
    buckets: Cache<IpAddr, Arc<Mutex<Bucket>>>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl AnonymousLimit {
    /// So many a minute, half of them at once.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        let idle = Duration::from_secs(120);
        Self {
            per_second: f64::from(per_minute) / 60.0,
            burst: (f64::from(per_minute) / 2.0).max(1.0),
            buckets: Cache::builder().max_capacity(50_000).time_to_idle(idle).build(),
        }
    }

    /// Takes one request from the address's allowance.
    ///
    /// # Errors
    /// 429 with the seconds until the next one.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        match address {
            Some(address) => self.admit_at(address, Instant::now()),
            None => Ok(()),
        }
    }

    fn admit_at(&self, address: IpAddr, now: Instant) -> Result<(), ApiError> {
        let fresh = || Arc::new(Mutex::new(Bucket { tokens: self.burst, at: now }));
        let bucket = self.buckets.get_with(network(address), fresh);
        let mut bucket = bucket.lock();
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * self.per_second).min(self.burst);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few seconds, positive"
        )]
        let wait = ((1.0 - bucket.tokens) / self.per_second).ceil() as u64;
        Err(ApiError::too_many(
            wait.max(1),
            format!("Too many requests from your address; try again in {wait} s."),
        ))
    }
}

/// A customer's IPv6 network is one address here: they have 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// The client's address: the peer's, or behind trusted proxies the nearest one that is none of them.
pub fn client_address<B>(request: &Request<B>, trusted: &[IpAddr]) -> Option<IpAddr> {
    let peer = request.extensions().get::<Peer>()?.0.ip().to_canonical();
    if !trusted.contains(&peer) {
        return Some(peer);
    }
    let forwarded: Vec<_> = request
        .headers()
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|v| v.trim().parse::<IpAddr>().ok())
        .collect();
    Some(forwarded.into_iter().rev().find(|address| !trusted.contains(address)).unwrap_or(peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let limit = AnonymousLimit::new(60);
        let (one, two) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let start = Instant::now();
        for _ in 0..30 {
            assert!(limit.admit_at(one, start).is_ok());
        }
        let error = limit.admit_at(one, start).expect_err("spent");
        assert_eq!(error.status(), 429);
        assert!(limit.admit_at(two, start).is_ok(), "another address is not concerned");
        assert!(limit.admit_at(one, start + Duration::from_millis(1100)).is_ok());
        assert!(limit.admit_at(one, start + Duration::from_millis(1200)).is_err());
    }

    #[test]
    fn one_network_one_bucket() {
        let net = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(net("2001:db8::1"), net("2001:db8::ffff"));
        assert_ne!(net("2001:db8:0:1::1"), net("2001:db8:0:2::1"));
        assert_eq!(net("::ffff:192.0.2.1"), net("192.0.2.1"));
    }

    #[test]
    fn forwarded_addresses_count_from_trusted_proxies_only() {
        let address = |peer: [u8; 4], trusted: &[IpAddr]| {
            let mut request = Request::builder()
                .header("x-forwarded-for", "10.9.9.9, 192.0.2.7")
                .header("x-forwarded-for", "127.0.0.1")
                .body(())
                .expect("a request");
            request.extensions_mut().insert(Peer((peer, 1).into()));
            client_address(&request, trusted).map(|a| a.to_string())
        };
        let proxy = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(address([127, 0, 0, 1], &[]).as_deref(), Some("127.0.0.1"));
        assert_eq!(address([127, 0, 0, 1], &[proxy]).as_deref(), Some("192.0.2.7"));
        assert_eq!(address([198, 51, 100, 1], &[proxy]).as_deref(), Some("198.51.100.1"));
    }
}
