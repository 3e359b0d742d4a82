"""Flags: how one call, or all calls of an agent, are to be governed.

The gateway decides what a flag means and how far it may go. Here only what could never be right is refused,
so that a typo is found where it was made; flags that this version does not know are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping

from .errors import ConfigurationError

HEADER = "X-TapPass-Flags"

# The words of each flag; those that end in ":" take a value after it.
_WORDS: dict[str, tuple[str, ...]] = {
    "mode": ("observe", "warn", "enforce", "lockdown"),
    "pii": ("mask", "block", "flag", "off"),
    "secrets": ("redact", "block", "flag"),
    "email": ("mirror:", "internal:", "block", "allow"),
    "budget": ("dev", "standard", "custom:", "unlimited"),
    "tools": ("allowlist:", "denylist:", "log", "block"),
    "files": ("read_only", "project", "sandbox", "block", "allow"),
    "db": ("read_only", "safe_write", "block"),
}


def parse(text: str) -> dict[str, str]:
    """Reads ``key=value, key=value``, the form of ``TAPPASS_FLAGS`` and of the header."""
    flags: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals:
            raise ConfigurationError(f"flag {part!r} is not of the form key=value")
        if key in flags:
            raise ConfigurationError(f"flag {key!r} is given twice")
        flags[key] = value.strip()
    return check(flags)


def check(flags: Mapping[str, str]) -> dict[str, str]:
    """The same flags, or :class:`ConfigurationError` naming what is wrong and what is valid."""
    for key, value in flags.items():
        for text in (key, value):
            if not isinstance(text, str) or not text.strip():
                raise ConfigurationError(f"flag {key!r}: a name or a value is {text!r}, not a text")
            if any(c in ",=" or not " " <= c <= "~" for c in text):
                raise ConfigurationError(f"flag {key!r}: {text!r} holds a character that a flag cannot carry")
        words = _WORDS.get(key)
        if words is None:
            continue
        head, colon, rest = value.partition(":")
        if head + colon not in words or (colon and not rest):
            valid = ", ".join(word + "…" if word.endswith(":") else word for word in words)
            raise ConfigurationError(f"flag {key!r} cannot be {value!r}; valid: {valid}")
    return dict(flags)


def header(flags: Mapping[str, str]) -> str:
    """The header's value."""
    return ", ".join(f"{key}={value}" for key, value in flags.items())
