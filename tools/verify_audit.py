#!/usr/bin/env python3
"""Verifies an export of a TapPass audit log, offline: `verify_audit.py FILE [--public-key KEY] [--expect SIZE:ROOT]`.

Written from docs/decisions/0003-audit-format.md, independent of the program. FILE may be `-` for standard input.
Exit code: 0 everything fits, 6 integrity broken, 2 unusable input.
"""
import argparse
import base64
import hashlib
import json
import re
import sys

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    print("the Python package `cryptography` is missing: pip install cryptography", file=sys.stderr)
    sys.exit(2)

MAX_UNSEALED = 1000  # a log is sealed whenever so many events are not


class Broken(Exception):
    """The number of the first bad event, its id if known, and why."""


def demand(*checks):
    for right, seq, event_id, reason in checks:
        if not right:
            raise Broken(seq, event_id or "id unknown", reason)


def sha256(data):
    return hashlib.sha256(data).digest()


def es6_number(value):
    """ECMAScript's Number::toString, from Python's shortest digits."""
    value = float(value)
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        return sign + digits[:point].ljust(point, "0") + ("." + digits[point:] if digits[point:] else "")
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    rest = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def canonical(value):
    """RFC 8785."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda k: k.encode("utf-16-be"))
        return "{" + ",".join(canonical(k) + ":" + canonical(value[k]) for k in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(v) for v in value) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return es6_number(value)
    return json.dumps(value, ensure_ascii=False)


def no_duplicates(pairs):
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def signed(key, signature, statement):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(signature), statement)
        return True
    except (InvalidSignature, ValueError):
        return False


class Log:
    def __init__(self, org_id, keys, expect):
        self.org_id, self.keys, self.expect = org_id, keys, expect
        self.size, self.roots = 0, []  # RFC 6962's Merkle tree, as the roots of its complete subtrees
        self.tip, self.tip_id, self.previous = "0" * 64, None, "0" * 64
        self.sealed, self.sealed_root, self.checkpoints = 0, None, 0

    def push(self, event_hash):
        node, carry = sha256(b"\0" + event_hash), self.size
        while carry & 1:
            node, carry = sha256(b"\1" + self.roots.pop() + node), carry >> 1
        self.roots.append(node)
        self.size += 1

    def root(self):
        node = self.roots[-1] if self.roots else sha256(b"")
        for left in reversed(self.roots[:-1]):
            node = sha256(b"\1" + left + node)
        return node.hex()

    def event(self, line):
        event, expected = line["event"], self.size + 1
        event_id, seq = event.get("event_id"), event.get("seq")
        digest = sha256(canonical(event).encode())
        unchained = (1, event_id) if expected == 1 else (expected - 1, self.tip_id)
        demand(
            (digest.hex() == line["hash"], expected, event_id, "its content is not what its hash was made of"),
            (type(seq) is int, expected, event_id, "it has no number"),
            (not seq > expected, expected, None, f"missing: event {seq} stands in its place"),
            (not seq < expected, seq, event_id, f"it stands where event {expected} should be"),
            (event.get("prev_hash") == self.tip, *unchained, "not the one that its successor was chained to"),
            (event.get("org_id") == self.org_id, expected, event_id, "it belongs to another organisation"),
        )
        self.tip, self.tip_id = digest.hex(), event_id
        self.push(digest)
        if self.expect and self.expect[0] == expected and self.expect[1] != self.root():
            raise Broken(self.sealed + 1, "id unknown", f"the first {expected} events are not those expected")

    def checkpoint(self, c):
        size, first = c["size"], self.sealed + 1
        names = ("key_id", "org_id", "previous", "root", "size", "time")
        statement = canonical({"format": "tappass-checkpoint/1"} | {n: c[n] for n in names}).encode()
        key, what = base64.b64decode(c["public_key"]), f"checkpoint of size {size}: "
        demand(
            (type(size) is int, first, None, what + "its size is no number"),
            (sha256(statement).hex() == c["hash"], first, None, what + "its hash is not that of its statement"),
            (sha256(key).hex()[:32] == c["key_id"], first, None, what + "its key id is not that of its key"),
            (signed(key, c["signature"], statement), first, None, what + "its signature does not verify"),
            (key in (self.keys or [key]), first, None, what + "it is signed by another key than the expected one"),
            (c["org_id"] == self.org_id, first, None, what + "it belongs to another organisation"),
            (c["previous"] == self.previous, first, None, what + "it does not follow the one before it"),
            (size <= self.size, self.size + 1, None, what + "events are missing from here on"),
            (size >= self.size, size + 1, None, what + "it stands after events it does not cover"),
            (size >= first, first, None, what + "it covers nothing new"),
            (c["root"] == self.root(), first, None, what + "these are not the events that were signed"),
        )
        self.previous, self.checkpoints = c["hash"], self.checkpoints + 1
        self.sealed, self.sealed_root = size, c["root"]

    def read(self, lines, declared_size):
        end = None
        for text in filter(bytes.strip, lines):
            here = self.size + 1
            if end:
                raise Broken(here, "id unknown", "something stands after the export's end")
            try:
                line = json.loads(text, object_pairs_hook=no_duplicates)
                if line["type"] == "end":
                    end = line
                else:
                    {"event": self.event, "checkpoint": self.checkpoint}[line["type"]](line)
            except Broken:
                raise
            except Exception as e:  # whatever a hostile line provokes, it is not an export's
                raise Broken(here, "id unknown", f"a line cannot be read: {e!r}") from e
        size, said = self.size, end and (end.get("events"), end.get("checkpoints"), declared_size)
        demand(
            (end, size + 1, None, "missing: the export breaks off before its end"),
            (said == (size, self.checkpoints, size), size + 1, None, "missing: the export holds less than it says"),
            (not self.expect or self.expect[0] <= size, size + 1, None, "missing: the log once had more events"),
            (size - self.sealed < MAX_UNSEALED, self.sealed + 1, None, "not signed: checkpoints are missing"),
        )


def main():
    parser = argparse.ArgumentParser(description="Verifies an export of a TapPass audit log, offline.")
    parser.add_argument("file", help="the export; - for standard input")
    parser.add_argument("--public-key", action="append", default=[], help="whose checkpoints count; repeatable")
    parser.add_argument("--expect", metavar="SIZE:ROOT", help="a state that the log has been in")
    args = parser.parse_args()
    try:
        keys = [base64.b64decode(k, validate=True) for k in args.public_key]
        expect = re.fullmatch("([0-9]+):([0-9a-f]{64})", args.expect or "")
        if any(len(k) != 32 for k in keys) or bool(args.expect) != bool(expect):
            raise ValueError("--public-key is 32 bytes in base64, --expect is SIZE:ROOT")
        lines = sys.stdin.buffer if args.file == "-" else open(args.file, "rb")
        header = json.loads(next(lines, b""))
        if header["type"] != "tappass-audit-export" or header["version"] != 1:
            raise ValueError("this is not an export of version 1")
        log = Log(header["org_id"], keys, expect and (int(expect[1]), expect[2]))
    except (OSError, ValueError, KeyError, TypeError) as e:
        print(f"unusable input: {e}", file=sys.stderr)
        return 2
    try:
        log.read(lines, header.get("size"))
    except Broken as broken:
        print("BROKEN at event {} ({}): {}".format(*broken.args))
        return 6
    signer = "verified" if keys and log.sealed else "NOT verified" if keys else "NOT verified: give --public-key"
    print(f"OK: {log.size} events, {log.checkpoints} checkpoints, organisation {log.org_id}")
    print(f"sealed: {log.sealed}:{log.sealed_root} (keep it, and --expect it the next time); signer {signer}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
