"""The corpus that is on every reader's machine, ``load("docs")``: what its Python packages say about themselves.

Docstrings (read with ``ast``; nothing is imported), README and other texts, and the descriptions that packages carry
for their index pages, of everything that this project needs.
"""

from __future__ import annotations

import ast
import gc
import gzip
import hashlib
import inspect
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from ..tokens import token_pattern
from .downloads import sha256

__all__ = ["FORMAT", "Document", "documents", "gather", "installed", "sentences"]

#: Of the gathered texts; with another number they are gathered again.
FORMAT = 2

#: Folders of tests, and of copies of other packages.
_LEFT_OUT = {"tests", "test", "_vendor", "vendored", "_vendored", "third_party", "node_modules"}
_NAMES = re.compile(r"(readme|licen[cs]e|notice|copying|authors|changes|changelog|history)", re.IGNORECASE)

_BLANK_LINE = re.compile(r"\n\s*\n")
_RULE = re.compile(r"^\s*([-=~^\"'`*+#_.])\1{2,}\s*$", re.MULTILINE)  # a heading's underline, or a table's edge
_INPUT = re.compile(r"^\s*(?:>>>|\.\.\.)(.*)$", re.MULTILINE)
_ROLE = re.compile(r":[a-zA-Z:+-]+:(?=`)")
#: What makes two paragraphs of generated text differ: quoted words, dotted names, numbers.
_PARTICULAR = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`|\w+(?:\.\w+)+|\d+")


def installed(root: str = "adasoft", extra: str = "notebooks") -> dict[str, metadata.Distribution]:
    """The distributions that ``root`` with ``extra`` needs here, by name and without ``root``; in order of names.

    Extras of ``root`` other than this one are not followed, so that tools for its tests change nothing.

    Raises:
        ValueError: ``root`` is not installed, or nothing that it needs.
    """
    from packaging.requirements import Requirement

    distributions: dict[str, metadata.Distribution] = {}
    waiting = [(root, frozenset({extra}))]
    done = set()
    while waiting:
        name, extras = waiting.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if (name, extras) in done:
            continue
        done.add((name, extras))
        try:
            distributions[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if name == root:
                raise ValueError(
                    f"docs: {root} is not installed, so its packages are not known; pip install it"
                ) from None
            continue  # for another system, or left out by the reader
        for text in distributions[name].requires or []:
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in {*extras, ""}):
                waiting.append((need.name, frozenset(need.extras)))
    del distributions[root]
    if not distributions:
        raise ValueError(f"docs: none of the packages that {root} needs is installed")
    return dict(sorted(distributions.items()))


def gather(packages: dict[str, metadata.Distribution], folder: Path, bar: Any) -> dict[str, str]:
    """Write train.txt.gz, valid.txt.gz and test.txt.gz; returns their SHA-256 by name. ``bar`` is told of each file.

    A twentieth of the documents is test and another valid, by a hash of their path, so all packages are in all parts.
    """
    names = ("train.txt.gz", "valid.txt.gz", "test.txt.gz")
    seen: set[bytes] = set()
    with _no_collection(), ExitStack() as stack:
        # Without the date in the header: the same packages make the same bytes.
        raw = [stack.enter_context((folder / name).open("wb")) for name in names]
        files = [stack.enter_context(gzip.GzipFile("", "wb", 6, fileobj=file, mtime=0)) for file in raw]
        gathered = documents(packages)
        bar.reset(total=len(gathered))
        for document in gathered:
            role = {0: 1, 1: 2}.get(_hash(document.label)[-1] % 20, 0)
            lines = sentences(document.texts(), seen)
            files[role].write("".join(f"{line}\n" for line in lines).encode())
            bar.update()
    return {name: sha256(folder / name) for name in names}


class Document(NamedTuple):
    """A file of a package, or (``path`` None) the package's description."""

    label: str
    """package/path, without versions."""
    path: Path | None
    package: metadata.Distribution

    def texts(self) -> list[str]:
        """What it says: the docstrings of a module, else the whole."""
        if self.path is None:
            return [str(self.package.metadata.json.get("description", ""))]
        if self.path.suffix == ".py":
            return _docstrings(self.path)
        return [_read(self.path).decode("utf-8", errors="replace")]


def documents(packages: dict[str, metadata.Distribution]) -> list[Document]:
    """The modules and texts of the packages, in an order that a hash of their path decides.

    It mixes the packages, so that any stretch of it is a fair sample.
    """
    listed = []
    for name, package in packages.items():
        listed.append(Document(f"{name}/METADATA", None, package))
        for file in package.files or []:
            if _LEFT_OUT.isdisjoint(file.parts[:-1]) and (file.suffix == ".py" or _is_text(file)):
                label = re.sub(r"-[^/]*\.dist-info/", ".dist-info/", f"{name}/{file.as_posix()}")
                listed.append(Document(label, Path(str(package.locate_file(file))), package))
    return sorted(listed, key=lambda document: (_hash(document.label), document.label))


@cache
def _token() -> re.Pattern[str]:
    """A number; 's and the like; a word with its marks; any other character."""
    return re.compile(rf"(\d+(?:[.,]\d+)*(?!\w))|['’](?:s|re|ve|ll|d|m|t)\b|{token_pattern()}")


def sentences(texts: Iterable[str], seen: set[bytes]) -> Iterator[str]:
    """The paragraphs of texts as lines of words with a blank between them.

    Lower case; every mark by itself; 's and the like apart; a number becomes N. Backquotes, roles such as :class:,
    rules and underlines are left out; of a Python session the input stays, without prompts and output. A paragraph is
    kept if at least four of its tokens and a third of them are words of letters.

    Packages repeat themselves, generated ones by the thousand. So a paragraph is left out if it is in ``seen``, apart
    from quoted or dotted names and numbers, or if half of its lines are: otherwise the train part would tell the test.
    """
    for text in texts:
        for block in _BLANK_LINE.split(_RULE.sub("", inspect.cleandoc(text))):
            block = unicodedata.normalize("NFC", block.lower())
            before, session, code = _ROLE.sub("", block).partition(">>>")
            block = "\n".join([before, *_INPUT.findall(session + code)])
            shapes = ["".join(line.split()) for line in _PARTICULAR.sub("", block).split("\n")]
            whole = _mark("".join(shapes))
            long = [_mark(shape) for shape in shapes if len(shape) >= 16]
            if whole in seen or 2 * sum(mark in seen for mark in long) >= max(1, len(long)):
                continue
            tokens = ["N" if match[1] else match[0] for match in _token().finditer(block.replace("`", " "))]
            letters = sum(token.isalpha() and token != "N" for token in tokens)
            if letters >= 4 and 3 * letters >= len(tokens):
                seen.add(whole)
                seen.update(long)
                yield " ".join(tokens)


