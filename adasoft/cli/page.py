"""`adasoft page`: one self-contained page to try the cut explorer without installing anything."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import can_be_written, encoding_option, file_name
from .words import words_of


def add(commands: Any) -> None:
    """Add the parser."""
    p = commands.add_parser(
        "page",
        help="write one self-contained page to try the cutoffs without installing anything",
        description="Write a page that opens in any browser and works offline: follow a sentence through an adaptive "
        "softmax, and drag cutoffs over your words, with times from recorded machines.",
        epilog="examples:\n"
        "  python -m adasoft page --out adasoft.html\n"
        "  python -m adasoft page en de my-text.txt --out adasoft.html\n",
    )
    p.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="languages of the wordfreq library, texts or files of counts to choose from, the first shown first (en)",
    )
    encoding_option(p)
    p.add_argument(
        "--out", type=file_name, metavar="FILE", required=True, help="the page to write, such as adasoft.html"
    )
    p.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Read the words and write the page."""
    from ..lessons.kit.languages import LANGUAGES
    from ..lessons.page import WORDFREQ, write_page

    can_be_written(options.out)
    sources = options.sources or ["en"]
    words = [words_of(source, options.encoding) for source in sources]
    for source, vocabulary in zip(sources, words, strict=True):
        vocabulary.name = LANGUAGES.get(source, vocabulary.name)  # English, not en
    credit = "" if all(Path(source).is_file() for source in sources) else WORDFREQ
    path = write_page(options.out, words, credit=credit)
    print(f"written to {path}: {path.stat().st_size / 1024:,.0f} KiB; open it in a browser")
