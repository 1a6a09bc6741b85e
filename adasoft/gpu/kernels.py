"""The Triton kernels of :mod:`adasoft.gpu.ops`, and the sizes of their tiles.

Every kernel is launched for the worst case, finds its rows in ``offsets`` on the device, and leaves at once where there
are none. ``offsets`` (J + 1,) int64: the first row of each tail, and the end of the last. ``x``, ``hidden`` are rows by
columns with the row's stride given, weights (words, width) contiguous. Sums are kept in fp32. ``PRECISION`` is
``tl.dot``'s for fp32 inputs, or "interpreter".
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _rows_of(offsets, tail):
    start = tl.load(offsets + tail)
    return start, (tl.load(offsets + tail + 1) - start).to(tl.int32)


@triton.jit
def _word_splits(row_tiles, word_tiles, PROGRAMS: tl.constexpr):
    # row_tiles * splits <= max(row_tiles, PROGRAMS): what the grid and the partial buffers are made for
    return tl.maximum(1, tl.minimum(word_tiles, PROGRAMS // tl.maximum(row_tiles, 1)))


@triton.jit
def _margin(base, total, score):
    # a tail of one word has no others: probability 1. score * 0: an infinite logit makes the loss nan, as elsewhere
    # The difference comes first: it is exact where the two are close, however large.
    others = tl.where(total == 0, float("-inf"), tl.log(tl.where(total == 0, 1.0, total)))
    return (base - score) + others + score * 0


@triton.jit
def _dot(a, b, PRECISION: tl.constexpr):
    if PRECISION == "interpreter":  # it cannot multiply bf16; products of widened numbers are those of tensor cores
        return tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    else:
        return tl.dot(a, b, input_precision=PRECISION)


@triton.jit
def _narrow(x, dtype: tl.constexpr, PRECISION: tl.constexpr):
    if PRECISION == "interpreter" and dtype == tl.bfloat16:  # it would cut off; round to nearest even first
        bits = x.to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000
        return tl.where(x == x, bits.to(tl.float32, bitcast=True), x).to(dtype)
    else:
        return x.to(dtype)


@triton.jit(do_not_specialize=["tail"])
def linear_kernel(
    x,
    weight,
    out,
    offsets,
    tail,
    inner,
    columns,
    x_row,
    weight_column,
    weight_inner,
    out_row,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """``out[r, n] = sum_k x[r, k] weight[n, k]`` for the rows r of one tail; strides say which way weight lies."""
    start, n_rows = _rows_of(offsets, tail)
    first = tl.program_id(0) * ROWS
    if first >= n_rows:
        return
    local = first + tl.arange(0, ROWS)
    inside = (local < n_rows)[:, None]
    rows = (start + local)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for k in range(0, inner, INNER):
        along = k + tl.arange(0, INNER)
        a = tl.load(x + rows * x_row + along[None, :], mask=inside & (along[None, :] < inner), other=0.0)
        at = column.to(tl.int64) * weight_column + along[:, None].to(tl.int64) * weight_inner
        b = tl.load(weight + at, mask=(along[:, None] < inner) & (column < columns), other=0.0)
        total += _dot(a, b, PRECISION)
    tl.store(
        out + rows * out_row + column, _narrow(total, out.dtype.element_ty, PRECISION), mask=inside & (column < columns)
    )


@triton.jit(do_not_specialize=["tail"])
def outer_kernel(
    a,
    b,
    out,
    offsets,
    tail,
    a_columns,
    b_columns,
    a_row,
    b_row,
    splits,
    ROWS: tl.constexpr,
    A: tl.constexpr,
    B: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """``out[s, m, n] = sum_r a[r, m] b[r, n]`` over every ``splits``-th tile of one tail's rows, from the s-th on."""
    start, n_rows = _rows_of(offsets, tail)
    m = tl.program_id(0) * A + tl.arange(0, A)
    n = tl.program_id(1) * B + tl.arange(0, B)
    split = tl.program_id(2)
    total = tl.zeros((A, B), tl.float32)
    for tile in range(split, tl.cdiv(n_rows, ROWS), splits):
        local = tile * ROWS + tl.arange(0, ROWS)
        inside = (local < n_rows)[:, None]
        rows = (start + local)[:, None]
        left = tl.load(a + rows * a_row + m[None, :], mask=inside & (m < a_columns)[None, :], other=0.0)
        right = tl.load(b + rows * b_row + n[None, :], mask=inside & (n < b_columns)[None, :], other=0.0)
        total += _dot(tl.trans(left), right, PRECISION)
    at = (split.to(tl.int64) * a_columns + m[:, None]) * b_columns + n[None, :]
    tl.store(out + at, total, mask=(m < a_columns)[:, None] & (n < b_columns)[None, :])


