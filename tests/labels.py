"""Watches what stands under a figure: live results are never labelled recorded, nor the reverse."""

import numpy as np

from adasoft.lessons.kit import parts


def lines_of(box):
    """All lines of text in a panel."""
    found = [box] if isinstance(box, parts.Line) else []
    return found + [line for child in getattr(box, "children", ()) for line in lines_of(child)]


#: How a sentence under a figure may begin that says whose numbers it shows.
SAID = ("RECORDED", "Recorded", "In words", "STORED", "Measuring here", "Measured here", "Nothing measured")
SAID += ("Trained here", "Training here")


class Labels:
    """Whatever is drawn and said in a panel from now on; ``recorded`` is the y of a trace (or its ``axis``) when
    that is recorded."""

    def __init__(self, monkeypatch, box, figure, recorded, trace=0, axis="y"):
        lines = lines_of(box)
        self._figure, self._recorded = figure, np.array(recorded, dtype=float)
        self._trace, self._axis = trace, axis
        self.told, self.silent, self.longest = [], 0, 0
        push, say = parts.LiveFigure.push, parts.Line.say

        def pushed(one, data, layout=None):
            before = self._y()
            push(one, data, layout)
            self.silent += one is figure and not np.array_equal(before, self._y(), equal_nan=True)
            self.longest = max(self.longest, self.silent)

        def said(line, text):
            say(line, text)
            if line in lines and text.startswith(SAID):
                self.silent = 0
                shows = np.array_equal(self._y(), self._recorded, equal_nan=True)
                self.told.append((text.upper().startswith("RECORDED"), shows, text))

        monkeypatch.setattr(parts.LiveFigure, "push", pushed)
        monkeypatch.setattr(parts.Line, "say", said)

    def _y(self):
        return np.array(self._figure.data[self._trace][self._axis], dtype=float)

    def check(self, *, changes):
        """Every sentence fitted what was drawn; nothing was drawn without one; it was said so often at least."""
        assert [told for told in self.told if told[0] != told[1]] == []
        assert self.silent == 0 and self.longest <= 1 and len(self.told) >= changes
        nothing = [text for *_, text in self.told[1:-1] if "othing measured" in text or "othing yet" in text]
        assert len(nothing) <= 1  # before the first result
