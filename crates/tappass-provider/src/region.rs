//! Where a provider keeps and processes data, as far as its host tells or the operator states.

use std::net::IpAddr;

/// On this machine or in a private network.
pub const LOCAL: &str = "local";
/// In the European Union.
pub const EU: &str = "eu";

/// Azure's regions in the EU, as they stand at the beginning of a regional host.
const AZURE_EU: [&str; 12] = [
    "westeurope",
    "northeurope",
    "francecentral",
    "francesouth",
    "germanywestcentral",
    "germanynorth",
    "swedencentral",
    "swedensouth",
    "italynorth",
    "polandcentral",
    "spaincentral",
    "austriaeast",
];

/// The region that a host stands for; `None` where it does not tell.
#[must_use]
pub fn of_host(host: &str) -> Option<&'static str> {
    let host = host.to_ascii_lowercase();
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => host.split(':').next().unwrap_or_default(),
    };
    if let Ok(address) = name.parse::<IpAddr>() {
        return is_local(address).then_some(LOCAL);
    }
    let local =
        name == "localhost" || [".localhost", ".local", ".internal"].iter().any(|end| name.ends_with(end));
    if local {
        return Some(LOCAL);
    }
    let azure = name.ends_with(".azure.com") || name.ends_with(".microsoft.com");
    // Regional hosts of AWS: bedrock-runtime.<region>.amazonaws.com; London and Zurich are not in the Union.
    let aws = name.strip_suffix(".amazonaws.com").and_then(|rest| rest.rsplit('.').next());
    let aws = aws.is_some_and(|region| {
        region.starts_with("eu-") && !matches!(region, "eu-west-2" | "eu-central-2")
            || region == "eusc-de-east-1"
    });
    let eu = aws
        || matches!(name, "eu.api.openai.com" | "api.mistral.ai")
        || (azure && name.split('.').next().is_some_and(|first| AZURE_EU.contains(&first)));
    eu.then_some(EU)
}

fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.segments()[0] & 0xfe00 == 0xfc00 || v6.segments()[0] & 0xffc0 == 0xfe80
        }
    }
}

/// Whether a switch of the environment is on: anything but a plain no.
#[must_use]
pub fn is_on(value: &str) -> bool {
    !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "0" | "false" | "no" | "off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_tell_or_do_not() {
        for local in ["127.0.0.1:8080", "localhost", "10.1.2.3", "[::1]:80", "llm.internal"] {
            assert_eq!(of_host(local), Some(LOCAL), "{local}");
        }
        for eu in [
            "eu.api.openai.com",
            "api.mistral.ai",
            "swedencentral.api.cognitive.microsoft.com",
            "bedrock-runtime.eu-central-1.amazonaws.com",
        ] {
            assert_eq!(of_host(eu), Some(EU), "{eu}");
        }
        for unknown in [
            "api.openai.com",
            "x.openai.azure.com",
            "203.0.113.9:9",
            "westeurope.example.com",
            "bedrock-runtime.us-east-1.amazonaws.com",
            "bedrock-runtime.eu-west-2.amazonaws.com",
            "eu-west-1.amazonaws.com.example",
        ] {
            assert_eq!(of_host(unknown), None, "{unknown}");
        }
        assert!(is_on("1") && is_on("yes please") && !is_on("False") && !is_on(""));
    }
}
