"""``./tappass`` at the repository's root, in a copy with a cargo that only leaves a trace."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from real import ROOT

CARGO = """#!/bin/sh
echo "$@" >>"$TRACE"
mkdir -p target/release
printf '#!/bin/sh\\necho "ran in $PWD: $*"\\n' >"$HERE/target/release/tappass"
chmod +x "$HERE/target/release/tappass"
"""


class Checkout:
    """A copy of the script beside empty sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "check out"
        self.bin = folder / "bin"
        self.trace = folder / "trace"
        (self.folder / "crates").mkdir(parents=True)
        (self.folder / "presets").mkdir()
        (self.folder / "target" / "release").mkdir(parents=True)
        for name in ("crates/a.rs", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"):
            (self.folder / name).touch()
        shutil.copy(ROOT / "tappass", self.folder)
        self.bin.mkdir()
        self.tool("cargo", CARGO)
        self.tool("cc", "#!/bin/sh\n")

    def tool(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, *arguments: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.bin}:{path}",
            "TRACE": str(self.trace),
            "HERE": str(self.folder),
        }
        command = [str(self.folder / "tappass"), *arguments]
        return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)

    def builds(self) -> int:
        return len(self.trace.read_text().splitlines()) if self.trace.exists() else 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_it_builds_when_it_must_and_runs_with_the_arguments(checkout: Checkout) -> None:
    first = checkout.run("chat", "two words")
    assert (first.returncode, first.stdout) == (0, "ran in /: chat two words\n")
    assert "several minutes" in first.stderr
    assert "--release" in checkout.trace.read_text()
    again = checkout.run("status")
    assert (again.stdout, again.stderr, checkout.builds()) == ("ran in /: status\n", "", 1)
    program = checkout.folder / "target/release/tappass"
    os.utime(checkout.folder / "crates/a.rs", ns=(0, program.stat().st_mtime_ns + 10**9))
    assert checkout.run().stderr == ""
    assert checkout.builds() == 2


def test_it_says_what_is_missing(checkout: Checkout, tmp_path: Path) -> None:
    (checkout.bin / "cargo").unlink()
    few = tmp_path / "few"
    few.mkdir()
    for tool in ("bash", "env", "dirname", "find"):
        found = shutil.which(tool)
        assert found
        (few / tool).symlink_to(found)
    done = checkout.run("up", path=str(few))
    assert done.returncode == 1
    assert "`cargo`" in done.stderr
    assert "rustup" in done.stderr
