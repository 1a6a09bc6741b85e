"""What the panel of the layers can show: this machine now, an earlier measurement of the log, a recorded machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..kit.grading import judged
from ..kit.parts import listed
from ..kit.plots import seconds_text
from ..time_model.timings import Spread, spreads
from . import figures as lf
from .explorer import LiveTimingExplorer
from .layers import FULL, OURS, PLAN, STOCK
from .recorded import Recorded

HERE = "measured here, at the present settings"


@dataclass(frozen=True)
class Shown:
    """Times by layer, and how they are said."""

    times: Mapping[str, Spread]
    predicted: Mapping[str, float]
    said: lf.Said
    wrong: Mapping[str, float] = field(default_factory=dict)
    guess: Mapping[str, float] = field(default_factory=dict)
    scale: float = 1.0
    """What the predictions are multiplied by where they are drawn."""

    @property
    def drawn(
        self,
    ) -> tuple[Mapping[str, Spread], Mapping[str, float], Mapping[str, float], Mapping[str, float], float]:
        """What the figure takes."""
        return self.times, self.predicted, self.wrong, self.guess, self.scale

    @classmethod
    def of(
        cls,
        explorer: LiveTimingExplorer,
        ticked: Mapping[str, bool],
        choice: str,
        texts: Sequence[str],
        recorded: Mapping[str, Recorded],
    ) -> Shown:
        """What was chosen: `HERE`, one of the ``texts`` of the log, or the label of a record."""
        if choice in recorded:
            found = recorded[choice]
            return cls(found.times, found.predicted, lf.recorded_sentence(found))
        if choice in texts:
            return cls._logged(explorer, explorer.log()[list(texts).index(choice)])
        return cls.here(explorer, ticked)

    @classmethod
    def here(cls, explorer: LiveTimingExplorer, ticked: Mapping[str, bool]) -> Shown:
        """What was measured at the present settings; before, what is predicted of what is ticked."""
        job = explorer.layer_job(ticked)
        times, wrong = explorer.measured_layers(), explorer.timed_wrongly()
        predicted = explorer.predicted_layers(ticked)
        scale = _scale(explorer, times, predicted)
        result, more, also = lf.layers_sentence(times, predicted, wrong, explorer.timings[1], scale)
        if times:
            result = f"{lf.busy_before(explorer.measured_entry())}Measured here. {result}"
        if not explorer.judges:
            more += f" Nothing is predicted for {explorer.dtype} on this device: {explorer.timings[1]}."
        plan = next((cutoffs for name, cutoffs, _ in job.layers if name == PLAN), None)
        more += "" if plan is None else plan_text(plan)
        guess = explorer.recall("guess PyTorch beside ours")
        base = times[OURS].median if OURS in times else predicted.get(OURS, math.nan)
        guessed = {STOCK: guess * base} if guess and guess > 0 and math.isfinite(base) and STOCK in times else {}
        if guessed and OURS in times:
            ratio = times[STOCK].median / times[OURS].median
            also += (
                f" You guessed that {STOCK} takes {guess:.3g} times as long; here it took {ratio:.3g}: "
                f"{judged(guess, ratio, 'times')}."
            )
        return cls(times, predicted, lf.Said(result, more.strip(), also.strip()), wrong, guessed, scale or 1.0)

    @classmethod
    def _logged(cls, explorer: LiveTimingExplorer, entry: Mapping[str, Any]) -> Shown:
        times, predicted = spreads(entry, entry["sizes"]), entry["predicted"]
        scale = _scale(explorer, times, predicted)
        result, more, also = lf.layers_sentence(times, predicted, {}, entry["whose"], scale)
        more = f"{entry['device']}, {settings_text(entry['sizes'])}. {more}{plan_text(entry.get('plan') or [])}"
        result = f"{lf.busy_before(entry)}Measured here on {entry['date'][:10]}. {result}"
        return cls(times, predicted, lf.Said(result, more.strip(), also), scale=scale or 1.0)


def _scale(explorer: LiveTimingExplorer, times: Mapping[str, Spread], predicted: Mapping[str, float]) -> float | None:
    """What brings the predictions to the points, where the reader wants that and there are any."""
    there = any(math.isfinite(predicted.get(name, math.nan)) for name in times)
    return lf.scale_of(times, predicted) if explorer.scaled and there else None


def plan_text(cutoffs: Sequence[int]) -> str:
    """Where our plan cuts."""
    if not cutoffs:
        return " Our plan has no cutoffs: by the timings, a full softmax is fastest at these sizes."
    return f" Our plan cuts at {', '.join(f'{c:,}' for c in cutoffs)}."


def settings_text(sizes: Mapping[str, Any]) -> str:
    """V = 20,000, d = 256, B = 512, cutoffs 1,000 and 5,000, float32 on cpu."""
    numbers = ", ".join(f"{name} = {sizes[name]:,}" for name in ("V", "d", "B"))
    return f"{numbers}, cutoffs {listed(sizes['cutoffs'])}, {sizes['dtype']} on {sizes['device']}"


def log_texts(explorer: LiveTimingExplorer) -> list[str]:
    """The log as choices, the newest first."""
    log = explorer.log()
    return [
        f"log {len(log) - i}: {settings_text(entry['sizes'])}, {entry['date'][:16].replace('T', ' ')}"
        for i, entry in enumerate(log)
    ]


def log_rows(explorer: LiveTimingExplorer) -> list[list[str]]:
    """The log as a table: settings, medians, the quartiles of ours, the gain over the full softmax."""
    rows = []
    for entry in explorer.log():
        times = spreads(entry, entry["sizes"])
        cells = [seconds_text(times[n].median) if n in times else "–" for n in (FULL, STOCK, OURS, PLAN)]
        ours = times.get(OURS)
        between = f"{seconds_text(ours.q1)} to {seconds_text(ours.q3)}" if ours else "–"
        gain = f"{times[FULL].median / ours.median:.1f} times" if ours and FULL in times else "–"
        rows.append([settings_text(entry["sizes"]), *cells, between, gain])
    return rows or [["nothing measured yet", *["–"] * 6]]
