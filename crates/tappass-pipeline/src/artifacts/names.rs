//! Names of packages: which are well known, which were invented by models, which only look like a well-known one.
//! The lists are in `data/packages/`, with their sources.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

/// Whose packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ecosystem {
    /// Python's.
    PyPi,
    /// JavaScript's.
    Npm,
    /// Rust's.
    Crates,
    /// Go modules.
    Go,
}

/// What the lists say of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is on the list of its ecosystem.
    Known,
    /// Models invented it; no registry knew it.
    Invented,
    /// One or two letters from this well-known name, and itself not known.
    LooksLike(&'static str),
    /// The lists say nothing.
    Unknown,
}

/// Of each list, so many are what others are mistaken for.
const POPULAR: usize = 1000;
/// Names shorter than this are too close to each other to tell.
const SHORTEST: usize = 5;
/// From this length on two letters may differ.
const LONG: usize = 10;
/// Longer names are not compared.
const LONGEST: usize = 48;

static LISTS: LazyLock<HashMap<Ecosystem, List>> = LazyLock::new(|| {
    let invented = include_str!("../../data/packages/invented.txt");
    let of = |ecosystem: Ecosystem, word: &str, known: &'static str| {
        let lines = invented.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        (ecosystem, List::new(ecosystem, known, lines))
    };
    [
        of(Ecosystem::PyPi, "pypi", include_str!("../../data/packages/pypi.txt")),
        of(Ecosystem::Npm, "npm", include_str!("../../data/packages/npm.txt")),
        of(Ecosystem::Crates, "crates", include_str!("../../data/packages/crates.txt")),
        of(Ecosystem::Go, "go", include_str!("../../data/packages/go.txt")),
    ]
    .into()
});

struct List {
    known: HashSet<&'static str>,
    invented: HashSet<String>,
    /// The popular names, and by the hash of what is left of them without one or two letters which they are: two
    /// names that are close share such a rest. Sorted.
    popular: Vec<&'static str>,
    rests: Vec<(u64, usize)>,
}

impl List {
    fn new<'a>(ecosystem: Ecosystem, known: &'static str, invented: impl Iterator<Item = &'a str>) -> Self {
        let popular: Vec<&'static str> = known.lines().take(POPULAR).filter(|n| comparable(n)).collect();
        let rests_of = |(i, name): (usize, &&'static str)| {
            let rests = without_letters(name, edits(ecosystem, name));
            rests.into_iter().map(move |rest| (hash(&rest), i)).collect::<Vec<_>>()
        };
        let mut rests: Vec<(u64, usize)> = popular.iter().enumerate().flat_map(rests_of).collect();
        rests.sort_unstable();
        Self {
            known: known.lines().collect(),
            invented: invented.map(|n| fold(ecosystem, n)).collect(),
            popular,
            rests,
        }
    }
}

/// Reads the lists, so that no call has to.
pub fn load() {
    LazyLock::force(&LISTS);
}

/// What the lists say of a name, as it is written.
#[must_use]
pub fn judge(ecosystem: Ecosystem, name: &str) -> Verdict {
    let Some(list) = LISTS.get(&ecosystem) else { return Verdict::Unknown };
    let name = fold(ecosystem, name);
    if list.invented.contains(&name) {
        return Verdict::Invented;
    }
    if list.known.contains(name.as_str()) || (ecosystem == Ecosystem::Go && part_of_known(list, &name)) {
        return Verdict::Known;
    }
    if !comparable(&name) {
        return Verdict::Unknown;
    }
    let most = edits(ecosystem, &name);
    let rests = without_letters(&name, most);
    let close = rests.iter().flat_map(|rest| {
        let rest = hash(rest);
        let from = list.rests.partition_point(|(h, _)| *h < rest);
        list.rests[from..].iter().take_while(move |(h, _)| *h == rest).map(|(_, i)| list.popular[*i])
    });
    let nearest = close
        .map(|known| (strsim::osa_distance(known, &name), known))
        .filter(|(distance, known)| *distance <= most.min(edits(ecosystem, known)))
        .min();
    nearest.map_or(Verdict::Unknown, |(_, known)| Verdict::LooksLike(known))
}

/// A Go import is a package of a module: `github.com/x/y/z` belongs to `github.com/x/y`.
fn part_of_known(list: &List, name: &str) -> bool {
    name.match_indices('/').any(|(at, _)| list.known.contains(&name[..at]))
}

/// The one spelling of a name in its registry.
fn fold(ecosystem: Ecosystem, name: &str) -> String {
    match ecosystem {
        // PEP 503.
        Ecosystem::PyPi => {
            let lower = name.to_ascii_lowercase();
            let parts: Vec<&str> = lower.split(['-', '_', '.']).filter(|p| !p.is_empty()).collect();
            parts.join("-")
        }
        Ecosystem::Npm => name.to_ascii_lowercase(),
        Ecosystem::Crates => name.to_ascii_lowercase().replace('_', "-"),
        Ecosystem::Go => name.to_owned(),
    }
}

fn comparable(name: &str) -> bool {
    name.is_ascii() && (SHORTEST..=LONGEST).contains(&name.len())
}

const fn edits(ecosystem: Ecosystem, name: &str) -> usize {
    // Paths of modules differ in short owners' names.
    if name.len() >= LONG && !matches!(ecosystem, Ecosystem::Go) { 2 } else { 1 }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// The name, and what is left of it without up to `most` of its letters.
fn without_letters(name: &str, most: usize) -> HashSet<String> {
    let mut all: HashSet<String> = [name.to_owned()].into();
    let mut last: Vec<String> = vec![name.to_owned()];
    for _ in 0..most {
        let mut next = Vec::new();
        for rest in &last {
            for at in 0..rest.len() {
                let shorter = [&rest[..at], &rest[at + 1..]].concat();
                if all.insert(shorter.clone()) {
                    next.push(shorter);
                }
            }
        }
        last = next;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_well_known_in_every_spelling() {
        for (ecosystem, name) in [
            (Ecosystem::PyPi, "requests"),
            (Ecosystem::PyPi, "Typing_Extensions"),
            (Ecosystem::Npm, "lodash"),
            (Ecosystem::Npm, "@types/node"),
            (Ecosystem::Crates, "serde_json"),
            (Ecosystem::Go, "github.com/stretchr/testify/assert"),
        ] {
            assert_eq!(judge(ecosystem, name), Verdict::Known, "{name}");
        }
    }

    #[test]
    fn tells_invented_and_look_alikes_from_strangers() {
        assert_eq!(judge(Ecosystem::PyPi, "cyclonedx_python"), Verdict::Invented);
        assert_eq!(judge(Ecosystem::Go, "github.com/tidwall/ezjson"), Verdict::Invented);
        for (ecosystem, name, like) in [
            (Ecosystem::PyPi, "reqeusts", "requests"),
            (Ecosystem::PyPi, "beautifulsuop4", "beautifulsoup4"),
            (Ecosystem::Npm, "loadsh", "lodash"),
            (Ecosystem::Crates, "serd-json", "serde-json"),
            (Ecosystem::Go, "github.com/strechr/testify", "github.com/stretchr/testify"),
        ] {
            assert_eq!(judge(ecosystem, name), Verdict::LooksLike(like), "{name}");
        }
        assert_eq!(judge(Ecosystem::PyPi, "our-internal-billing-client"), Verdict::Unknown);
        assert_eq!(judge(Ecosystem::PyPi, "tqdn"), Verdict::Unknown, "too short to tell");
    }
}
