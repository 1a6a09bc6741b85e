"""The pictures of the notebooks, for readers who run nothing: ``python -m adasoft.explore.stills [folder]``.

Made by the same functions as the live figures, with the recorded machine. Needs kaleido and a Chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ..cost import read_record, shipped_records
from ..partition import two_clusters
from . import figures as f
from .state import COUNTED_MULTIPLICATIONS, COUNTED_WORDS, Explorer, load_language


def stills() -> dict[str, Any]:
    """File name -> figure."""
    english = load_language("en")
    recorded = read_record(next(path for path in shipped_records() if "cpu" in path.name))
    one, several = Explorer(english, cost=recorded), Explorer(english, cost=COUNTED_MULTIPLICATIONS)
    several.cutoffs = (2000, 10000)
    several.active = 1
    counting = Explorer(english, cost=COUNTED_WORDS)
    found = two_clusters(english, counting.in_features, counting.batch, cost=COUNTED_WORDS)
    return {
        "00_one_cutoff": f.cut_figure(one),
        "01_coverage": f.coverage_figure(english, 0.8),
        "01_languages": f.languages_figure([load_language(code) for code in ("en", "de", "fi")]),
        "02_two_clusters": f.two_clusters_figure(counting, found),
        "02_cutoffs": f.cut_figure(several),
    }


def main(folder: str = "notebooks/img") -> None:
    """Render every still into a folder."""
    for name, figure in stills().items():
        figure.write_image(Path(folder) / f"{name}.png", width=960, scale=1.25)


if __name__ == "__main__":
    main(*sys.argv[1:])
