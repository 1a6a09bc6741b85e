"""The tree of the package: which room may import which, without circles and without private names of other files.

A room is a file or a folder of ``adasoft/``; the lessons are a room each. Imports run down :data:`ARROWS` only: a new
arrow is a decision, made here. All imports are read, those inside functions and for types as well. The package's own
``__init__`` is left out: it names what is public, and loads it late.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "adasoft"

#: Rooms that know nothing of the rest, and that everybody may import; among each other as the arrows say.
GROUND = {
    "_version": "",
    "extras": "",
    "files": "",
    "checks": "files",
    "screen": "",
    "text": "",
    "tuning": "",
    "watchers": "",
    "children": "watchers",
    "inputs": "watchers",
}

_PLANS = "vocabulary cost records planning"
_LAYERS = "ranks loss decoding layer embedding"
_MACHINE = "timing workloads fit calibration"
_READERS = "vocabulary zipf textfiles counts counts_files tokens"
_TEXTS = f"{_READERS} corpora"
_NEIGHBOURS = "attention margins memory compress kerbs adversarial"

#: Room -> the rooms it may import, besides the ground.
ARROWS = {
    # words and costs
    "zipf": "",
    "textfiles": "",
    "counts": "",
    "counts_files": "textfiles",
    "tokens": "",
    "vocabulary": "zipf textfiles counts counts_files tokens",
    "cost": "",
    "records": "cost",
    # plans
    "search": "cost",
    "planning": "vocabulary cost records search",
    "tradeoffs": "vocabulary cost records search planning",
    "opinion": "vocabulary cost planning",
    # the layer
    "reference": "",
    "ranks": "",
    "gpu": "",
    "loss": "gpu ranks",
    "decoding": "records loss ranks",
    "layer": f"{_PLANS} gpu ranks loss decoding",
    "embedding": f"{_PLANS} ranks loss layer",
    # this machine
    "timing": "records",
    "workloads": f"{_PLANS} {_LAYERS} timing",
    "fit": "cost workloads",
    "calibration": f"{_PLANS} {_LAYERS} timing workloads fit",
    # texts, other softmaxes, language models
    "corpora": _READERS,
    "alternatives": f"{_PLANS} {_LAYERS} timing",
    "attention": "",
    "margins": "",
    "adversarial": "layer decoding alternatives",
    "kerbs": f"{_PLANS} {_LAYERS} alternatives",
    "compress": f"{_PLANS} {_LAYERS}",
    "memory": "ranks decoding layer alternatives",
    "lm": f"{_PLANS} {_LAYERS} {_MACHINE} corpora alternatives attention",
    # what measures, what reads stored numbers, what people type
    "results": "records corpora lm",
    "bench": f"{_PLANS} search tradeoffs {_LAYERS} {_MACHINE} {_TEXTS} alternatives {_NEIGHBOURS} lm results",
    "cli": f"{_PLANS} tradeoffs opinion {_LAYERS} {_MACHINE} {_TEXTS} lm results bench lessons.kit lessons.page",
    "__main__": "cli",
}

_LESSON = f"{_PLANS} search tradeoffs {_LAYERS} {_MACHINE} {_TEXTS} reference alternatives lm results lessons.kit"
_LESSONS = ("words", "clusters", "time_model", "live_timing", "layer", "language_model", "alternatives", "your_case")
#: The lessons stand on top: on what they show, on the kit, and some on the lesson before.
LESSONS = {
    "lessons": f"lessons.kit {' '.join(f'lessons.{name}' for name in _LESSONS)}",  # what a notebook imports
    "lessons.kit": f"{_PLANS} tradeoffs {_MACHINE} {_READERS}",
    "lessons.page": _LESSON,
    "lessons.words": _LESSON,
    "lessons.clusters": _LESSON,
    "lessons.time_model": _LESSON,
    "lessons.live_timing": f"{_LESSON} lessons.time_model",
    "lessons.layer": _LESSON,
    "lessons.language_model": f"{_LESSON} lessons.time_model",
    "lessons.alternatives": f"{_LESSON} lessons.time_model",
    "lessons.your_case": _LESSON,
}

ALLOWED = {room: {*rooms.split()} for room, rooms in (GROUND | ARROWS | LESSONS).items()}


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}


def room_of(module):
    """``lm`` of ``adasoft.lm.run``, ``lessons.kit`` of ``adasoft.lessons.kit.stills``; empty for the package itself."""
    parts = module.split(".")[1:]
    return ".".join(parts[: 2 if parts[:1] == ["lessons"] else 1])


def imports(module, tree, files):
    """(module of adasoft, name or "", the name it has here) of every import."""
    package = module.split(".") if files[module].name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            if source.split(".")[0] != "adasoft":
                continue
            for alias in node.names:
                inside = f"{source}.{alias.name}"
                target = (inside, "") if inside in files else (source, alias.name)
                yield (*target, alias.asname or alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "adasoft":
                    yield alias.name, "", alias.asname or alias.name


def private(name):
    return name.startswith("_") and not name.startswith("__")


def faults_of(trees, files):
    """Arrows that the table does not allow, and private names of other files."""
    for module, tree in trees.items():
        names = {}
        for target, name, known_as in imports(module, tree, files):
            here, there = room_of(module), room_of(target)
            free = here == there or (there in GROUND and here not in GROUND)
            if here and there and not free and there not in ALLOWED.get(here, ()):
                yield f"{module} imports {target}"
            if private(name):
                yield f"{module} imports {target}.{name}"
            if not name:
                names[known_as] = target
        used = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and private(node.attr)]
        for node in used:
            if isinstance(node.value, ast.Name) and node.value.id in names:
                yield f"{module} uses {names[node.value.id]}.{node.attr}"


def circles_of(trees, files):
    """Every file that imports itself by way of others."""
    arrows = {m: {target for target, *_ in imports(m, tree, files) if target != "adasoft"} for m, tree in trees.items()}
    for start in arrows:
        waiting, seen = [*arrows[start] - {start}], set()
        while waiting:
            at = waiting.pop()
            if at == start:
                yield f"{start} imports itself by way of others"
                break
            if at not in seen:
                seen.add(at)
                waiting += arrows.get(at, ())


def looks_for_triton(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "triton")
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "triton":
            yield node.module
        elif isinstance(node, ast.Constant) and node.value == "triton":
            yield node.value


def test_every_room_has_its_arrows():
    assert {room_of(module) for module in FILES} - {""} <= set(ALLOWED)


def test_the_table_has_no_circle():
    left = dict(ALLOWED)
    while left:
        free = {room for room, below in left.items() if not below & set(left)}
        assert free, f"these import each other: {sorted(left)}"
        left = {room: below for room, below in left.items() if room not in free}


def triton_elsewhere(trees):
    for module, tree in trees.items():
        if room_of(module) not in ("gpu", "extras") and any(looks_for_triton(tree)):
            yield f"{module} looks for Triton"


def test_imports_run_down_the_tree_and_only_gpu_looks_for_triton():
    found = {*faults_of(TREES, FILES), *circles_of(TREES, FILES), *triton_elsewhere(TREES)}
    assert not sorted(found), "let the import run down the tree, or give the name no underscore"


@pytest.mark.parametrize(
    ("module", "code", "fault"),
    [
        ("adasoft.cost", "from .planning import plan", "imports adasoft.planning"),
        ("adasoft.files", "from .checks import integer", "imports adasoft.checks"),
        ("adasoft.lm.run", "def f():\n    from ..bench import common", "imports adasoft.bench.common"),
        ("adasoft.lessons.kit.forms", "from ..layer import panels", "imports adasoft.lessons.layer.panels"),
        ("adasoft.lm.run", "from ..layer import _index", "imports adasoft.layer._index"),
        ("adasoft.lm.run", "from .. import layer\nlayer._index", "uses adasoft.layer._index"),
        ("adasoft.lm.run", "from ..layer import AdaptiveSoftmax\nfrom .models import Recurrent", None),
    ],
)
def test_the_search_finds_what_it_looks_for(module, code, fault):
    assert list(faults_of({module: ast.parse(code)}, FILES)) == ([f"{module} {fault}"] if fault else [])


def test_the_search_finds_circles_and_triton():
    trees = {
        "adasoft.cost": ast.parse("from .planning import plan"),
        "adasoft.planning": ast.parse("from . import cost"),
    }
    assert len(list(circles_of(trees, FILES))) == 2
    for code in ("import triton.language as tl", "from triton import jit", "find_spec('triton')"):
        assert list(looks_for_triton(ast.parse(code)))


def test_the_readme_has_a_line_for_every_room():
    tree = (PACKAGE.parent / "README.md").read_text(encoding="utf-8").partition("## The tree")[2].partition("\n## ")[0]
    for room in {room_of(module) for module in FILES} - {"", "_version", "__main__", "lessons"}:
        name = room.removeprefix("lessons.")
        assert f"{name}.py`" in tree or f"{name}/`" in tree, room
