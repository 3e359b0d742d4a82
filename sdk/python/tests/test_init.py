"""`tappass init` as somebody at a terminal meets it, through a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

import real

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[78]")


def at_a_terminal(
    arguments: list[str], home: Path, cwd: Path, dialogue: list[tuple[str, str]]
) -> tuple[int, str]:
    """Runs the program and answers each question once it stands there: how it ended, and what it showed."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm"}
    process = subprocess.Popen(
        [str(real.program()), *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        cwd=cwd,
        start_new_session=True,
    )
    os.close(slave)
    shown, seen, left = "", 0, list(dialogue)
    end = time.monotonic() + real.DEADLINE
    try:
        while time.monotonic() < end:
            ready, _, _ = select.select([master], [], [], 0.5)
            try:
                piece = os.read(master, 65536) if ready else b""
            except OSError:  # what Linux says when the other side has gone
                break
            shown += ESCAPES.sub("", piece.decode(errors="replace"))
            if left and left[0][0] in shown[seen:]:
                seen = len(shown)
                os.write(master, left.pop(0)[1].encode())
        else:
            raise AssertionError(f"it waits for something else than {left[:1]}: {shown}")
        return process.wait(timeout=real.DEADLINE), shown
    finally:
        process.kill()
        process.wait()
        os.close(master)


DOWN = "\x1b[B"


def test_from_nothing_to_an_agent(gateway: real.Gateway, tmp_path: Path) -> None:
    work = tmp_path / "claims"
    work.mkdir()
    (work / ".env").write_text("# mine\nOTHER=1\n")
    init = ["init", "--server", gateway.url]
    code, shown = at_a_terminal(
        init,
        tmp_path,
        work,
        [
            ("You are not signed in", "\r"),
            ("E-mail:", "grace@client.example\r"),
            ("Password:", "correct horse battery\r"),
            ("Confirmation:", "correct horse battery\r"),
            ("Organisation:", "\r"),
            ("The agent's id:", "\r"),
            ("What does the company do?", f"{DOWN}\r"),
        ],
    )
    assert code == 0, shown
    assert "claims is registered: pipeline healthcare, mode observe" in shown
    assert "correct horse" not in shown
    file = work / ".env"
    assert file.stat().st_mode & 0o777 == 0o600
    lines = file.read_text().splitlines()
    assert lines[:3] == ["# mine", "OTHER=1", f"TAPPASS_URL={gateway.url}"]
    assert lines[3].startswith("TAPPASS_API_KEY=tp_")
    assert lines[4] == "TAPPASS_AGENT_ID=claims"
    assert lines[3].removeprefix("TAPPASS_API_KEY=") not in shown
    assert (tmp_path / ".tappass" / "config.toml").stat().st_mode & 0o777 == 0o600
    # Again: all of it is there.
    code, shown = at_a_terminal(init, tmp_path, work, [])
    assert code == 0, shown
    assert "claims is there: pipeline healthcare" in shown
    assert ".env is as it should be" in shown
    assert file.read_text().splitlines() == lines


def test_who_gives_up_has_changed_nothing(gateway: real.Gateway, tmp_path: Path) -> None:
    code, shown = at_a_terminal(
        ["init", "--server", gateway.url], tmp_path, tmp_path, [("You are not signed in", "\x1b")]
    )
    assert (code, "given up, nothing was changed" in shown) == (1, True), shown
    assert not (tmp_path / ".env").exists()
    assert not (tmp_path / ".tappass").exists()
