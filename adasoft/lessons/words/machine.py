"""The panel of this machine: which processor it is, whose timings predictions rest on, and a button that times it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import ipywidgets as w

from ...cost import MeasuredCost
from ...files import cache_dir, writable_folder
from ...records import cpu_name, file_name, write_record
from ..kit.costs import measured_cost, recorded_costs
from ..kit.explorer import Explorer
from ..kit.parts import WIDE, Job, Line, Panel, row, safely
from ..kit.plots import percent
from ..kit.progress import forget_everything
from ..kit.saved import not_kept
from ..kit.tables import html_table
from ..kit.views import LOCK
from . import figures as f

_MINE = "this machine"


def _is_mine(cost: object) -> bool:
    """Whether a cost model was timed on this machine."""
    return isinstance(cost, MeasuredCost) and cost.name.startswith(_MINE)


def _recorded(device: str) -> MeasuredCost | None:
    """The timings of a machine like this one that ship with adasoft."""
    for cost in recorded_costs():
        record = cost.record or {}
        if (record["device"]["type"], record["dtype"]) == (device, "float32"):
            return cost
    return None


def _kept(cost: MeasuredCost) -> bool:
    """Whether the timings could be written into the reader's cache, where all lessons find them."""
    folder = cache_dir() / "machines"
    if cost.record is None:
        return False
    try:
        write_record(cost.record, writable_folder(folder) / file_name(cost.record))
    except OSError as error:
        not_kept(folder / "record", error)
        return False
    return True


def _gpu_in_sight() -> bool:
    """Whether there may be an NVIDIA GPU; told without torch, which takes seconds to load."""
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


def machine_panel(explorer: Explorer, *, slot: str = "machine") -> w.VBox:
    """Which processor this is, whose timings the predictions rest on, and a button that times this machine."""
    panel, card, done = Panel(), w.HTML(), Line()
    lengths = [("10 seconds, rough", 10.0), ("60 seconds", 60.0), ("3 minutes, best", 180.0)]
    seconds = w.Dropdown(
        options=lengths, value=60.0, description="how long to measure", style=WIDE, layout=w.Layout(width="330px")
    )
    device = w.Dropdown(options=["cpu", "cuda"], description="device", style=WIDE, layout=w.Layout(width="150px"))
    device.layout.display = None if _gpu_in_sight() else "none"

    def calibrate(tick: Callable[[float, str], None]) -> None:
        done.say("")
        tick(0.0, "Timing this machine; leave it alone as far as you can ...")
        # here, because timing needs torch, which takes seconds to load
        from ... import calibrate as run

        folder = cache_dir() / "machines"
        try:
            writable_folder(folder)
        except OSError as error:  # better known before minutes of timing than after
            not_kept(folder / "record", error)

        def in_words(done: float, _what: str) -> None:  # what is timed is a matter of the code
            tick(done, f"Timing products of many sizes: {100 * done:.0f} % done.")

        # kept only once it is adopted
        cost = run(device.value, seconds=float(seconds.value), progress=in_words, save=False)
        median = f.error_of(cost.record or {})
        with LOCK:
            if median is None or median <= f.LARGEST_ERROR:
                adopt(cost)
                return
            waiting[:] = [cost]
            use_all_the_same.layout.display = None
            done.say(
                f"Timed, but not used: the median error of its predictions is {percent(median)}, too much to trust. "
                "That was the machine, not you: something else was probably running. Time it again, for longer, and "
                "leave the computer alone."
            )

    waiting: list[MeasuredCost] = []

    def adopt(cost: MeasuredCost) -> None:
        """Let all predictions rest on these timings; those that are kept are taken as every lesson reads them."""
        kept = _kept(cost)
        if not kept:
            cost.name = f"{_MINE}: {cost.name}"
        waiting.clear()
        use_all_the_same.layout.display = "none"
        adopted = (measured_cost() if kept else None) or cost
        mine[:] = [adopted]
        explorer.cost = adopted
        folder = cache_dir() / "machines"
        done.say(
            "Timed. All predictions in this page's panels now rest on this machine"
            + (". " if kept else f", until the kernel ends: {folder} cannot be written. ")
            + "What says “recorded”, and what is printed in the text, does not."
        )

    mine = [cost for cost in (measured_cost(), explorer.cost) if _is_mine(cost)][:1]

    def switch() -> None:
        """From this machine's timings to the recorded ones, or back."""
        other = _recorded(device.value) if _is_mine(explorer.cost) else mine[0] if mine else None
        if other is None:
            raise ValueError("there are no other timings to use")
        explorer.cost = other
        done.say("")

    def all_the_same() -> None:
        adopt(waiting[0])
        other_timings.focus()  # the button that was pressed is gone

    use_all_the_same = panel.button(
        "Use these timings all the same", all_the_same, "Predictions then rest on timings that fit badly"
    )
    use_all_the_same.layout.display = "none"
    other_timings = panel.button("Use the recorded machine", switch, "On this page; both timings stay")

    job = Job(panel, "Time this machine", calibrate, "Runs matrix products and saves the record")

    def redraw() -> None:
        cores = os.cpu_count() or 1
        rows = {"this machine": f"{cpu_name()}, {cores} logical processor{'s' * (cores > 1)}"}
        cost = explorer.cost
        record = cost.record if isinstance(cost, MeasuredCost) else None
        if record:
            rows |= f.record_rows(record, mine=_is_mine(cost))
            if not cost.name.startswith(("this", "recorded")):
                rows["timings used"] = cost.name
        elif explorer.counted:
            rows["timings used"] = "none yet: costs are counted, not timed, until you time this machine"
        else:
            rows["timings used"] = cost.name
        other_timings.description = f"Use {'the recorded' if _is_mine(cost) else 'this'} machine"
        other_timings.layout.display = None if mine or _is_mine(cost) else "none"
        card.value = html_table(list(rows.items()), label="machine card")

    def forget() -> None:
        done.say(forget_everything())

    again = panel.button(
        "Forget my choices",
        forget,
        "In all lessons: words, settings, answers and measurements go back to the start; timings of this machine stay",
    )
    box = panel.box(
        card, row(seconds, device), row(job.row, job.line), done, row(use_all_the_same, other_timings, again)
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box
