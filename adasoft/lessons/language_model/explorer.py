"""What the lesson on perplexity adds to the one state: a text, the softmaxes to train on it, their results."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import traitlets as t

from ...corpora import Corpus
from ...cost import MeasuredCost
from ...files import cache_dir
from ...lm.models import Stepwise
from ...lm.settings import Partition, Settings
from ...vocabulary import Vocabulary
from ..kit import forms
from ..kit.explorer import Explorer
from ..kit.kept import fitted
from ..kit.parts import one_line
from ..kit.readers_code import Ended
from ..kit.saved import Choices, kept_whole, read_words, removed, say_once, words_text
from ..kit.traits import Whole, kept
from ..kit.views import LOCK
from ..time_model.timings import Tick
from .kept import FORMS
from .looks import CELL_LABELS, LABELS
from .own_cell import check_cell
from .texts import about_text, file_name, read_beside
from .trainings import STEPS, Request, settings_of
from .turns import EPOCHS, Turns

#: Words that stand in for those of a text not yet read.
STAND_IN = 15_000


class TrainingExplorer(Explorer):
    """An `Explorer` that also holds a text, the softmaxes to train on it, and the results of the trained models.

    Until a text is read, the most frequent words of the vocabulary given here stand in for its words.

    Args:
        vocabulary: a `Vocabulary` or a language code, of which the first 15,000 words are taken.
        traits: any other trait, by name.

    Raises:
        TraitError: a value out of range; it says which range.
    """

    _begin: ClassVar[Mapping[str, Any]] = {"cutoffs": (1000, 4000)}
    _forms: ClassVar[Mapping[str, forms.Form]] = {**Explorer._forms, **FORMS}

    source = kept(t.Unicode("docs"))
    """The text: ``docs``, or a path."""
    tokens = kept(Whole(1_000_000, 1_000, 10**9, "the number of tokens"))
    """How many of its tokens to train on, at most."""
    ticked = kept(t.Tuple(default_value=("full", "yours")))
    """The softmaxes to train."""
    seconds = kept(Whole(60, 1, 3600, "seconds for each"))
    """Of training for each of them, by its own clock."""
    cell_seconds = kept(Whole(60, 1, 3600, "seconds for each"))
    """The same where the reader's own cell is trained."""
    seed = kept(Whole(0, 0, 2**31 - 1, "seed"))
    in_features = kept(Whole(128, 4, 1024, "d"))
    batch = kept(Whole(32 * STEPS, STEPS, 2**16, "B"))

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
        name = f"{words.name}, frequent words"
        return Vocabulary(words.counts[:STAND_IN], words.words and words.words[:STAND_IN], name=name)

    @t.validate("batch")
    def _whole_windows(self, proposal: Any) -> int:
        if proposal["value"] % STEPS:
            raise t.TraitError(f"B should be a multiple of {STEPS}, the steps of a window, got {proposal['value']:,}")
        return proposal["value"]  # type: ignore[no-any-return]

    @t.validate("ticked")
    def _known_names(self, proposal: Any) -> tuple[str, ...]:
        if unknown := [name for name in proposal["value"] if name not in LABELS]:
            raise t.TraitError(f"ticked should be some of {', '.join(LABELS)}, got {unknown[0]!r}")
        return tuple(name for name in LABELS if name in proposal["value"])

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
        # all lessons share their words, and this text is for this one; a dropped file is for this session only
        if name != "vocabulary" and not (name == "source" and self._is_dropped(self.source)):
            super()._keep(name)

    def _to_start(self) -> None:
        self._text_words = None
        super()._to_start()

    def forget(self) -> None:
        """As `Explorer.forget`, and forget the text and all models."""
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
        kept = text / file_name(name)
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
        cache = self._private(self._dropped)[1] if self._dropped and self._is_dropped(wanted[0]) else None
        corpus = read_beside(*wanted, cache, tick)
        self._adopt(wanted, corpus)
        return corpus

    def _adopt(self, wanted: tuple[str, int], corpus: Corpus) -> None:
        """Its words are those of all panels from now on."""
        words = Vocabulary(corpus.vocabulary, name=corpus.name)
        first = self._given.get("cutoffs", self._begin["cutoffs"])
        with LOCK:
            untouched = self.cutoffs == fitted(first, len(self.vocabulary))
            self._corpus = wanted, corpus
            self._text_words = words
            if self._choices is not None:
                kept_whole(self._words_path(), words_text(words, digest=corpus.digest))
            self.remember("text", about_text(corpus))
            if words.counts.tobytes() == self.vocabulary.counts.tobytes() and words.words == self.vocabulary.words:
                self.version += 1
            else:
                self.vocabulary = words
            if untouched:  # they stood lower only because the words before were few
                self.cutoffs = fitted(first, len(words))

    # ---- what is trained

    def _settings(self) -> Settings:
        batch = self.batch // STEPS
        return Settings(hidden=self.in_features, batch=batch, bptt=STEPS, epochs=EPOCHS, seed=self.seed)

    def _own_clusters(self) -> Partition:
        if not self.cutoffs:
            raise ValueError("your cutoffs: none is set, so it would be the full softmax; set one, or untick it")
        return Partition(tuple(self.cutoffs), tuple(self.widths), "")

    def request(self) -> Request:
        """The ticked softmaxes for the current text. Raises ValueError where one makes no sense."""
        with LOCK:
            settings = settings_of(self.ticked, len(self.vocabulary), self._settings())
            clusters = {"yours": self._own_clusters()} if "yours" in settings else {}
            timed = isinstance(self.cost, MeasuredCost) and not self.counted
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

    def train(
        self,
        key: str,
        request: Callable[[], Request],
        seconds: float,
        *,
        from_start: bool,
        tick: Tick,
        heard: Callable[[Turns], None],
    ) -> None:
        """Read the text if necessary, build what is requested (``from_start``) or take the models in memory, and train.

        The result is kept under ``key``, even when ``tick`` or an error ends the training.

        Raises ValueError for a request that makes no sense, or if there is no model to continue with.
        """
        if from_start:
            corpus = self.read(tick)
            wanted = request()  # may run code of the reader's, so without the lock
            wanted.check_memory(corpus.n_classes)
            self.trained.pop(key, None)  # its memory first
            turns = Turns(
                corpus, wanted.settings, clusters=wanted.clusters, bodies=wanted.bodies, cost=wanted.cost, tick=tick
            )
            self.trained[key] = turns
        elif key not in self.trained:
            raise ValueError("no model is in memory (models end with the kernel): press Train to start again")
        turns = self.trained[key]
        try:
            turns.train(seconds, tick=tick, heard=lambda: heard(turns))
        except Ended:
            self.trained.pop(key, None)  # stopped in the middle of a step: it cannot continue
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
