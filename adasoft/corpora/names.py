"""The corpora known by name: where they are, what their licences say, how they are prepared."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..files import write_whole
from . import documentation
from .corpus import PARTS
from .downloads import DamagedError, fetch, sha256, whole_folder
from .encode import Tokenizer
from .sources import Members, Part, Plain, Source, by_position

__all__ = ["NAMES", "File", "Known", "docs", "downloaded"]


class File(NamedTuple):
    """A file to download: its address, and its SHA-256 where one is known beforehand."""

    url: str
    sha256: str | None = None


class Place(NamedTuple):
    """Which of the files, which members of it if it is an archive (a pattern), which characters of the text."""

    file: int = 0
    members: str = ""
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True)
class Known:
    """A corpus that ``load`` knows by name.

    ``parts`` says where train, valid and test are, or "text" alone, which is then cut by position. The rest are
    what ``load`` takes where the reader says nothing.
    """

    what: str
    licence: str
    files: tuple[File, ...] = ()
    parts: Mapping[str, Place] = field(default_factory=dict)
    lines: bool = True
    """Whether line ends mean something; if not, they are no tokens."""
    tokenizer: Tokenizer = "whitespace"
    min_count: float | None = None
    max_size: int | None = None


_WIKITEXT_2 = (
    "https://raw.githubusercontent.com/pytorch/examples/77f55b912142e11fcfdf5b530231fb9c52f181e8/"
    "word_language_model/data/wikitext-2/"
)
_HELD_OUT = r"[^/]*/heldout-monolingual\.tokenized\.shuffled/news\.en\.heldout-0000{}-of-00050"

#: Languages of EuroParl version 7, with the numbers of words of the paper's table where it has one.
_EUROPARL: dict[str, int | None] = {
    "bg": 50_000, "cs": 83_000, "da": 128_000, "de": 143_000, "el": 100_000, "en": None, "es": 87_000, "et": None,
    "fi": None, "fr": None, "hu": None, "it": None, "lt": None, "lv": None, "nl": None, "pl": None, "pt": None,
    "ro": None, "sk": None, "sl": None, "sv": None,
}  # fmt: skip


def _europarl(language: str, max_size: int | None) -> Known:
    pair = "fr-en" if language == "en" else f"{language}-en"
    kept = f"; as many words are kept as the paper's table has ({max_size:,})" if max_size else ""
    return Known(
        f"EuroParl version 7, the {language} side of {pair}. The paper prints no preparation; here runs of letters and "
        f"digits and single marks are words, case is kept, and the text is cut by position{kept}",
        "its authors know of no copyright restrictions (statmt.org/europarl)",
        (File(f"https://www.statmt.org/europarl/v7/{pair}.tgz"),),
        {"text": Place(members=rf"(?:.*/)?europarl-v7\.{pair}\.{language}")},
        tokenizer="words",
        max_size=max_size,
    )


#: What :func:`adasoft.corpora.load` knows by name. A checksum is given where the file's bytes were verified
#: (wikitext-2) or where independent projects publish the same one; else that of the first download is kept.
NAMES: dict[str, Known] = {
    "docs": Known(
        "the documentation of the installed packages that adasoft needs: no network (adasoft.corpora.documentation)",
        "each package's own (most are BSD, MIT or Apache 2.0)",
        min_count=2,
    ),
    "wikitext-2": Known(
        "WikiText-2, words (Merity et al. 2016)",
        "CC BY-SA 3.0 (text of Wikipedia)",
        (
            File(_WIKITEXT_2 + "train.txt", "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f"),
            File(_WIKITEXT_2 + "valid.txt", "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8"),
            File(_WIKITEXT_2 + "test.txt", "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0"),
        ),
        {part: Place(file) for file, part in enumerate(PARTS)},
    ),
    "wikitext-103": Known(
        "WikiText-103, words (Merity et al. 2016)",
        "CC BY-SA 3.0 (text of Wikipedia)",
        (
            File(
                "https://wikitext.smerity.com/wikitext-103-v1.zip",
                "242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590",
            ),
        ),
        {part: Place(members=rf"(?:.*/)?wiki\.{part}\.tokens") for part in PARTS},
    ),
    "text8": Known(
        "Text8 as the paper has it: the first 99,000,000 characters are train, words seen more than 10 times there are "
        "kept; the last 1,000,000 characters, the authors' only held-out part, are both valid and test",
        "GFDL and CC BY-SA (text of Wikipedia, March 2006)",
        (
            File(
                "http://mattmahoney.net/dc/text8.zip",
                "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
            ),
        ),
        {
            "train": Place(members="text8", stop=99_000_000),
            "valid": Place(members="text8", start=99_000_000, stop=100_000_000),
            "test": Place(members="text8", start=99_000_000, stop=100_000_000),
        },
        lines=False,
        min_count=11,
    ),
    "one-billion-word": Known(
        "One Billion Word (Chelba et al. 2013), words seen at least 3 times; of its 50 held-out shards number 0 is "
        "test as usual, and number 1 valid; 1.8 GB to download, and 3.3 GB for the ids",
        "none stated; news texts released for research (statmt.org/lm-benchmark)",
        (
            File(
                "https://www.statmt.org/lm-benchmark/1-billion-word-language-modeling-benchmark-r13output.tar.gz",
                "01ba60381110baf7f189dfd2b8374de371e8c9a340835793f190bdae9e90a34e",
            ),
        ),
        {
            "train": Place(members=r"[^/]*/training-monolingual\.tokenized\.shuffled/news\.en-\d+-of-00100"),
            "valid": Place(members=_HELD_OUT.format(1)),
            "test": Place(members=_HELD_OUT.format(0)),
        },
        min_count=3,
    ),
} | {f"europarl-{language}": _europarl(language, size) for language, size in _EUROPARL.items()}


def downloaded(name: str, root: Path, progress: bool, encoding: str) -> Source:
    """The parts of a known corpus, its files downloaded to ``root / name`` unless they are there."""
    from filelock import FileLock

    known = NAMES[name]
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    server = os.environ.get("ADASOFT_CORPORA")
    paths, key = [], []
    for file in known.files:
        path = folder / file.url.rpartition("/")[2]
        url = f"{server.rstrip('/')}/{name}/{path.name}" if server else file.url
        with FileLock(path.with_name(path.name + ".lock")):  # other processes wait for the one that downloads
            if not path.exists():
                print(f"{name}: {known.what}.\nLicence: {known.licence}.\n{url} -> {path}", file=sys.stderr)
            key.append(fetch(url, path, expected=file.sha256, progress=progress))
        paths.append(path)

    def part(place: Place) -> Part:
        path = paths[place.file]
        return Part(Members(path, place.members) if place.members else Plain([path]), place.start, place.stop)

    def parts() -> Mapping[str, Part]:
        if "text" in known.parts:
            return by_position(part(known.parts["text"]).files, f"{name} ({paths[0]})", encoding)
        return {role: part(place) for role, place in known.parts.items()}

    return Source(name, parts, key, known.licence, ", ".join(file.url for file in known.files))


def docs(root: Path, progress: bool) -> Source:
    """The documentation of the installed packages, gathered once for each set of them."""
    from tqdm.auto import tqdm

    packages = documentation.installed()
    versions = [f"{name} {package.version}" for name, package in packages.items()]
    key = hashlib.sha256(json.dumps([documentation.FORMAT, versions]).encode()).hexdigest()[:24]

    def make(folder: Path) -> None:
        with tqdm(unit=" files", desc="the packages' documentation", disable=not progress) as bar:
            sums = documentation.gather(packages, folder, bar)
        write_whole(folder / "record.json", json.dumps({"sha256": sums, "packages": versions}, indent=1))

    def check(folder: Path) -> Path:
        try:
            record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
            wrong = [name for name, known in record["sha256"].items() if sha256(folder / name) != known]
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise DamagedError(error) from error
        if wrong:
            raise DamagedError(f"{wrong[0]} does not match its checksum")
        return folder

    folder = whole_folder(root / "docs" / key, make, check)
    parts = {part: Part(Plain([folder / f"{part}.txt.gz"])) for part in PARTS}
    known = [
        version for version in versions if version.split()[0] in ("jupyterlab", "numpy", "plotly", "scipy", "torch")
    ]
    address = f"documentation of {len(packages)} installed packages: {', '.join(known)} and what they need ({key})"
    return Source("docs", lambda: parts, key, NAMES["docs"].licence, address)
