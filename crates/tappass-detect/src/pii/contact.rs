//! E-mail, telephone, network addresses, crypto addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use tappass_model::Family;

use crate::rule::{Hit, Rule, mentions};

const PHONE: &[&str] = &[
    "tel",
    "phone",
    "telephone",
    "mobile",
    "mob",
    "cell",
    "call",
    "fax",
    "sms",
    "whatsapp",
    "signal",
    "contact",
    "reach",
    "desk",
    "office",
    "direct",
    "dial",
    "ring",
    "bereikbaar",
    "bereiken",
    "gsm",
    "telefoon",
    "telefon",
    "telnr",
    "mobiel",
    "erreichbar",
    "handy",
    "mobil",
    "rufnummer",
    "anrufen",
    "téléphone",
    "telephone",
    "portable",
    "appel",
    "joindre",
    "joignable",
    "numéro",
    "teléfono",
    "telefono",
    "móvil",
    "movil",
    "llam",
    "cellulare",
    "recapit",
    "chiam",
    "puhelin",
    "number is",
];

const WALLET: &[&str] =
    &["btc", "bitcoin", "wallet", "crypto", "eth", "ethereum", "litecoin", "deposit", "donate", "usdt"];

pub(super) fn rules() -> Vec<Rule> {
    let rule = |kind, score, regex| Rule::new(Family::Pii, kind, score, regex);
    vec![
        rule(
            "EMAIL",
            0.97,
            r"[A-Za-z0-9À-ž_][A-Za-z0-9À-ž._%+'-]{0,63}@(?:[A-Za-z0-9À-ž](?:[A-Za-z0-9À-ž-]{0,40}[A-Za-z0-9À-ž])?\.){1,5}[A-Za-z]{2,18}",
        )
        .check(email),
        rule("PHONE", 0.85, r"\+[1-9][0-9]{0,3}(?:[ ()./-]{0,3}[0-9]{1,12}){1,6}(?: ?(?:x|ext\.? ?)[0-9]{1,5})?").check(international),
        rule(
            "PHONE",
            0.7,
            r"(?:(?:00)?1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}(?: ?(?:x|ext\.? ?)[0-9]{1,5})?",
        )
        .check(american)
        .after(2),
        rule("PHONE", 0.72, r"\(?0[0-9]{1,4}\)?(?:[ ./-]{0,2}[0-9]{2,8}){1,5}").check(national).after(2),
        rule("PHONE", 0.7, r"(?:\([0-9]{2,4}\) ?|[0-9]{2,4}[ .-]?)[0-9]{2,6}(?:[ .-]?[0-9]{2,4}){0,3}").check(labelled_phone).after(2),
        rule("IP", 0.9, r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}").check(ipv4).after(2),
        rule("IP", 0.95, r"(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}").check(ipv6).after(2),
        rule("MAC", 0.95, r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}")
            .after(2)
            .check(|hit| hit.when(!hit.in_digit_row() && hit.value.bytes().any(|b| b.is_ascii_hexdigit() && b != b'0'))),
        rule("CRYPTO", 0.95, r"bc1[ac-hj-np-z02-9]{11,71}").check(|hit| hit.when(bech32(hit.value))),
        rule("CRYPTO", 0.85, r"[13][A-HJ-NP-Za-km-z1-9]{25,34}").near(WALLET).check(mixed),
        rule("CRYPTO", 0.85, r"0x[0-9A-Fa-f]{40}").near(WALLET),
    ]
}

