"""``python -m tappass``: runs the program ``tappass`` that the wheel installed beside this package."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path


def find_program() -> Path:
    """The program of this installation. PATH is not searched: what stands there may be another one."""
    name = "tappass.exe" if os.name == "nt" else "tappass"
    user = "nt_user" if os.name == "nt" else "posix_user"
    folders = [
        Path(sysconfig.get_path("scripts")),
        Path(sysconfig.get_path("scripts", scheme=user)),
        Path(__file__).resolve().parent.parent / "bin",  # pip install --target
    ]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(map(str, folders))
    raise FileNotFoundError(
        f"the program {name} is not in {looked}: install the wheel, `pip install .` at the repository's root"
    )


def main() -> int:
    """Replaces this process by the program where the system can, else runs it and takes its exit code."""
    try:
        program = str(find_program())
    except FileNotFoundError as error:
        print(f"tappass: {error}", file=sys.stderr)
        return 1
    arguments = [program, *sys.argv[1:]]
    if os.name == "nt":
        return subprocess.run(arguments, check=False).returncode
    return os.execv(program, arguments)


if __name__ == "__main__":
    sys.exit(main())
