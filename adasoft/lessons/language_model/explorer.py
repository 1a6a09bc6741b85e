"""What the lesson on perplexity adds to the one state: a text, the softmaxes to train on it, what they came to."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets as t
from torch import nn
from torch.nn import functional as F

from ...corpora import NAMES, Corpus, load
from ...corpora.sources import beginning
from ...cost import Cost, MeasuredCost
from ...files import cache_dir
from ...lm.models import Stepwise, map_state, state_tensors
from ...lm.settings import AUTHORS_CUTOFFS, BodyMaker, Partition, Settings, authors_cutoffs
from ...vocabulary import Vocabulary
from ..kit import forms
from ..kit.explorer import Explorer
from ..kit.parts import one_line
from ..kit.readers_code import Ended
from ..kit.saved import Choices, kept_whole, read_words, removed, say_once, words_text
from ..kit.views import LOCK
from ..time_model.timings import Tick, check_memory
from .turns import EPOCHS, Turns

#: What can be trained, and what it is called.
LABELS = {
    "full": "full softmax",
    "sampled": "sampled, 20 % of V",
    "hierarchical": "hierarchical",
    "d-softmax": "D-softmax",
    "d-softmax-star": "D-softmax*",
    "adaptive": "adaptive, the authors' cutoffs",
    "planned": "adaptive, planned cutoffs",
    "yours": "adaptive, your cutoffs",
}
#: The two of the reader's own cell, both with the reader's cutoffs.
CELL_LABELS = {"lstm": "LSTM", "cell": "your cell"}
_SETTINGS: dict[str, dict[str, Any]] = {
    "full": {"softmax": "full"}, "sampled": {"softmax": "sampled"}, "hierarchical": {"softmax": "hierarchical"},
    "d-softmax": {"softmax": "d-softmax"}, "d-softmax-star": {"softmax": "d-softmax-star"},
    "planned": {"cutoffs": "plan", "min_head_share": 0.75},
}  # fmt: skip
#: Those that take the authors' cutoffs.
_AUTHORS = ("d-softmax", "d-softmax-star", "adaptive")
#: Steps of a window, as in the paper.
STEPS = 20
#: Tokens of the validation part that perplexity is taken on, and words that stand in for those of a text not yet read.
VALID, STAND_IN = 10_000, 15_000

_BEGIN: dict[str, Any] = {
    "source": "docs", "tokens": 1_000_000, "ticked": ("full", "yours"), "seconds": 60, "seed": 0,
}  # fmt: skip
_RANGES = {
    "in_features": ("d", 4, 1024), "batch": ("B", STEPS, 2**16), "tokens": ("the number of tokens", 1_000, 10**9),
    "seconds": ("seconds for each", 1, 3600), "seed": ("seed", 0, 2**31 - 1),
}  # fmt: skip

_POINTS = forms.each(forms.row(forms.SECONDS, forms.SECONDS, forms.SECONDS, forms.SECONDS))
_LANE = forms.fields(
    cutoffs=forms.each(forms.COUNT), widths=forms.each(forms.COUNT), points=_POINTS, seconds=forms.number(0),
    tokens=forms.COUNT, steps=forms.COUNT, parameters=forms.COUNT,
    shares=forms.fields(output=forms.SHARE, body=forms.SHARE, optimizer=forms.SHARE),
)  # fmt: skip


def _clocked(lane: Any, name: str) -> None:
    """A run with points has taken time and has read words."""
    if lane["points"]:
        for key in ("seconds", "tokens"):
            forms.SECONDS(lane[key], f"{name}.{key}")


def _trained(labels: Mapping[str, str]) -> forms.Form:
    """What `Turns.json` tells of such runs."""
    corpus = forms.fields(name=forms.text, V=forms.COUNT, train=forms.COUNT, valid=forms.COUNT)
    lanes = forms.table(forms.both(_LANE, _clocked), keys=labels)
    return forms.fields(
        corpus=corpus, d=forms.COUNT, B=forms.COUNT, seed=forms.COUNT, date=forms.text, torch=forms.text,
        threads=forms.number(1, whole=True), device=forms.fields(name=forms.text), lanes=lanes,
    )  # fmt: skip


#: What a session keeps, and what is recorded of one.
FORMS: dict[str, forms.Form] = {
    "text": forms.fields(
        **dict.fromkeys(("name", "source", "licence", "digest", "begin"), forms.text),
        **dict.fromkeys(("V", "train", "valid"), forms.COUNT), unknown=forms.SHARE,
        shares=forms.table(forms.SHARE, keys=forms.decimal),
    ),
    "training": _trained(LABELS), "own cell": _trained(CELL_LABELS), "cell code": forms.text,
    "written": forms.fields(
        start=forms.text, seed=forms.number(0, 2**31 - 1, whole=True), words=forms.table(forms.text)
    ),
}  # fmt: skip

CELL = """class Cell(nn.Module):
    # minimal gated unit (Zhou et al. 2016)
    def __init__(self, e, d):  # sizes of input and output
        super().__init__()
        self.d = d
        self.forget = nn.Linear(e + d, d)
        self.new = nn.Linear(e + d, d)

    def forward(self, x, state):  # x (b, e); at first, state is None
        h = x.new_zeros(len(x), self.d) if state is None else state
        f = torch.sigmoid(self.forget(torch.cat([x, h], 1)))
        new = torch.tanh(self.new(torch.cat([x, f * h], 1)))
        h = (1 - f) * h + f * new
        return h, h  # output (b, d), state
