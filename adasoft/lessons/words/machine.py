"""The panel of this machine: which processor it is, whose timings predictions rest on, and a button that times it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import ipywidgets as w

from ...cost import MeasuredCost
from ...files import cache_dir, writable_folder
from ...records import cpu_name
from ..kit.costs import measured_cost
from ..kit.explorer import Explorer
from ..kit.parts import WIDE, Job, Line, Panel, row, safely
from ..kit.progress import forget_everything
from ..kit.saved import not_kept
from ..kit.tables import html_table
from ..kit.views import LOCK
from . import figures as f


def _gpu_in_sight() -> bool:
    """Whether there may be an NVIDIA GPU; told without torch, which takes seconds to load."""
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


def machine_panel(explorer: Explorer, *, slot: str = "machine") -> w.VBox:
    """Which processor this is, whose timings the predictions rest on, and a button that times this machine."""
    panel, card, done = Panel(), w.HTML(), Line()
    lengths = [("10 seconds, rough", 10.0), ("60 seconds", 60.0), ("3 minutes, best", 180.0)]
    seconds = w.Dropdown(
        options=lengths, value=60.0, description="how long to measure", style=WIDE, layout=w.Layout(width="270px")
    )
    device = w.Dropdown(options=["cpu", "cuda"], description="device", style=WIDE, layout=w.Layout(width="150px"))
    device.layout.display = None if _gpu_in_sight() else "none"

    def calibrate(tick: Callable[[float, str], None]) -> None:
        done.say("")
        tick(0.0, "Timing this machine; leave it alone as far as you can ...")
        # here, because timing needs torch, which takes seconds to load
        from ... import calibrate as run

        folder, save = cache_dir() / "machines", True
        try:
            writable_folder(folder)
        except OSError as error:  # better known before minutes of timing than after
            not_kept(folder / "record", error)
            save = False

        def in_words(done: float, _what: str) -> None:  # what is timed is a matter of the code
            tick(done, f"Timing products of many sizes: {100 * done:.0f} % done.")

        cost = run(device.value, seconds=float(seconds.value), progress=in_words, save=save)
        if cost.path is None:
            cost.name = f"this machine: {cost.name}"
        with LOCK:
            # a record that is kept is taken as every lesson reads it
            explorer.cost = cost if cost.path is None else measured_cost() or cost
            done.say(
                "Timed. All predictions on this page now rest on this machine"
                + (f", until the kernel ends: {folder} cannot be written." if cost.path is None else ".")
            )

    job = Job(panel, "Time this machine", calibrate, "Runs matrix products and saves the record")

    def redraw() -> None:
        cores = os.cpu_count() or 1
        rows = {"this machine": f"{cpu_name()}, {cores} logical processor{'s' * (cores > 1)}"}
        cost = explorer.cost
        record = cost.record if isinstance(cost, MeasuredCost) else None
        if record:
            rows |= f.record_rows(record, mine=cost.name.startswith("this machine"))
            if not cost.name.startswith(("this", "recorded")):
                rows["timings used"] = cost.name
        elif explorer.counted:
            rows["timings used"] = "none yet: costs are counted, not timed, until you time this machine"
        else:
            rows["timings used"] = cost.name
        card.value = html_table(list(rows.items()), label="machine card")

    def forget() -> None:
        done.say(forget_everything())

    again = panel.button(
        "Forget my choices",
        forget,
        "In all lessons: words, settings, answers and measurements go back to the start; timings of this machine stay",
    )
    box = panel.box(card, row(seconds, device), row(job.row, job.line), row(again), done)
    explorer.attach(slot, safely(panel, redraw), box)
    return box
