"""Panels of the lesson on clusters: one cut, the swap, the price of tails and of width, the reader and the planner."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w

from ...cost import Cost
from ...planning import Plan
from ...tradeoffs import FrontPoint
from ..kit.costs import recorded_costs
from ..kit.explorer import FLOOR
from ..kit.parts import Job, Line, Panel, listed, live, row, safely
from ..kit.plots import amount_text
from . import figures as f
from .duel import Duel, duel
from .explorer import ClustersExplorer, Tails
from .questions import PREDICTIONS
from .widgets import AreaCut, GameMap, SwapAreas


def _area(explorer: ClustersExplorer, slot: str, *, curve: bool) -> w.VBox:
    panel, picture = Panel(), AreaCut(curve=curve)

    def cut(value: int) -> None:
        if explorer.cutoffs:
            explorer.set_cutoff(0, value, clip=True)
        else:
            explorer.cutoffs = (value,)

    panel.on_value(picture, cut, "cut")

    def redraw() -> None:
        with panel.writing():
            picture.show(
                explorer.vocabulary,
                explorer.cutoffs[0] if explorer.cutoffs else 1,
                explorer.recall("guess best cut") if curve else None,
                explorer.best_cut() if curve else None,
            )

    box = panel.box(picture)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def area_panel(explorer: ClustersExplorer, *, slot: str = "area") -> w.VBox:
    """One cut of the words as areas, to scale, without the totals: those are to be guessed."""
    return _area(explorer, slot, curve=False)


def two_clusters_panel(explorer: ClustersExplorer, *, slot: str = "two clusters") -> w.VBox:
    """One cut as areas, with the cost of every cut and its two parts under it."""
    return _area(explorer, slot, curve=True)


def swap_panel(explorer: ClustersExplorer, *, slot: str = "swap") -> w.VBox:
    """Two tails as areas: which share belongs to which size? Swaps found without effect are kept."""
    panel = Panel()
    known = [kind for kind in explorer.recall("swaps found", []) if kind in ("sizes", "shares")]
    picture = SwapAreas(found=known)
    panel.on_value(picture, lambda found: explorer.remember("swaps found", list(found)), "found")
    box = panel.box(picture)

    def redraw() -> None:
        picture.guess = explorer.recall("guess swap")

    explorer.attach(slot, safely(panel, redraw), box)
    return box


def _clocks(explorer: ClustersExplorer) -> list[Cost]:
    """Its clock, and a recorded one of another kind: a GPU's beside a CPU's, and the reverse."""
    own = explorer.by_the_clock
    on_gpu = getattr(own, "on_gpu", False)
    others = [cost for cost in recorded_costs() if cost.on_gpu != on_gpu]
    return [own, *others[:1]]


def tails_panel(explorer: ClustersExplorer, *, slot: str = "tails") -> w.VBox:
    """Starting time and computing time of 1 to 5 tails, by the explorer's clock and a recorded one of another kind."""
    panel, told = Panel(), [Line(), Line()]

    def clocks() -> list[tuple[Cost, list[Tails]]]:
        costs = _clocks(explorer)
        return [(cost, explorer.tails(cost)) for cost in [*costs, costs[0]][:2]]

    def guess() -> float | None:
        kept, result = explorer.recall("guess second cutoff"), explorer.recall("result second cutoff")
        question = PREDICTIONS["second cutoff"].question
        asked = question if isinstance(question, str) else question(explorer)
        other = result is not None and result["question"] != asked  # other sizes since
        return None if kept is None or other else float(kept)

    figure = live(
        f.tails_figure(clocks(), explorer.vocabulary, guess()), "time against the number of tails on two machines"
    )

    def redraw() -> None:
        found = clocks()
        data, layout = f.tails_data(found, explorer.vocabulary, guess())
        figure.push(data, layout)
        for line, (cost, rows) in zip(told, found, strict=True):
            line.say(f.tails_sentence(cost, rows))

    box = panel.box(figure, *told)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def front_panel(explorer: ClustersExplorer, *, slot: str = "front") -> w.VBox:
    """Time against the mean width of a token's vector, by the clock, with two tails."""
    panel, told = Panel(), Line()

    def found() -> tuple[list[FrontPoint], tuple[float, float] | None, Plan]:
        cost = explorer.by_the_clock
        planned = explorer.floored(cost)
        you = None
        if len(explorer.cutoffs) == planned.n_tails:
            width = f.mean_width(explorer.in_features, explorer.widths, explorer.token_shares)
            you = width, explorer.seconds_by(cost)
        return explorer.front(cost), you, planned

    figure = live(f.front_figure(*found(), explorer.vocabulary), "time against mean width")

    def redraw() -> None:
        points, you, planned = found()
        figure.push(*f.front_data(points, you, planned, explorer.vocabulary))
        told.say(
            f.front_sentence(explorer.by_the_clock, points, planned)
            + f.other_front(len(explorer.cutoffs), planned.n_tails)
        )

    box = panel.box(figure, told)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


