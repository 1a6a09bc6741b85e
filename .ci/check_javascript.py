"""Reads every JavaScript file of the project as a module, and says where one cannot be read."""

import subprocess
import sys
from pathlib import Path

import esprima


def main() -> int:
    """Returns 1 if there is a file with an error, else 0."""
    root = Path(__file__).resolve().parents[1]
    listed = subprocess.run(["git", "ls-files", "-z", "*.js", "*.mjs"], cwd=root, capture_output=True, check=True)
    names = [name for name in listed.stdout.decode().split("\0") if name.startswith(("adasoft/", "notebooks/"))]
    wrong = 0
    for name in names:
        try:
            esprima.parseModule((root / name).read_text(encoding="utf-8"))
        except esprima.Error as error:
            wrong += 1
            print(f"{name}: {error}", file=sys.stderr)
    print(f"{len(names)} JavaScript files read, {wrong} with errors")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
