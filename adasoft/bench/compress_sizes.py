"""How large the experiment of `adasoft compress` is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ..checks import ABOVE_0, BELOW_1, integer, number
from ..text import Row


@dataclass(frozen=True)
class CompressSizes:
    """How large the experiment is. Raises ValueError for values out of range."""

    hidden: int = 128
    teacher: int = 256
    """Hidden size of the teacher."""
    batch: int = 20
    bptt: int = 35
    rate: float = 4e-3
    """Adam's, for trainings from the start; a quarter of it for those that go on."""
    epochs: int = 2
    more: float = 0.5
    """Epochs of pruning, and again of rounding; also of the control, which goes on without either."""
    labels: int = 30
    cache: int = 2000
    tuning: int = 10_000
    """Words of the validation part on which cache and sparsities are chosen."""
    report: int = 20_000
    """Words after them, on which everything is reported."""
    sparsity: float = 0.358
    bits: int = 9
    grid: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    """Sparsities to which each matrix is pruned alone."""

    def __post_init__(self) -> None:
        for name in ("hidden", "teacher", "batch", "bptt", "epochs", "labels", "cache", "tuning", "report"):
            integer(name, getattr(self, name), 1)
        integer("bits", self.bits, 2, 32)
        number("sparsity", self.sparsity, 0, BELOW_1, "at least 0 and below 1")
        for name in ("rate", "more"):
            number(name, getattr(self, name), ABOVE_0, 1e6, "above 0 and finite")

    def as_row(self) -> Row:
        """The sizes as a record keeps them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


#: To see that it works.
COMPRESS_TINY = CompressSizes(
    hidden=8, teacher=12, batch=4, bptt=10, epochs=1, labels=5, cache=20, tuning=100, report=150, grid=(0.3, 0.6)
)

#: Words of the training part where nothing is said, and with ``--tiny``.
COMPRESS_TOKENS = (200_000, 3_000)


def compress_sizes(*, tiny: bool = False, **changes: Any) -> CompressSizes:
    """The sizes with what is not None changed."""
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(COMPRESS_TINY if tiny else CompressSizes(), **given)