class _Game:
    """The reader against the exact search, with two tails and a floor on the head's share."""

    def __init__(self, explorer: ClustersExplorer, slot: str) -> None:
        self.explorer, self.panel, self.map = explorer, Panel(), GameMap(floor=FLOOR)
        self.verdict, self.measured = Line(), Line()
        self.figure = w.VBox([], layout=w.Layout(width="100%"))
        self.panel.on_value(self.map, self.moved, "cuts")
        self.panel.on_value(self.map, explorer.keep_trail, "trail")
        self.job = Job(
            self.panel,
            "Measure both",
            self.measure,
            "Runs both layers in turns, for some seconds",
        )
        compare = self.panel.button("Compare with the planner", self.compare, "Shows the whole map and the best pair")
        again = self.panel.button("Play again", self.again, "Hides the map again")
        self.box = self.panel.box(
            self.map, row(compare, self.job.row, again), self.verdict, self.job.line, self.figure, self.measured
        )
        if (kept := explorer.kept_duel()) is not None:
            self.show_measured(Duel.from_kept(kept), "Last time: ")
        explorer.attach(slot, safely(self.panel, self.redraw), self.box)

    def redraw(self) -> None:
        """Show the explorer's cutoffs; with another number of them, ask for two."""
        explorer = self.explorer
        if len(explorer.vocabulary) < 3:
            raise ValueError("this game needs at least 3 words")
        if len(explorer.cutoffs) != 2:
            explorer.set_n_tails(2)  # comes back here
            return
        with self.panel.writing():
            before = self.map.plan
            sizes = explorer.in_features, explorer.batch
            self.map.show(explorer.vocabulary, explorer.cost, *sizes, explorer.cutoffs, explorer.kept_trail())
            if before != self.map.plan:
                self.verdict.say("")

    def moved(self, cuts: list[int]) -> None:
        """The reader has moved the ring."""
        self.explorer.cutoffs = tuple(cuts)

    def best(self) -> tuple[float, tuple[int, ...]]:
        """The fastest allowed place that the reader has tried. Raises ValueError before there is one."""
        explorer = self.explorer
        mass = explorer.vocabulary.cumulative
        tried = [tuple(place) for place in self.map.trail] + [explorer.cutoffs]
        allowed = [place for place in tried if len(place) == 2 and mass[place[0]] >= FLOOR]
        if not allowed:
            raise ValueError("no allowed cut yet: move the first cutoff until the head holds 75 % of the tokens")
        full = explorer.full.seconds
        return min((full / explorer.speedup_at(place), place) for place in set(allowed))

    def compare(self) -> None:
        """Show the whole map, the planner's star, and who is ahead."""
        seconds, place = self.best()
        found = self.explorer.plan_for_me(2, FLOOR)
        self.map.plan = list(found.cutoffs)
        planned = f"you {amount_text(self.explorer, seconds)}, the planner {amount_text(self.explorer, found.time)}"
        self.verdict.say(f"{f.game_verdict(self.explorer, seconds, found)} Your best, {listed(place)}: {planned}.")

    def again(self) -> None:
        """Dark, from the first cutoffs on."""
        self.explorer.reset()
        self.map.plan, self.map.trail = [], [list(self.explorer.cutoffs)]
        self.explorer.keep_trail(self.map.trail)
        self.figure.layout.display = "none"  # it is of the last game
        self.verdict.say("")
        self.measured.say("")

    def measure(self, tick: Callable[[float, str], None]) -> None:
        """Time both layers on this machine."""
        tick(0.0, "loading torch ...")
        found = duel(self.explorer, self.best()[1], tick)
        self.explorer.remember("duel", found.kept)
        self.show_measured(found, "")

    def show_measured(self, found: Duel, when: str) -> None:
        """Two bars with whiskers, and who has won."""
        if self.figure.children:
            self.figure.children[0].push(*f.duel_data(found))
        else:
            self.figure.children = [live(f.duel_figure(found), "measured time of both layers, with quartiles")]
        self.figure.layout.display = None
        self.measured.say(when + f.duel_sentence(found))


def beat_the_planner(explorer: ClustersExplorer, *, slot: str = "game") -> w.VBox:
    """A dark map of the time over two cutoffs; the reader's trail lights it up, and the planner's star comes last."""
    return _Game(explorer, slot).box