"""


def downloaded(name: str) -> bool:
    """Whether all files of a corpus known by name are on this computer."""
    folder = cache_dir() / "corpora" / name
    return all((folder / file.url.rpartition("/")[2]).exists() for file in NAMES[name].files)


def read_text(source: str, tokens: int, cache: Path | None = None) -> Corpus:
    """A text to train on: ``"docs"``, another known corpus that was downloaded, or a file or folder.

    A file or folder is lowered and cut into words and marks, unless it holds ``<unk>``: then somebody has done so.

    Raises ValueError and OSError as :func:`adasoft.corpora.load`; ValueError for a corpus that is not downloaded yet.
    """
    if source in NAMES and source != "docs" and not downloaded(source):
        raise ValueError(
            f"{source} is not on this computer. Way out: python -m adasoft train --corpus {source} downloads it "
            f"({NAMES[source].licence}); the lessons themselves use no network"
        )
    how: dict[str, Any] = {}
    if source not in NAMES and not _prepared(Path(source)):
        how = {"tokenizer": "words", "lower": True}
    return load(source, tokens=tokens, valid_tokens=VALID, test_tokens=VALID, progress=False, cache=cache, **how)


def _prepared(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):  # reading it says what is wrong with it
        return " <unk> " in beginning(path)
    return False


@dataclass(frozen=True)
class Request:
    """Runs to be trained side by side: settings by name, and clusters and bodies where they do not follow from them."""

    settings: dict[str, Settings]
    clusters: dict[str, Partition]
    bodies: dict[str, BodyMaker]
    cost: Cost | None

    def check_memory(self, n_classes: int) -> None:
        """Raise `TooLarge` if they need more memory than there is."""
        some = next(iter(self.settings.values()))
        d, words = some.hidden, n_classes * some.hidden
        # weights, gradients and Adagrad's sums of embedding, words and gates; logits with what is made of them
        needed = 12.0 * len(self.settings) * (2 * words + 9 * d * d) + 12.0 * some.tokens * n_classes
        check_memory(needed, "cpu", f"{len(self.settings)} models of V = {n_classes:,} and d = {d}")


class TrainingExplorer(Explorer):
    """An `Explorer` that also holds a text, the softmaxes to train on it, and what the trained models came to.

    Until a text is read, the most frequent words of the vocabulary given here stand in for its words.

    Args:
        vocabulary: a `Vocabulary` or a language code, of which the first 15,000 words are taken.
        traits: any other trait, by name.

    Raises:
        TraitError: a value out of range; it says which range.
    """

    _begin: ClassVar[Mapping[str, Any]] = {"in_features": 128, "batch": 640, "cutoffs": (1000, 4000)}
    _kept_traits: ClassVar[tuple[str, ...]] = (*_BEGIN, *Explorer._kept_traits)
    _forms: ClassVar[Mapping[str, forms.Form]] = {**Explorer._forms, **FORMS}

    source = t.Unicode(_BEGIN["source"])
    """The text: ``docs``, or a path."""
    tokens = t.Int(_BEGIN["tokens"])
    """How many of its tokens to train on, at most."""
    ticked = t.Tuple(default_value=_BEGIN["ticked"])
    """The softmaxes to train."""
    seconds = t.Int(_BEGIN["seconds"])
    """Of training for each of them, by its own clock."""
    seed = t.Int(_BEGIN["seed"])

    def __init__(self, vocabulary: Vocabulary | str | None = None, **traits: Any) -> None:
        self._text_words: Vocabulary | None = None
        self._corpus: tuple[tuple[str, int], Corpus] | None = None
        self._dropped: Path | None = None
        self.trained: dict[str, Turns] = {}
        """What was trained in this session, by what it is kept under: models live in memory only."""
        super().__init__(vocabulary, **traits)

    # ---- what may be set, and what is kept

    @t.validate("vocabulary")
    def _enough_words(self, proposal: Any) -> Vocabulary:
        words = proposal["value"]
        if len(words) < 2:
            raise t.TraitError("a vocabulary needs at least 2 words to be cut")
        if words is self._text_words or len(words) <= STAND_IN:
            return words  # type: ignore[no-any-return]
        name = f"{words.name}, first {STAND_IN:,} words"
        return Vocabulary(words.counts[:STAND_IN], words.words and words.words[:STAND_IN], name=name)

    @t.validate("in_features", "batch", "tokens", "seconds", "seed")
    def _at_least_one(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        letter, low, high = _RANGES[name]
        if not low <= value <= high:
            raise t.TraitError(f"{letter} should be from {low:,} to {high:,} here, got {value:,}")
        if name == "batch" and value % STEPS:
            raise t.TraitError(f"B should be a multiple of {STEPS}, the steps of a window, got {value:,}")
        return int(value)

    @t.validate("ticked")
    def _known_names(self, proposal: Any) -> tuple[str, ...]:
        if unknown := [name for name in proposal["value"] if name not in LABELS]:
            raise t.TraitError(f"ticked: expected some of {', '.join(LABELS)}, got {unknown[0]!r}")
        return tuple(name for name in LABELS if name in proposal["value"])

    @t.observe(*_BEGIN)
    def _moved(self, change: Any) -> None:
        if self._quiet:
            return
        with LOCK:
            if not self._is_dropped(change["new"]):
                self._keep(change["name"])
            self.version += 1

    def _is_dropped(self, value: Any) -> bool:
        return self._dropped is not None and str(value).startswith(str(self._dropped))

    def _words_again(self, choices: Choices, mine: Mapping[str, Any]) -> Vocabulary:
        self._text_words = self._kept_words()
        return super()._words_again(choices, mine) if self._text_words is None else self._text_words

    def _words_path(self) -> Path:
        return cache_dir() / "lessons" / f"words-of-{self._lesson}.json"

    def _kept_words(self) -> Vocabulary | None:
        """The words of the text that was read in an earlier session; None if they are not there or are others."""
        if not self.text:
            return None
        try:
            words, found = read_words(self._words_path())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            say_once(f"The words of the text read last are not used: {one_line(error)}. Read the text again.")
            return None
        return words if found.get("digest") == self.text["digest"] and len(words) > 1 else None

    def _keep(self, name: str) -> None:
        if name != "vocabulary":  # all lessons share their words; this text is for this one
            super()._keep(name)

    def _to_start(self) -> None:
        self._text_words = None
        super()._to_start()

    def forget(self) -> None:
        """As `Explorer.forget`; the text and all models are forgotten, too."""
        self._corpus = None
        self.trained.clear()
        if self._choices is not None:
            removed(self._words_path())
        super().forget()

    def note(self, key: str, value: Any) -> None:
        """Keep a measurement, and let all views know."""
        with LOCK:
            self.remember(key, value)
            self.version += 1

    # ---- the text

    @property
    def corpus(self) -> Corpus | None:
        """The text as set, if it has been read in this session."""
        if self._corpus is None or self._corpus[0] != (self.source, self.tokens):
            return None
        return self._corpus[1]

    @property
    def text(self) -> dict[str, Any]:
        """What is known of the text that was read last, in this session or an earlier one; empty if there is none."""
        return dict(self.recall("text") or {})

    @staticmethod
    def _private(folder: Path) -> tuple[Path, Path]:
        """Where dropped files lie, and what is made of them: two folders, so that no name of theirs is in the way."""
        return folder / "text", folder / "ids"

    def drop(self, copy: Path, name: str) -> None:
        """Take a dropped file as the text. It is kept for this session only."""
        if self._dropped is None:
            self._dropped = Path(tempfile.mkdtemp(prefix="adasoft-"))
            weakref.finalize(self, shutil.rmtree, self._dropped, True)
        text, _ = self._private(self._dropped)
        text.mkdir(exist_ok=True)
        kept = text / _file_name(name)
        shutil.copyfile(copy, kept)
        self._corpus = None  # another file may have had this name
        self.source = str(kept)

    def read(self, tick: Tick = lambda _done, _text: None) -> Corpus:
        """The text as set, read once in a session; the words of all panels are then those of the text.

        ``tick`` is called meanwhile and raises to stop; the reading itself then goes on unseen.

        Raises ValueError and OSError as `read_text`.
        """
        with LOCK:
            wanted, found = (self.source, self.tokens), self.corpus
        if found is not None:
            return found
        made: list[Corpus] = []
        failed: list[BaseException] = []
        cache = self._private(self._dropped)[1] if self._dropped and self._is_dropped(wanted[0]) else None

        def work() -> None:
            try:
                made.append(read_text(*wanted, cache=cache))
            except BaseException as error:
                failed.append(error)

        thread, begun = threading.Thread(target=work, daemon=True), time.monotonic()
        thread.start()
        name, first = Path(wanted[0]).name, "; once, it takes up to a minute" if wanted[0] == "docs" else ""
        while thread.is_alive():
            thread.join(0.05)
            seconds = time.monotonic() - begun
            tick(1 - 1 / (1 + seconds / 20), f"reading {name}: {seconds:.0f} s{first} ...")
        if failed:
            raise failed[0]
        self._adopt(wanted, made[0])
        return made[0]

    def _adopt(self, wanted: tuple[str, int], corpus: Corpus) -> None:
        """Its words are those of all panels from now on."""
        first = [n for n in (1000, 4000) if n < corpus.n_classes]
        about = {
            "name": corpus.name, "source": corpus.source, "licence": corpus.licence, "digest": corpus.digest,
            "V": corpus.n_classes, "train": len(corpus.train), "valid": len(corpus.valid),
            "begin": corpus.decode(corpus.train[:40]), "unknown": _share(corpus),
            "shares": {str(n): float(corpus.vocabulary.share_of_first(n)) for n in first},
        }  # fmt: skip
        words = Vocabulary(corpus.vocabulary, name=corpus.name)
        with LOCK:
            self._corpus = wanted, corpus
            self._text_words = words
            if self._choices is not None:
                kept_whole(self._words_path(), words_text(words, digest=corpus.digest))
            self.remember("text", about)
            if words.counts.tobytes() == self.vocabulary.counts.tobytes() and words.words == self.vocabulary.words:
                self.version += 1
            else:
                self.vocabulary = words

    # ---- what is trained

    def _settings(self, **changes: Any) -> Settings:
        return Settings(
            hidden=self.in_features, batch=self.batch // STEPS, bptt=STEPS, epochs=EPOCHS, seed=self.seed,
            **changes,
        )  # fmt: skip

    def _own_clusters(self) -> Partition:
        if not self.cutoffs:
            raise ValueError("your cutoffs: there is none, so it would be the full softmax; set one, or untick it")
        return Partition(tuple(self.cutoffs), tuple(self.widths), "")

    def request(self) -> Request:
        """The ticked softmaxes for the text at hand. Raises ValueError where one makes no sense."""
        with LOCK:
            return self._request(self.ticked)

    def _request(self, names: Sequence[str]) -> Request:
        if not names:
            raise ValueError("nothing is ticked: choose at least one softmax")
        n = len(self.vocabulary)
        for name in names:
            if name in _AUTHORS and not authors_cutoffs(n):
                raise ValueError(
                    f"{LABELS[name]}: the authors cut at {AUTHORS_CUTOFFS[0][1][0]:,} words or more, and this text has "
                    f"V = {n:,}; untick it, and set your own cutoffs"
                )
        clusters = {"yours": self._own_clusters()} if "yours" in names else {}
        timed = isinstance(self.cost, MeasuredCost) and not self.counted
        settings = {name: self._settings(**_SETTINGS.get(name, {})) for name in names}
        return Request(settings, clusters, {}, self.cost if timed else None)

    def cell_request(self, maker: Callable[[int, int], Any]) -> Request:
        """An LSTM and the reader's own cell, both with the reader's cutoffs. Runs the reader's code without the lock.

        Raises ValueError as `check_cell`.
        """
        with LOCK:
            d = self.in_features
            settings = dict.fromkeys(CELL_LABELS, self._settings())
            clusters = dict.fromkeys(CELL_LABELS, self._own_clusters())
        check_cell(maker, d)
        return Request(settings, clusters, {"cell": lambda e, out: Stepwise(e, out, maker(e, out))}, None)

    def train(self, key: str, request: Callable[[], Request], seconds: float, *, anew: bool, tick: Tick,
              heard: Callable[[Turns], None]) -> None:  # fmt: skip
        """Read the text if need be, build what is requested (``anew``) or take what is there, and train.

        What it came to is kept under ``key``, also when ``tick`` or an error ends it.

        Raises ValueError for a request that makes no sense, or if there is nothing to go on with.
        """
        if anew:
            corpus = self.read(tick)
            wanted = request()  # may run code of the reader's, so without the lock
            wanted.check_memory(corpus.n_classes)
            self.trained.pop(key, None)  # its memory first
            turns = Turns(
                corpus, wanted.settings, clusters=wanted.clusters, bodies=wanted.bodies, cost=wanted.cost, tick=tick
            )
            self.trained[key] = turns
        elif key not in self.trained:
            raise ValueError("no model is in memory (they end with the kernel): press Train to start anew")
        turns = self.trained[key]
        try:
            turns.train(seconds, tick=tick, heard=lambda: heard(turns))
        except Ended:
            self.trained.pop(key, None)  # in the middle of a step: it cannot go on
            raise
        finally:
            if any(lane.points for lane in turns.lanes):
                self.note(key, turns.json())

    def measured_speedup(self) -> float:
        """Words per second with the reader's cutoffs over those of the full softmax, as trained.

        nan if it was not, or with another text, other sizes or other cutoffs.
        """
        kept = self.recall("training") or {}
        lanes = kept.get("lanes", {})
        if not {"full", "yours"} <= lanes.keys():
            return float("nan")
        then = kept["corpus"]["V"], kept["d"], kept["B"], lanes["yours"]["cutoffs"], lanes["yours"]["widths"]
        now = len(self.vocabulary), self.in_features, self.batch, list(self.cutoffs), self.widths
        rates = {name: lanes[name]["tokens"] / lanes[name]["seconds"] for name in ("full", "yours")}
        return float(rates["yours"] / rates["full"]) if then == now else float("nan")


def _file_name(name: str) -> str:
    """A name that any system takes, as near as possible to that of a dropped file."""
    kept = re.sub(r'[\x00-\x1f\x7f<>:"|?*\ud800-\udfff]', "_", name.replace("\\", "/").rpartition("/")[2]).strip(" .")
    stem, dot, end = kept.rpartition(".")
    while len(kept.encode()) > 200:  # most take 255 bytes; its end says what it is packed with
        stem = stem[: len(stem) // 2]
        kept = stem + dot + end[-20:]
    return kept or "dropped"


def _share(corpus: Corpus) -> float:
    """Share of the unknown word among the tokens of the validation part."""
    if corpus.unknown is None:
        return 0.0
    return float(np.mean(corpus.valid == corpus.vocabulary.rank_of(corpus.unknown)))


# ---------------------------------------------------------------------- a cell of the reader's own


def cell_maker(code: str) -> Callable[[int, int], Any]:
    """The ``Cell`` that a piece of code defines; torch, nn and F are there already.

    Raises ValueError with the line and the reason if the code fails or defines no ``Cell``.
    """
    room: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "__name__": "own_cell"}
    try:
        exec(compile(code, _FILE, "exec"), room)
    except SyntaxError as error:
        raise ValueError(f"your code, line {error.lineno}: {error.msg}") from None
    except Exception as error:
        raise ValueError(_told(error)) from None
    if not callable(room.get("Cell")):
        raise ValueError("your code defines no Cell: it needs `class Cell(nn.Module)`, made as Cell(e, d)")
    return room["Cell"]  # type: ignore[no-any-return]


def check_cell(maker: Callable[[int, int], Any], d: int) -> int:
    """Run a cell for two steps of two sequences; how many numbers it can learn.

    Raises ValueError with the reason if it fails or returns something else than (output (b, d), state).
    """
    try:
        cell = maker(d, d)
        body = Stepwise(d, d, cell)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            _, state = body(torch.zeros(2, 2, d))
        if not all(isinstance(part, torch.Tensor) for part in state_tensors(state)):
            raise TypeError(f"the state should be a tensor or a tuple of tensors, got {type(state).__name__}")
        map_state(torch.Tensor.detach, state)
    except Exception as error:
        raise ValueError(_told(error)) from None
    return sum(p.numel() for p in body.parameters())


_FILE = "<your cell>"


def _told(error: BaseException) -> str:
    """What went wrong in the reader's code, and in which of its lines."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    where = "your cell" if line is None else f"your code, line {line}"
    return f"{where}: {type(error).__name__}: {one_line(error)}"
