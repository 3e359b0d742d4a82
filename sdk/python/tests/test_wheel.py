"""The wheel: one file that holds the package and the program, and a source archive that can build it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import tappass
from tappass.__main__ import find_program

ROOT = Path(__file__).resolve().parents[3]


def maturin(*arguments: str) -> None:
    command = [sys.executable, "-m", "maturin", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in the tests' profile, so that what cargo has is used again."""
    folder = tmp_path_factory.mktemp("wheel")
    maturin("build", "--profile", "dev", "--out", str(folder))
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_package_and_program(wheel: Path) -> None:
    assert wheel.name.startswith(f"tappass-{tappass.__version__}-py3-none-")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    here = Path(tappass.__file__).parent
    assert {f"tappass/{path.name}" for path in here.glob("*.py*") if path.is_file()} <= names
    assert f"tappass-{tappass.__version__}.data/scripts/tappass" in names
    assert not any(name.startswith("tests/") or "entry_points" in name for name in names)


def test_an_installed_wheel_runs_the_program(wheel: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(tmp_path), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONWARNINGS": "error"}
    for command in ([sys.executable, "-m", "tappass"], [str(tmp_path / "bin" / "tappass")]):
        done = subprocess.run(
            [*command, "--version"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, f"tappass {tappass.__version__}\n"), done.stderr


def test_a_missing_program_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda *_, **__: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="pip install"):
        find_program()


def test_the_source_archive_holds_what_a_build_needs(tmp_path: Path) -> None:
    maturin("sdist", "--out", str(tmp_path))
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    needed = {"Cargo.lock", "rust-toolchain.toml", "sdk/python/README.md"}
    for folder in ("crates", "presets"):
        files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
        # The tests of a crate are not built, and its README is not read.
        needed |= {
            str(path.relative_to(ROOT))
            for path in files
            if "tests" not in path.parts and path.name != "README.md" and "snapshots" not in path.parts
        }
    assert len(needed) > 50
    assert sorted(needed - names) == []
