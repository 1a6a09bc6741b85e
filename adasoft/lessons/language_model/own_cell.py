"""A cell of the reader's own: the example, the code that defines one, and a first run of it."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...lm.models import Stepwise, map_state
from ..kit.parts import one_line

_FILE = "<your cell>"

CELL = """class Cell(nn.Module):
    # minimal gated unit (Zhou et al. 2016)
    def __init__(self, e, d):  # sizes of input and output
        super().__init__()
        self.d = d
        self.forget = nn.Linear(e + d, d)
        self.new = nn.Linear(e + d, d)

    def forward(self, x, state):  # x (b, e); at first, state is None
        h = x.new_zeros(len(x), self.d) if state is None else state
        f = torch.sigmoid(self.forget(torch.cat([x, h], 1)))
        new = torch.tanh(self.new(torch.cat([x, f * h], 1)))
        h = (1 - f) * h + f * new
        return h, h  # output (b, d), state
"""


def cell_maker(code: str) -> Callable[[int, int], Any]:
    """The ``Cell`` that a piece of code defines; torch, nn and F are there already.

    Raises ValueError with the line, quoted, and the reason if the code fails or defines no ``Cell``.
    """
    linecache.cache[_FILE] = (len(code), None, code.splitlines(keepends=True), _FILE)  # to quote from
    room: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "__name__": "own_cell"}
    try:
        exec(compile(code, _FILE, "exec"), room)
    except SyntaxError as error:
        raise ValueError(f"{_line(error.lineno)}: {error.msg}") from None
    except Exception as error:
        raise ValueError(_told(error, None)) from None
    if not callable(room.get("Cell")):
        raise ValueError("your code defines no Cell: it needs `class Cell(nn.Module)`, made as Cell(e, d)")
    return room["Cell"]  # type: ignore[no-any-return]


def check_cell(maker: Callable[[int, int], Any], d: int) -> int:
    """Run a cell for two steps of two sequences; how many numbers it can learn.

    Raises ValueError with the reason if it fails or returns something else than (output (b, d), state).
    """
    try:
        inspect.signature(maker).bind(d, d)
    except TypeError:
        error = TypeError("Cell is made as Cell(e, d), so it should take these two: def __init__(self, e, d)")
        raise ValueError(_told(error, maker)) from None
    except ValueError:
        pass  # it does not tell what it takes
    try:
        cell = maker(d, d)
        body = Stepwise(d, d, cell)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            _check_pair(cell(torch.zeros(2, d), None), d)
            _, state = body(torch.zeros(2, 2, d))
        map_state(torch.Tensor.detach, state)
    except Exception as error:
        raise ValueError(_told(error, maker)) from None
    return sum(p.numel() for p in body.parameters())


def _check_pair(pair: Any, d: int) -> None:
    """That a step returns what it should. Raises TypeError where it does not."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        return  # `Stepwise` says so
    output, state = pair
    if not isinstance(output, torch.Tensor):
        raise TypeError(f"the output should be a tensor of shape (b, d), here (2, {d}), got {type(output).__name__}")
    if state is not None and not _is_state(state):
        raise TypeError(f"the state should be a tensor or a tuple of tensors, got {type(state).__name__}")


def _is_state(state: Any) -> bool:
    return isinstance(state, torch.Tensor) or (isinstance(state, tuple) and all(map(_is_state, state)))


def _told(error: BaseException, maker: Any) -> str:
    """What went wrong in the reader's code, and in which of its lines.

    Where none of them raised it, it is about what ``maker`` is or returns: its last ``return``, or else its first line.
    """
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    where = "your cell" if line is None and (line := _returns(maker)) is None else _line(line)
    return f"{where}: {type(error).__name__}: {one_line(error)}"


def _returns(maker: Any) -> int | None:
    """The line of the last ``return`` of ``Cell``, of its ``forward`` if there is one; else the line it begins in."""
    code = "".join(linecache.getlines(_FILE))
    if getattr(maker, "__module__", "") != "own_cell" or not code:
        return None  # not written in the box
    named = [node for node in ast.walk(ast.parse(code)) if getattr(node, "name", "") in ("Cell", "forward")]
    inner = next((node for node in named if getattr(node, "name", "") == "forward"), named[0] if named else None)
    if inner is None:
        return None
    return max((node.lineno for node in ast.walk(inner) if isinstance(node, ast.Return)), default=inner.lineno)  # type: ignore[attr-defined]


def _line(number: int | None) -> str:
    """A line of the reader's code by its number and its text: the box shows no numbers."""
    quoted = linecache.getline(_FILE, number or 0).strip()
    return f"your code, line {number}{f' “{quoted}”' if quoted else ''}"