@triton.jit(do_not_specialize=["tail"])
def expectation_kernel(
    hidden,
    weight,
    target,
    offsets,
    tail,
    largest_out,
    sum_out,
    mean_out,
    words,
    width,
    hidden_row,
    ROWS: tl.constexpr,
    WORDS: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCKS: tl.constexpr,
    PROGRAMS: tl.constexpr,
    GRADS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One tile of rows against one share of the words: largest logit, sum of exponentials, weighted sum of words.

    All three without the row's target. They go to slot ``program_id(0)`` of the partial buffers.
    """
    start, n_rows = _rows_of(offsets, tail)
    row_tiles, word_tiles = tl.cdiv(n_rows, ROWS), tl.cdiv(words, WORDS)
    splits = _word_splits(row_tiles, word_tiles, PROGRAMS)
    slot = tl.program_id(0)
    if slot >= row_tiles * splits:
        return
    # neighbours share the words, which then come from the cache
    local = (slot % row_tiles) * ROWS + tl.arange(0, ROWS)
    share = tl.cdiv(word_tiles, splits)
    first = (slot // row_tiles) * share
    inside = local < n_rows
    rows = start + local
    wanted = tl.load(target + rows, mask=inside, other=-1)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    along = tl.arange(0, COLUMNS)
    if BLOCKS == 1:
        x = tl.load(
            hidden + rows[:, None] * hidden_row + along[None, :],
            mask=inside[:, None] & (along < width)[None, :],
            other=0.0,
        )
    largest = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    if GRADS:
        mean = tl.zeros((ROWS, COLUMNS), tl.float32)
    for tile in range(first, tl.minimum(first + share, word_tiles)):
        word = tile * WORDS + tl.arange(0, WORDS)
        line = weight + word.to(tl.int64)[:, None] * width
        real = (word < words)[:, None]
        if BLOCKS == 1:
            w = tl.load(line + along[None, :], mask=real & (along < width)[None, :], other=0.0)
            logits = _dot(x, tl.trans(w), PRECISION)
        else:
            logits = tl.zeros((ROWS, WORDS), tl.float32)
            for block in range(BLOCKS):
                here = block * COLUMNS + along
                x_part = tl.load(
                    hidden + rows[:, None] * hidden_row + here[None, :],
                    mask=inside[:, None] & (here < width)[None, :],
                    other=0.0,
                )
                w_part = tl.load(line + here[None, :], mask=real & (here < width)[None, :], other=0.0)
                logits += _dot(x_part, tl.trans(w_part), PRECISION)
        other = (word < words)[None, :] & (word[None, :] != wanted[:, None])
        logits = tl.where(other, logits, float("-inf"))
        highest = tl.maximum(largest, tl.max(logits, 1))
        # with no other word so far there is nothing to subtract, and -inf - -inf would be nan
        base = tl.where(highest == float("-inf"), 0.0, highest)
        exps = tl.exp(logits - base[:, None])
        decay = tl.exp(largest - base)
        total = total * decay + tl.sum(exps, 1)
        if GRADS:
            if BLOCKS == 1:
                mean = mean * decay[:, None] + _dot(_narrow(exps, w.dtype, PRECISION), w, PRECISION)
            else:
                w_out = tl.load(line + column[None, :], mask=real & (column < width)[None, :], other=0.0)
                mean = mean * decay[:, None] + _dot(_narrow(exps, w_out.dtype, PRECISION), w_out, PRECISION)
        largest = highest
    at = slot * ROWS + tl.arange(0, ROWS)
    if tl.program_id(1) == 0:
        tl.store(largest_out + at, largest)
        tl.store(sum_out + at, total)
    if GRADS:
        place = mean_out + at.to(tl.int64)[:, None] * width + column[None, :]
        # rows beyond the tail's end are never read
        tl.store(place, mean, mask=inside[:, None] & (column < width)[None, :])


@triton.jit(do_not_specialize=["tail"])
def combine_kernel(
    hidden,
    weight,
    target,
    offsets,
    tail,
    largest_in,
    sum_in,
    mean_in,
    margin_out,
    peak_out,
    scale_out,
    direction,
    words,
    width,
    hidden_row,
    ROWS: tl.constexpr,
    WORDS: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCKS: tl.constexpr,
    PROGRAMS: tl.constexpr,
    GRADS: tl.constexpr,
    PRECISION: tl.constexpr,
    PART: tl.constexpr,
):
    """PART rows: all shares of the words together, then a and the gradient by h, for an upstream gradient of 1."""
    start, n_rows = _rows_of(offsets, tail)
    if tl.program_id(0) * PART >= n_rows:
        return
    row_tiles = tl.cdiv(n_rows, ROWS)
    splits = _word_splits(row_tiles, tl.cdiv(words, WORDS), PROGRAMS)
    local = tl.program_id(0) * PART + tl.arange(0, PART)
    inside = local < n_rows
    rows = start + local
    # a word out of range here would be the caller's mistake; it must not read beyond the weights
    wanted = tl.load(target + rows, mask=inside, other=0)
    known = inside & (wanted >= 0) & (wanted < words)
    line = weight + wanted[:, None].to(tl.int64) * width
    score = tl.zeros((PART,), tl.float32)
    for block in range(BLOCKS):
        along = block * COLUMNS + tl.arange(0, COLUMNS)
        mask = known[:, None] & (along < width)[None, :]
        h = tl.load(hidden + rows[:, None] * hidden_row + along[None, :], mask=mask, other=0.0)
        score += tl.sum(h.to(tl.float32) * tl.load(line + along[None, :], mask=mask, other=0.0).to(tl.float32), 1)

    # the tile of rows t was done against share s of the words in slot s * row_tiles + t
    largest = tl.full((PART,), float("-inf"), tl.float32)
    total = tl.zeros((PART,), tl.float32)
    for split in range(splits):
        at = split * row_tiles * ROWS + local
        part = tl.load(largest_in + at, mask=inside, other=float("-inf"))
        highest = tl.maximum(largest, part)
        base = tl.where(highest == float("-inf"), 0.0, highest)
        total = total * tl.exp(largest - base) + tl.load(sum_in + at, mask=inside, other=0.0) * tl.exp(part - base)
        largest = highest
    base = tl.where(largest == float("-inf"), score, largest)
    margin = tl.where(known, _margin(base, total, score), float("nan"))
    tl.store(margin_out + rows, margin, mask=inside)
    # p = exp(logit - peak) * scale: exact differences, where the log-sum-exp itself would be rounded
    peak = tl.maximum(base, score)
    tl.store(peak_out + rows, peak, mask=inside)
    tl.store(scale_out + rows, 1 / (total * tl.exp(base - peak) + tl.exp(score - peak)), mask=inside)
    if GRADS:
        # 1 / (1 + exp(-margin)) without overflow
        small = tl.exp(-tl.abs(margin))
        missing = tl.where(margin > 0, 1.0, small) / (1 + small)
        scale = 1 / tl.where(total == 0, 1.0, total)
        for block in range(BLOCKS):
            along = block * COLUMNS + tl.arange(0, COLUMNS)
            mask = inside[:, None] & (along < width)[None, :]
            mean = tl.zeros((PART, COLUMNS), tl.float32)
            for split in range(splits):
                at = split * row_tiles * ROWS + local
                share = tl.exp(tl.load(largest_in + at, mask=inside, other=float("-inf")) - base) * scale
                part = tl.load(mean_in + at.to(tl.int64)[:, None] * width + along[None, :], mask=mask, other=0.0)
                mean += part * share[:, None]
            w = tl.load(line + along[None, :], mask=mask & known[:, None], other=0.0).to(tl.float32)
            out = missing[:, None] * (mean - w)
            tl.store(
                direction + rows[:, None] * hidden_row + along[None, :],
                _narrow(out, direction.dtype.element_ty, PRECISION),
                mask=mask,
            )


@triton.jit(do_not_specialize=["tail"])
def weight_kernel(
    hidden,
    weight,
    target,
    peak,
    scale,
    missing,
    row_weight,
    unit,
    out,
    offsets,
    tail,
    words,
    width,
    hidden_row,
    splits,
    ROWS: tl.constexpr,
    WORDS: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCKS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """``unit * sum_r row_weight_r (p_rw - [w = t_r]) h_r`` of one tile of words: it owns them, and walks the rows."""
    start, n_rows = _rows_of(offsets, tail)
    word = tl.program_id(0) * WORDS + tl.arange(0, WORDS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    split = tl.program_id(2)
    along = tl.arange(0, COLUMNS)
    real = (word < words)[:, None]
    line = weight + word.to(tl.int64)[:, None] * width
    if BLOCKS == 1:
        w = tl.load(line + along[None, :], mask=real & (along < width)[None, :], other=0.0)
    total = tl.zeros((WORDS, COLUMNS), tl.float32)
    for tile in range(split, tl.cdiv(n_rows, ROWS), splits):
        local = tile * ROWS + tl.arange(0, ROWS)
        inside = local < n_rows
        rows = start + local
        if BLOCKS == 1:
            x = tl.load(
                hidden + rows[:, None] * hidden_row + along[None, :],
                mask=inside[:, None] & (along < width)[None, :],
                other=0.0,
            )
            logits = _dot(w, tl.trans(x), PRECISION)
        else:
            logits = tl.zeros((WORDS, ROWS), tl.float32)
            for block in range(BLOCKS):
                here = block * COLUMNS + along
                w_part = tl.load(line + here[None, :], mask=real & (here < width)[None, :], other=0.0)
                x_part = tl.load(
                    hidden + rows[:, None] * hidden_row + here[None, :],
                    mask=inside[:, None] & (here < width)[None, :],
                    other=0.0,
                )
                logits += _dot(w_part, tl.trans(x_part), PRECISION)
        wanted = tl.load(target + rows, mask=inside, other=-1)
        share = tl.exp(logits - tl.load(peak + rows, mask=inside, other=0.0)[None, :])
        share = share * tl.load(scale + rows, mask=inside, other=0.0)[None, :]
        share = tl.where(
            word[:, None] == wanted[None, :], -tl.load(missing + rows, mask=inside, other=0.0)[None, :], share
        )
        share = share * tl.load(row_weight + rows, mask=inside, other=0.0)[None, :]
        if BLOCKS == 1:
            total += _dot(_narrow(share, x.dtype, PRECISION), x, PRECISION)
        else:
            x_out = tl.load(
                hidden + rows[:, None] * hidden_row + column[None, :],
                mask=inside[:, None] & (column < width)[None, :],
                other=0.0,
            )
            total += _dot(_narrow(share, x_out.dtype, PRECISION), x_out, PRECISION)
    total = total * tl.load(unit)
    at = (split.to(tl.int64) * words + word[:, None]) * width + column[None, :]
    tl.store(out + at, _narrow(total, out.dtype.element_ty, PRECISION), mask=real & (column < width)[None, :])


@triton.jit
def _log_of_one_plus_exp(a):
    # log(1 + u) keeps a small u: what rounding takes from 1 + u, the quotient gives back (Kahan)
    u = tl.exp(-tl.abs(a))
    w = 1.0 + u
    return tl.maximum(a, 0.0) + tl.where(w == 1.0, u, tl.log(w) * (u / tl.where(w == 1.0, 1.0, w - 1.0)))


@triton.jit(do_not_specialize=["first_row"])
def softmax_kernel(
    logits,
    target,
    row_weight,
    nll,
    place,
    columns,
    stride,
    first_row,
    BLOCK: tl.constexpr,
    GRADS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One row of a chunk of logits: its loss, and in place of the logits their gradient times the row's weight.

    ``row_weight`` None: 1. ``place`` None: the loss is written where the row is; else added where ``place`` says.
    """
    line = logits + tl.program_id(0).to(tl.int64) * stride
    row = first_row + tl.program_id(0)
    wanted = tl.load(target + row)
    score = tl.load(line + wanted).to(tl.float32)
    # lower than any logit, but finite: its difference to minus infinity is not nan
    largest = tl.full((BLOCK,), -1e38, tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, columns, BLOCK):
        word = start + tl.arange(0, BLOCK)
        z = tl.load(line + word, mask=(word < columns) & (word != wanted), other=float("-inf")).to(tl.float32)
        # one exponential does for both: of the new logit, or of the sum so far if the new one is larger
        e = tl.exp(-tl.abs(z - largest))
        total = tl.where(z > largest, total * e + 1.0, total + e)
        largest = tl.maximum(largest, z)
    base = tl.max(largest, 0)
    others = tl.sum(total * tl.exp(largest - base), 0)
    loss = _log_of_one_plus_exp(_margin(base, others, score))
    if place is None:
        tl.store(nll + row, loss)
    else:
        at = nll + tl.load(place + row)
        tl.store(at, tl.load(at) + loss)
    if GRADS:
        high = tl.maximum(base, score)
        rest = others * tl.exp(base - high)
        everything = rest + tl.exp(score - high)
        factor = 1.0 / everything
        scale = 1.0
        if row_weight is not None:
            scale = tl.load(row_weight + row)
            factor *= scale
        for start in range(0, columns, BLOCK):
            word = start + tl.arange(0, BLOCK)
            z = tl.load(line + word, mask=word < columns, other=float("-inf")).to(tl.float32)
            share = tl.where(word == wanted, -rest, tl.exp(z - high)) * factor
            if row_weight is not None:  # a row that does not count leaves an exact zero, whatever its logits
                share = tl.where(scale == 0, 0.0, share)
            tl.store(line + word, _narrow(share, logits.dtype.element_ty, PRECISION), mask=word < columns)


#: Triton's interpreter (TRITON_INTERPRET=1 before triton is imported) runs the kernels on the CPU.
INTERPRETED = not isinstance(softmax_kernel, triton.JITFunction)


class Tiles(NamedTuple):
    """Sizes of one kernel's tiles, the warps of a program and the depth of its pipeline."""

    rows: int
    words: int
    columns: int
    """Of the width, a power of two; a wider tail is done in blocks of columns."""
    warps: int
    stages: int


def tiles(width: int, x: Tensor, owner: str = "rows") -> Tiles:
    """Tile sizes for a tail of this width, in a kernel whose programs own ``rows`` or ``words``.

    Chosen so that the owner's tile is at least 64 long (Hopper's matrix instructions ask for that), by registers and
    shared memory as compiled for that chip. On an H200, in bf16, those that own rows were compared with others and
    kept or changed (widths 16, 64 and 256); those that own words have not been compared.
    """
    columns = max(16, triton.next_power_of_2(width))
    if INTERPRETED:  # small, so that tiny tests have several tiles each way
        return Tiles(16, 16, min(columns, 32), 4, 1)
    room = _shared_memory(x.device)
    columns = min(columns, 64 if room < 90_000 else 128 if room < 140_000 or x.dtype == torch.float32 else 512)
    if x.dtype == torch.float32:
        own, other, stages = 64, 32, 2
    elif columns <= 128:
        own, other, stages = 128, 64, 3
    elif columns == 256:
        own, other, stages = 128, 64 if owner == "rows" else 32, 3
    else:
        own, other, stages = 64, 32, 2
    return Tiles(*((own, other) if owner == "rows" else (other, own)), columns, 8, stages)


def _shared_memory(device: torch.device) -> int:
    properties = torch.cuda.get_device_properties(device)
    return int(getattr(properties, "shared_memory_per_block_optin", 1 << 16))
