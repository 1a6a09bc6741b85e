"""What a cache holds and what a new word costs, counted: the table that the measured bytes are compared with."""

from __future__ import annotations

from ..checks import choice, integer

#: What can be counted: no cache, keys and values, EL-attention.
KINDS = ("none", "keys-values", "el")


def cached_numbers(
    kind: str, d: int, *, groups: int | None = None, heads: int = 1, copies: int = 1, layers: int = 0
) -> float:
    """Numbers kept per position of the history and layer.

    >>> cached_numbers("keys-values", 256), cached_numbers("el", 256)
    (512.0, 256.0)
    >>> cached_numbers("keys-values", 256, heads=8, groups=2)
    128.0
    >>> cached_numbers("el", 256, layers=4)
    64.0

    Args:
        kind: one of :data:`KINDS`.
        d: size of the layer's input, and of all heads together.
        groups: G, keys and values for groups of heads; None: one for each head. EL-attention keeps X whatever G is.
        heads: H, looked at where there are groups.
        copies: of the prompt's keys and values, one for each beam where beams do not share them.
        layers: L in cross attention, whose layers share one X; 0 for self-attention.
    """
    d, copies = integer("d", d, 1), integer("copies", copies, 1)
    heads, layers = integer("heads", heads, 1), integer("layers", layers, 0)
    groups = heads if groups is None else integer("groups", groups, 1, heads)
    if choice("kind", kind, KINDS) == "none":
        return 0.0
    if kind == "el":
        return d * copies / max(layers, 1)
    return 2.0 * d * groups / heads * copies


def multiply_adds(kind: str, d: int, n: int, heads: int) -> int:
    """Multiply-adds of one layer's self-attention for one new word, n positions in its history.

    >>> multiply_adds("keys-values", 256, 1000, 4), multiply_adds("el", 256, 1000, 4)
    (643072, 2179072)

    Query and output projection, 2 d^2 in all three, are left out. Without a cache: keys and values of all positions,
    2 n d^2, and attention, 2 n d. With keys and values: those of the new word, 2 d^2, and attention, 2 n d. With
    EL-attention: expanding the query and projecting the result, 2 d^2, and attention at the full width for each head,
    2 n H d.
    """
    d, n, heads = integer("d", d, 1), integer("n", n, 1), integer("heads", heads, 1)
    if choice("kind", kind, KINDS) == "none":
        return 2 * n * d * d + 2 * n * d
    return 2 * d * d + 2 * n * d * (heads if kind == "el" else 1)


def operations_per_number(kind: str, heads: int, *, beams: int = 1) -> int:
    """Multiply-adds of attention for each cached number that is read: how far reading is from being the limit.

    >>> operations_per_number("keys-values", 4), operations_per_number("el", 4), operations_per_number("el", 4, beams=3)
    (1, 8, 24)

    Keys and values: 1; EL-attention: 2 H, for each number is key and value of H heads. ``beams`` that share what is
    cached multiply both.
    """
    heads, beams = integer("heads", heads, 1), integer("beams", beams, 1)
    return beams * (2 * heads if choice("kind", kind, KINDS[1:]) == "el" else 1)
