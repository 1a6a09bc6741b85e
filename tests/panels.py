"""What the tests of all panels do: find a control, press it, wait for its job, read what the panel says."""

import html
import time

import ipywidgets as w

from adasoft.lessons.kit import parts
from adasoft.lessons.kit.widgets import FileDrop, NumberBox


def every(box, kind):
    """All widgets of a kind in a panel, in order."""
    found = [box] if isinstance(box, kind) else []
    return found + [widget for child in getattr(box, "children", ()) for widget in every(child, kind)]


def named(box, description, kind=w.Widget):
    """The only control of that name."""
    (control,) = [x for x in every(box, kind) if getattr(x, "description", None) == description]
    return control


def figure_of(box):
    """Its live figure, the first where there are several."""
    return every(box, parts.LiveFigure)[0]


def said(*boxes):
    """All texts of these panels."""
    return html.unescape(" ".join(x.value for box in boxes for x in every(box, w.HTML)))


def problem(*boxes):
    """What these panels show as having gone wrong; empty if nothing did."""
    lines = [line for box in boxes for line in every(box, parts.Line) if line.kind == "problem"]
    refused = [number.refused for box in boxes for number in every(box, NumberBox)]
    return html.unescape("".join(line.value for line in lines)) + "".join(refused)


def until(good, seconds=60):
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.005)


def finished(button, seconds=60):
    """Wait for the job of a start button to end."""
    until(lambda: not button.disabled, seconds)


def wait(good, seconds=60):
    """Until something that another thread does holds."""
    end = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < end
        time.sleep(0.01)


def press(box, description, seconds=60):
    """Press the start button of a job, and wait until it has ended."""
    button = named(box, description)
    assert not button.disabled
    button.click()
    finished(button, seconds)


def upload(box, name, content, part=20):
    """Drop a file on a panel as the browser does, in parts, each asked for; wait until it is read."""
    (drop,) = every(box, FileDrop)
    asked = []
    drop.send = asked.append
    for start in range(0, max(1, len(content)), part):
        piece, last = content[start : start + part], start + part >= len(content)
        message = {"kind": "part", "name": name, "first": start == 0, "last": last}
        drop._handle_custom_msg(message, [memoryview(piece)])
        assert last or asked.pop() == {"kind": "next"}
    assert not asked and drop._copy is None
    finished(named(box, "Read it"))
