"""The JavaScript and CSS of the lessons: files in ``static/``, joined where one script has to do."""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r"^import .* from '[./a-z_]+\.js';\n", re.MULTILINE)


def script(*names: str | Path) -> str:
    """Modules as one, each after those that it imports; what they export is exported again.

    A page opened from a file cannot import modules, and anywidget takes one. ``names``: files in ``static/``, or paths.
    """
    return "\n".join(_IMPORT.sub("", (STATIC / name).read_text(encoding="utf-8")) for name in names)