def _mark(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _hash(label: str) -> bytes:
    return hashlib.sha256(label.encode()).digest()


def _is_text(file: metadata.PackagePath) -> bool:
    if file.suffix in (".rst", ".md"):
        return True
    return file.suffix in ("", ".txt") and _NAMES.match(file.name) is not None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # listed, but not there or not for us
        return b""


def _docstrings(path: Path) -> list[str]:
    """All docstrings of a module, and the texts that it hands to functions such as add_docstr."""
    source = _read(path)
    if b'"""' not in source and b"'''" not in source:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own escapes
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):  # a template, or for another Python
        return []
    texts: list[str] = []
    _walk(tree, texts)
    return texts


_HOLDERS = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_BLOCKS = ("body", "orelse", "handlers", "finalbody")


def _walk(node: Any, texts: list[str]) -> None:
    if isinstance(node, _HOLDERS) and (text := ast.get_docstring(node, clean=False)):
        texts.append(text)
    for block in _BLOCKS:
        for child in getattr(node, block, ()):
            if hasattr(child, "body"):
                _walk(child, texts)
            elif isinstance(child, ast.Expr) and isinstance(child.value, ast.Call):
                function = child.value.func
                if "doc" in getattr(function, "id", getattr(function, "attr", "")):
                    texts += [
                        part.value
                        for part in ast.walk(child)
                        if isinstance(part, ast.Constant) and isinstance(part.value, str) and "\n" in part.value
                    ]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's search for cycles, parsing takes half the time; a syntax tree has none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
