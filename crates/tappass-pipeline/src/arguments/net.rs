//! Addresses: networks in CIDR notation, and which addresses are nobody's but our own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: `10.0.0.0/8`, `2001:db8::/32`, or one address (RFC 4632, RFC 4291 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
    v4: bool,
}

fn bits(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, true),
        IpAddr::V6(v6) => (u128::from(v6), false),
    }
}

impl Network {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence that says what it must look like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no network: it must look like 10.0.0.0/8 or 2001:db8::/32");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let (base, v4) = bits(address);
        let most = if v4 { 32 } else { 128 };
        let length: u32 = prefix.map_or(Ok(most), str::parse).map_err(|_| bad())?;
        if length > most {
            return Err(bad());
        }
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Ok(Self { base: base & mask, mask, v4 })
    }

    /// Whether an address is in it. An IPv4 address mapped into IPv6 is what it stands for.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, v4) = bits(address.to_canonical());
        v4 == self.v4 && bits & self.mask == self.base
    }
}

/// Whether an address is not one of the public internet: private, local, shared, reserved, multicast (RFC 6890), also
/// inside IPv6 (mapped, 6to4, NAT64).
#[must_use]
pub fn is_internal(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => internal_v4(v4),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            let low = |a: u16, b: u16| Ipv4Addr::from((u32::from(a) << 16) | u32::from(b));
            v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_multicast()
                || s[0] & 0xfe00 == 0xfc00
                || s[0] & 0xffc0 == 0xfe80
                || s[0] & 0xffc0 == 0xfec0
                || (s[0] == 0x2002 && internal_v4(low(s[1], s[2])))
                || (s[..6] == [0x64, 0xff9b, 0, 0, 0, 0] && internal_v4(low(s[6], s[7])))
                || (s[..6] == [0; 6] && v6 != Ipv6Addr::UNSPECIFIED && internal_v4(low(s[6], s[7])))
        }
    }
}

fn internal_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        // Alibaba's metadata service stands at a public-looking address of its own.
        || v4 == Ipv4Addr::new(100, 100, 100, 200)
        || v4 == Ipv4Addr::new(168, 63, 129, 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn networks() {
        let ten = Network::parse("10.1.2.3/8").expect("a network");
        assert!(ten.contains(ip("10.255.0.1")) && ten.contains(ip("::ffff:10.0.0.1")));
        assert!(!ten.contains(ip("11.0.0.1")) && !ten.contains(ip("a00::")));
        assert!(Network::parse("0.0.0.0/0").expect("all").contains(ip("8.8.8.8")));
        assert!(!Network::parse("8.8.8.8").expect("one").contains(ip("8.8.8.9")));
        assert!(Network::parse("2001:db8::/32").expect("v6").contains(ip("2001:db8:1::5")));
        for bad in ["10.0.0.0/33", "x", "10.0.0/8", "::/129"] {
            assert!(Network::parse(bad).is_err_and(|e| e.contains("10.0.0.0/8")), "{bad}");
        }
    }

    #[test]
    fn internal_addresses() {
        for bad in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::127.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "168.63.129.16",
        ] {
            assert!(is_internal(ip(bad)), "{bad}");
        }
        for fine in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "93.184.216.34"] {
            assert!(!is_internal(ip(fine)), "{fine}");
        }
    }
}
