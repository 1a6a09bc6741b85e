"""The package in a process of its own where some packages cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def without(packages, *arguments, code=None, cwd=ROOT):
    """Run the command line, or ``code``: exit status, output, errors."""
    code = code or f"from adasoft.cli import main\nsys.exit(main({list(arguments)!r}))"
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({list(packages)!r}))\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", blocked + code], capture_output=True, text=True, env=environment, cwd=cwd
    )
    return done.returncode, done.stdout, done.stderr
