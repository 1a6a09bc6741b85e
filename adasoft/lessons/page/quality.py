"""What the speed costs: the stored trainings, as a chart of perplexity against the numbers that describe a word."""

from __future__ import annotations

from typing import Any

from ...results.folders import results_folder
from ...results.trainings import summary

#: Which trainings: text, words, model, d. Another case than that of the page, and it says so.
CASE = ("europarl-en", 17_724, "lstm", 256)
#: Rows of that table, and what the chart calls them.
_POINTS = {
    "planned-0.65": "floor 65 %",
    "planned-0.75": "floor 75 %",
    "planned-0.85": "floor 85 %",
    "adaptive": "the paper’s cutoffs",
}
_WIDE, _HIGH = 480, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 458, 24, 168


def trainings() -> dict[str, dict[str, Any]]:
    """The rows of the case by name; empty where one of them is missing."""
    rows = {
        row["name"]: row
        for row in summary(results_folder())
        if (row["corpus"], row["V"], row["title"], row["d"]) == CASE
    }
    return {name: rows[name] for name in _POINTS} if rows.keys() >= set(_POINTS) else {}


def chart(rows: dict[str, dict[str, Any]]) -> str:
    """How much worse each predicts than a full softmax, over the numbers of an average token's word as a share of d.

    The page's script moves the line ``.here`` to where the reader's layer would stand.
    """
    points = [(rows[name]["mean width"] / CASE[3], rows[name]["of full"], told) for name, told in _POINTS.items()]
    top = 0.12

    def x(share: float) -> float:
        return _LEFT + (share - 0.5) / 0.5 * (_RIGHT - _LEFT)

    def y(worse: float) -> float:
        return _BOTTOM - worse / top * (_BOTTOM - _TOP)

    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y(worse):.1f}" y2="{y(worse):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y(worse) + 4:.1f}" text-anchor="end">{"+" * (worse > 0)}{100 * worse:.0f} %</text>'
        for worse in (0, 0.04, 0.08, 0.12)
    ) + "".join(
        f'<text x="{x(share):.1f}" y="{_BOTTOM + 16}" text-anchor="middle">{100 * share:.0f} %</text>'
        for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1)
    )
    drawn = "".join(
        f'<circle cx="{x(share):.1f}" cy="{y(worse):.1f}" r="5"/>'
        # the points fall to the right: above them is room for the names of the first, below them for those of the last
        + (
            f'<text x="{x(share) + 9:.1f}" y="{y(worse) - 5:.1f}">{told}: +{100 * worse:.1f} %</text>'
            if share < 0.8
            else f'<text x="{x(share) - 9:.1f}" y="{y(worse) + 13:.1f}" text-anchor="end">'
            f"{told}: +{100 * worse:.1f} %</text>"
        )
        for share, worse, told in points
    )
    # as a marked point, though nothing was trained for it: a layer with d numbers for each word is the full softmax
    full = f'<circle class="hollow" cx="{x(1):.1f}" cy="{y(0):.1f}" r="5"/>'
    full += f'<text x="{x(1) + 4:.1f}" y="{y(0) - 10:.1f}" text-anchor="end">full</text>'
    told = "; ".join(
        f"{told}, {100 * share:.0f} % of the numbers: perplexity +{100 * worse:.1f} %" for share, worse, told in points
    )
    return (
        f'<svg class="quality" viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="Four trainings: {told}.">{grid}'
        f'<g class="here" visibility="hidden" data-from="{_LEFT}" data-to="{_RIGHT}"><line y1="{_TOP}" y2="{_BOTTOM}"/>'
        f'<text y="{_TOP - 6}" text-anchor="middle">your cut</text></g>'
        f'{drawn}{full}<text x="{(_LEFT + _RIGHT) / 2}" y="{_BOTTOM + 34}" text-anchor="middle" class="title">'
        "numbers that describe a token’s word, of those of the full softmax</text>"
        f'<text class="title" transform="translate(10 {(_TOP + _BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        "perplexity</text></svg>"
    )


def perplexity(n: int) -> str:
    """What the trainings lost, in words and as a chart; nothing where there are none. ``n``: the words of the page."""
    rows = trainings()
    if not rows:
        return ""
    authors, planned, lower, higher = (
        f"{rows[name]['of full']:.1%}".replace("%", "&nbsp;%")
        for name in ("adaptive", "planned-0.75", "planned-0.65", "planned-0.85")
    )
    return (
        f"In our trainings on EuroParl (another case: {CASE[1]:,} words instead of {n:,}), we measured perplexity, the "
        "number of words a model hesitates between. "
        f"It rose by <strong>{authors}</strong> with the cutoffs of the original paper and by "
        f"<strong>{planned}</strong> with planned ones that keep 75&nbsp;% of the tokens in the head. Why that floor? "
        f"At 65&nbsp;% it rose by {lower}, at 85&nbsp;% by {higher}: a lower floor is faster but predicts worse.</p>\n"
        f"<figure>{chart(rows)}</figure>\n<p>"
    )
