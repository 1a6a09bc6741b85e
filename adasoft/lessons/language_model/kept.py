"""What the lesson keeps over restarts and what is recorded of it: the form that each entry should have; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..kit import forms
from .looks import CELL_LABELS, LABELS

_POINTS = forms.each(forms.row(forms.SECONDS, forms.SECONDS, forms.SECONDS, forms.SECONDS))
_LANE = forms.fields(
    cutoffs=forms.each(forms.COUNT),
    widths=forms.each(forms.COUNT),
    points=_POINTS,
    seconds=forms.number(0),
    tokens=forms.COUNT,
    steps=forms.COUNT,
    parameters=forms.COUNT,
    shares=forms.fields(output=forms.SHARE, body=forms.SHARE, optimizer=forms.SHARE),
)


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
        corpus=corpus,
        d=forms.COUNT,
        B=forms.COUNT,
        seed=forms.COUNT,
        date=forms.text,
        torch=forms.text,
        threads=forms.number(1, whole=True),
        device=forms.fields(name=forms.text),
        lanes=lanes,
    )


#: What a session keeps, and what is recorded of one.
FORMS: dict[str, forms.Form] = {
    "text": forms.fields(
        **dict.fromkeys(("name", "source", "licence", "digest", "begin"), forms.text),
        **dict.fromkeys(("V", "train", "valid"), forms.COUNT),
        unknown=forms.SHARE,
        shares=forms.table(forms.SHARE, keys=forms.decimal),
    ),
    "training": _trained(LABELS),
    "own cell": _trained(CELL_LABELS),
    "cell code": forms.text,
    "written": forms.fields(
        start=forms.text, seed=forms.number(0, 2**31 - 1, whole=True), words=forms.table(forms.text)
    ),
}