fn email(hit: &Hit<'_>) -> Option<f32> {
    let (local, domain) = hit.value.rsplit_once('@')?;
    let file = ["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "html", "md", "py"];
    let top = domain.rsplit('.').next()?;
    // `git@host:path` is an address of a repository; `user:password@host` is a secret.
    let machine = ["git", "hg", "svn"].contains(&local);
    let credentials = hit.before.ends_with(':') && hit.before.contains("://");
    let tidy = !local.ends_with('.') && !local.contains("..");
    hit.when(tidy && !machine && !credentials && !file.contains(&top.to_ascii_lowercase().as_str()))
}

fn international(hit: &Hit<'_>) -> Option<f32> {
    let main = hit.value.split(['x', 'e']).next()?;
    let digits = main.bytes().filter(u8::is_ascii_digit).count();
    let opens = main.matches('(').count();
    // A sum (`2 +3000000000`) or a time zone is no number to call.
    let sum = hit.before.trim_end().ends_with(|c: char| c.is_ascii_digit() || c == ')');
    hit.when(
        (8..=15).contains(&digits)
            && opens == main.matches(')').count()
            && opens <= 1
            && !sum
            && !hit.digits().uniform(),
    )
}

fn american(hit: &Hit<'_>) -> Option<f32> {
    if hit.in_digit_row() || hit.digits().uniform() {
        return None;
    }
    let certain = hit.value.contains('(') || hit.near(PHONE);
    Some(if certain { hit.score + 0.15 } else { hit.score })
}

fn national(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let count = digits.as_slice().len();
    let balanced = hit.value.contains('(') == hit.value.contains(')');
    if !(9..=11).contains(&count) || !balanced || digits.uniform() || hit.in_digit_row() {
        return None;
    }
    if hit.near(PHONE) {
        return Some(0.85);
    }
    // Without a word that says so: in groups, of a national number's length, and no date.
    let groups = hit.value.split(|c: char| !c.is_ascii_digit()).filter(|g| !g.is_empty()).count();
    hit.when(groups >= 2 && (9..=10).contains(&count) && digits.number(1, 1) != 0)
}

fn labelled_phone(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let count = digits.as_slice().len();
    let telephone = digits.number(0, 1) > 1;
    if !(7..=11).contains(&count) {
        return None;
    }
    // Short ones only right behind the label: `Phone: 358 0594`.
    let label = hit.before.trim_end().trim_end_matches(':');
    let from = label.len().saturating_sub(10);
    let labelled = label.is_char_boundary(from) && mentions(&label[from..], PHONE);
    let enough = count >= 9 || labelled;
    hit.when(enough && telephone && !digits.uniform() && !hit.in_digit_row() && hit.close(PHONE))
}

fn ipv4(hit: &Hit<'_>) -> Option<f32> {
    let ip: Ipv4Addr = hit.value.parse().ok()?;
    let inside =
        ip.is_private() || ip.is_loopback() || ip.is_unspecified() || ip.is_broadcast() || ip.is_link_local();
    let version = hit.close(&["version", "v", "release", "ver", "build", "section", "chapter"]);
    let mask = ip.octets()[0] == 255;
    hit.when(!inside && !version && !mask && !ip.is_documentation() && !hit.in_digit_row())
}

fn ipv6(hit: &Hit<'_>) -> Option<f32> {
    let ip: Ipv6Addr = hit.value.parse().ok()?;
    let groups = hit.value.split(':').filter(|g| !g.is_empty()).count();
    hit.when(
        groups >= 4
            && !ip.is_loopback()
            && hit.value.len() >= 9
            && hit.value.bytes().any(|b| b.is_ascii_digit())
            && !hit.after.starts_with(':'),
    )
}

/// Upper case, lower case and digits, as encoded random bytes have.
fn mixed(hit: &Hit<'_>) -> Option<f32> {
    let has = |f: fn(&u8) -> bool| hit.value.bytes().any(|b| f(&b));
    hit.when(has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit))
}

/// The checksum of BIP 173 and BIP 350.
fn bech32(address: &str) -> bool {
    const CHARSET: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let Some((human, data)) = address.rsplit_once('1') else { return false };
    let high = human.bytes().map(|b| u32::from(b) >> 5);
    let low = human.bytes().map(|b| u32::from(b) & 31);
    let values = data.chars().map(|c| CHARSET.find(c).map_or(0, |at| at as u32));
    let step = |sum: u32, value: u32| {
        let top = sum >> 25;
        let sum = ((sum & 0x1ff_ffff) << 5) ^ value;
        (0..5).filter(|i| (top >> i) & 1 == 1).fold(sum, |sum, i| sum ^ GENERATOR[i])
    };
    let sum = high.chain([0]).chain(low).chain(values).fold(1, step);
    sum == 1 || sum == 0x2bc8_30a3
}

#[cfg(test)]
mod tests {
    use crate::pii::{finds, passes};

    #[test]
    fn contact() {
        finds(&[
            ("mail joan.smith@example.org today", "EMAIL", "joan.smith@example.org"),
            ("<user+tag@mail.example.co.uk>", "EMAIL", "user+tag@mail.example.co.uk"),
            ("Tel. +32 475 12 34 56.", "PHONE", "+32 475 12 34 56"),
            ("call +32(0)475-123456", "PHONE", "+32(0)475-123456"),
            ("bereikbaar op 09 233 44 55", "PHONE", "09 233 44 55"),
            ("(555) 234-5678 is mine", "PHONE", "(555) 234-5678"),
            ("appelez le 02 53 59 33 94", "PHONE", "02 53 59 33 94"),
            ("Phone:\n358 0594", "PHONE", "358 0594"),
            ("mi teléfono: 612345678", "PHONE", "612345678"),
            ("from 36.160.14.148 again", "IP", "36.160.14.148"),
            ("at 2001:db8:85a3:8d3:1319:8a2e:370:7348 now", "IP", "2001:db8:85a3:8d3:1319:8a2e:370:7348"),
            ("mac 00:1a:2B:3c:4d:5e", "MAC", "00:1a:2B:3c:4d:5e"),
            (
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
                "CRYPTO",
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            ),
        ]);
    }

    #[test]
    fn not_contact() {
        passes(&[
            "git@github.com:acme/app.git",
            "icon@2x.png",
            "version 1.2.3.4",
            "10.0.0.1 and 127.0.0.1",
            "std::vec::Vec",
            "at 12:34:56",
            "id 1234567890",
            "2024-01-02 10:11",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
        ]);
    }
}
