"""Exact decoding: the best words, draws and scores over head and tails, without the tails that cannot matter.

A word's log-probability in tail i is that of its cluster plus its own within the tail,

    log p(w) = log p_head(i) + z . w - lse_i(z),    z = P_i x,    lse_i(z) = log sum_v exp(z . v).

Three tests, each sharper and more expensive than the last, keep a (row, tail) pair out of the search for the k best:

1. The second part is at most 0: nothing is done for a row whose cluster lies below its k-th best word so far.
2. From block averages of the tail's weights: for blocks b of n_b words with mean m_b and radius r_b, z . w is at most
   max_b (z . m_b + |z| r_b) by Cauchy-Schwarz, and lse_i(z) is at least log sum_b n_b exp(z . m_b) by Jensen's
   inequality. This costs a 64th of the tail and no logits; it nearly always settles narrow tails.
3. Once the logits are there, their largest one replaces the first bound, and z . m_b is the average of a block's
   logits; the sum over all words is still not made.

Only pairs that pass all three (a few per cent for the ten best words of a trained layer) pay for normalisation and
search. The first test alone, in rank order, would open nearly every pair for k = 10.

The averages of test 2 are computed in each call: nothing is kept, so that no change of the weights can be missed, not
even one that autograd does not see (fused optimisers, ``.data``, another process). They take some three passes over a
tail's weights, as long as the logits of some twenty rows; so on a CPU fewer than 32 rows go on to test 3 without. (A
checksum that sees every change for certain would have to read all weights as well, and for one row that is what the
logits take.)

On a CPU the tests themselves cost some thirty small operations per tail. Where all words cost less, they are computed
at once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from .records import cpu_name
from .tuning import BOUND_ROWS, CHUNK_ELEMENTS, COLUMN_ROWS, COLUMN_WEIGHTS, FEW_LOGITS, SMALL_PRICE

#: Words per block: of the bounds, and of the maxima that a search for the best words goes by.
BLOCK = 64


class TopK(NamedTuple):
    """``values`` (..., k) log-probabilities in falling order and ``indices`` (..., k), the user's ids."""

    values: Tensor
    indices: Tensor


class Blocks(NamedTuple):
    """What is known of a tail's words without looking at each: fp32 (fp64 for fp64 weights)."""

    means: Tensor
    """(blocks, d_i): mean of each block of weights."""
    radii: Tensor
    """(blocks,): largest distance of a word from its block's mean."""
    log_sizes: Tensor
    """(blocks,): logarithm of the number of words."""
    largest: Tensor
    """(): largest norm of a word; how far rounding can move a logit depends on it."""


#: What gives the log-probabilities of short-list and clusters: weight (c_1 + J, d) and bias; or a function of x (N, d)
#: that gives them at once, (N, V), where there are no tails.
Head: TypeAlias = tuple[Tensor, Tensor | None] | Callable[[Tensor], Tensor]


class Tail(NamedTuple):
    """A tail's weights in the dtype of the products."""

    projection: Tensor
    """(d_i, d)"""
    weight: Tensor
    """(k_i, d_i)"""


def block_bounds(weight: Tensor) -> Blocks:
    """Summary of a tail's output weight (k_i, d_i), by blocks of 64 consecutive words; three passes over it."""
    weight = _statistics(weight.detach())
    words, width = weight.shape
    norms = weight.norm(dim=1)
    whole = words // BLOCK * BLOCK
    cuts = [slice(0, whole), slice(whole, words)]
    # Error of a squared distance, in squares of the largest norm: of a product, and of sums over the width.
    error = 4 * _product_error(weight.dtype) + 2 * (width + 4) * torch.finfo(weight.dtype).eps
    means, radii, log_sizes = [], [], []
    for cut, size in zip(cuts, (BLOCK, words - whole), strict=True):
        if cut.start == cut.stop:
            continue
        part, own = weight[cut].view(-1, size, width), norms[cut].view(-1, size)
        mean = part.mean(1)
        # |w - m|^2 = |w|^2 - 2 m . w + |m|^2: the differences themselves would take as much memory as the weights
        along = torch.bmm(mean.unsqueeze(1), part.transpose(1, 2)).squeeze(1)
        squares = (own.square() - 2 * along).amax(1) + mean.square().sum(1)
        radii.append((squares.clamp(min=0) + error * own.amax(1).square()).sqrt())
        means.append(mean)
        log_sizes.append(mean.new_full((len(mean),), math.log(size)))
    return Blocks(torch.cat(means), torch.cat(radii), torch.cat(log_sizes), norms.amax())


def _product_error(dtype: torch.dtype) -> float:
    """How far rounding can move a product of two vectors, as a share of the product of their norms."""
    if dtype != torch.float32:
        return torch.finfo(dtype).eps
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # set for one backend and not for another
        precision = "medium"
    return {"highest": torch.finfo(dtype).eps, "high": 2.0**-10}.get(precision, 2.0**-7)


def topk_ranks(
    x: Tensor,
    head: Head,
    cutoffs: list[int],
    tails: list[Tail],
    k: int,
    *,
    small: int | None = None,
    bounds: Callable[[Tensor], Blocks] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``k`` best words of every row, as (values, ranks), each (N, k), and which pairs were opened, (N, J) bool.

    ``x`` (N, d); ``head``: weight (c_1 + J, d) and bias; ``cutoffs`` = [c_1, ..., V]. A pair counts as opened if the
    tail's logits were computed for the row (tests 1 and 2 did not settle it); with ``small=0`` only if they had to be
    (``small``: in place of :data:`SMALL_PRICE`; 0 also makes test 2 for few rows). ``bounds``: gives the blocks of a
    tail's weight where they are needed, :func:`block_bounds` once for each tail unless another is passed.
    Words of equal probability come in no set order. Values are log-probabilities, fp32 at least.
    """
    n, shortlist, n_tails = len(x), cutoffs[0], len(tails)
    small = SMALL_PRICE if small is None else small

    # Few words in all: compute each of them.
    if tails and x.device.type == "cpu" and n * sum(map(_price, tails)) <= small * n_tails:
        log_prob = head_log_prob(x, head)
        parts = [tail_log_prob(x, tail).add_(log_prob[:, shortlist + i, None]) for i, tail in enumerate(tails)]
        return *largest(torch.cat([log_prob[:, :shortlist], *parts], 1), k), x.new_ones(n, n_tails, dtype=torch.bool)

    bounds = functools.cache(block_bounds) if bounds is None else bounds
    values = x.new_empty(n, k, dtype=_statistics_dtype(x.dtype))
    ranks = torch.empty(n, k, dtype=torch.long, device=x.device)
    opened = x.new_zeros(n, n_tails, dtype=torch.bool)
    for part in _slices(n, shortlist + n_tails):
        # The best words of the short-list; places that it cannot fill are left empty.
        rows = x[part]
        log_prob = head_log_prob(rows, head)
        found = min(k, shortlist)
        best, where = largest(log_prob[:, :shortlist], found)
        if found < k:
            best = torch.cat([best, best.new_full((len(rows), k - found), -torch.inf)], 1)
            where = torch.cat([where, where.new_full((len(rows), k - found), -1)], 1)
        # Tail by tail, the words that belong among them.
        for i, tail in enumerate(tails):
            cluster = log_prob[:, shortlist + i]
            chosen = _search_tail(rows, cluster, tail, best, where, cutoffs[i], small, bounds)
            opened[part, i] = True if chosen is None else opened[part, i].index_fill(0, chosen, True)
        values[part], ranks[part] = best, where
    return values, ranks, opened


def _merged(best: Tensor, where: Tensor, others: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
    """The k best of (n, k) words and of others."""
    both, both_ranks = torch.cat([best, others], 1), torch.cat([where, ranks], 1)
    # places still empty lose against words of equal value (-inf)
    key = torch.where(both_ranks < 0, -torch.inf, both.clamp(min=torch.finfo(both.dtype).min))
    order = key.topk(best.shape[1], dim=1).indices
    return both.gather(1, order), both_ranks.gather(1, order)


def _search_tail(
    x: Tensor,
    cluster: Tensor,
    tail: Tail,
    best: Tensor,
    where: Tensor,
    start: int,
    small: int,
    bounds: Callable[[Tensor], Blocks],
) -> Tensor | None:
    """Put a tail's words into ``best`` (N, k) and ``where`` (N, k) if they belong there. Returns the rows opened, or
    None for all of them."""
    k, words = best.shape[1], len(tail.weight)
    # Test 1. How far below its cluster a row's k-th best word lies. Every test is "not below", so that nan, and words
    # of probability zero for places still empty, get through.
    reach = cluster - best[:, -1]
    rows = _passing(reach, 0.0)
    x, reach = _pick(x, rows), _pick(reach, rows)
    if not len(x):
        return rows

    # Few words: look at each.
    if x.device.type == "cpu" and len(x) * _price(tail) <= small:
        inside, index = largest(tail_log_prob(x, tail), min(k, words))
        inside += _pick(cluster, rows).unsqueeze(1)
        found = _merged(_pick(best, rows), _pick(where, rows), inside, index + start)
        own = slice(None) if rows is None else rows
        best[own], where[own] = found
        return rows

    # Test 2. Bounds from averages of blocks of words.
    z = linear(x, tail.projection)
    least = None  # known of the rows' log-sum-exp so far
    if len(z) >= BOUND_ROWS or small <= 0 or x.device.type != "cpu":
        s = _statistics(z)
        blocks = bounds(tail.weight)
        inner, norm = s @ blocks.means.t(), s.norm(dim=1)
        # Rounding: of the products that are compared, and of the logits themselves in their own precision.
        error = _product_error(z.dtype) + _product_error(s.dtype) + s.shape[1] * torch.finfo(s.dtype).eps
        doubt = norm * (blocks.largest * error)
        least = log_sum_exp(inner + blocks.log_sizes) - doubt
        most = torch.addcmul(inner, norm.unsqueeze(1), blocks.radii).amax(1) + doubt
        passed = _passing(reach, least - most)
        rows = passed if rows is None else _pick(rows, passed)
        z, reach, least = _pick(z, passed), _pick(reach, passed), _pick(least, passed)

    # Test 3. Bounds from the logits; then the best words of the rows that pass.
    for part, logits in chunked_logits(z, tail.weight):
        maxima = block_maxima(logits)
        still = None
        if maxima is not None:
            low = _least_log_sum_exp(logits) if least is None else least[part]
            still = _passing(reach[part], low - _statistics(maxima.amax(1)))
            if still is not None and not len(still):
                continue
            logits, maxima = _pick(logits, still), _pick(maxima, still)
        own = torch.arange(part.start, part.stop, device=x.device) if still is None else still + part.start
        own = own if rows is None else rows[own]
        inside, index = largest(logits, min(k, words), maxima)
        inside = _statistics(inside) + (cluster[own] - log_sum_exp(logits)).unsqueeze(1)
        best[own], where[own] = _merged(best[own], where[own], inside, index + start)
    return rows


def _price(tail: Tail) -> int:
    """Of all words of a tail for one row, in multiplications: normalisation and search take as long as some 32."""
    words, width = tail.weight.shape
    return words * (width + 32)


def _passing(reach: Tensor, bound: Tensor | float) -> Tensor | None:
    """Rows whose reach is not below the bound; None for all of them (then nothing need be copied)."""
    passed = ~(reach < bound)
    return None if bool(passed.all()) else passed.nonzero().squeeze(1)


def _pick(values: Tensor, rows: Tensor | None) -> Tensor:
    return values if rows is None else values[rows]


def chunked_logits(z: Tensor, weight: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Logits of rows ``z`` (n, d_i), some rows at a time, in one buffer that is used again."""
    buffer = None
    for part in _slices(len(z), len(weight)):
        rows = z[part]
        if len(rows) <= COLUMN_ROWS:
            yield part, linear(rows, weight)
            continue
        if buffer is None:
            buffer = z.new_empty(len(rows), len(weight))
        yield part, torch.mm(rows, weight.t(), out=buffer[: len(rows)])


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``, (n, d) and (k, d) -> (n, k), also fast for one to four rows on an AMD processor.

    For those the weights have to come from memory once, and there MKL's matrix-vector product was seen to read them
    at half the speed of its matrix product with two columns (AMD EPYC, d of 64 and more). So few rows become columns,
    and a single row is there twice. On an Intel Xeon that took 2.5 times as long. Small weights are left to the plain
    product everywhere: threads of a matrix product wait for each other several times, which is long on a busy machine.
    """
    n = len(x)
    few = x.device.type == "cpu" and 0 < n <= COLUMN_ROWS and x.dtype == torch.float32
    if not few or x.shape[1] < 64 or weight.numel() < COLUMN_WEIGHTS or not _columns_pay():
        return torch.nn.functional.linear(x, weight, bias)
    columns = x.contiguous() if n > 1 else torch.cat([x, x])  # either must lie row by row for the fast kernel
    out = torch.mm(weight, columns.t()).t()[:n].contiguous()
    return out if bias is None else out.add_(bias)


@functools.cache
def _columns_pay() -> bool:
    mkl: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return mkl and "AMD" in cpu_name().replace("AMD64", "")


def block_maxima(values: Tensor) -> Tensor | None:
    """(n, K // 64) maxima over blocks of columns and one for the rest; None where that does not pay."""
    words = values.shape[1]
    whole = words // BLOCK * BLOCK
    if whole < 4 * BLOCK:
        return None
    maxima = values[:, :whole].reshape(len(values), -1, BLOCK).amax(2)
    return maxima if whole == words else torch.cat([maxima, values[:, whole:].amax(1, keepdim=True)], 1)


def _least_log_sum_exp(logits: Tensor) -> Tensor:
    """A number that the log-sum-exp of each row is not below, (n,), by Jensen's inequality: of averages by blocks."""
    words = logits.shape[1]
    whole = words // BLOCK * BLOCK
    dtype = _statistics_dtype(logits.dtype)
    means = logits[:, :whole].reshape(len(logits), -1, BLOCK).mean(2, dtype=dtype)
    least = log_sum_exp(means) + math.log(BLOCK)
    if whole == words:
        return least
    return torch.logaddexp(least, logits[:, whole:].mean(1, dtype=dtype) + math.log(words - whole))


def largest(values: Tensor, k: int, maxima: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The ``k`` largest of each row, and where: ``topk`` that looks only into the k blocks with the largest maxima.

    Those hold the k largest numbers: a number in any other block is below k maxima. A topk over everything would
    copy every value with its index first.
    """
    words = values.shape[1]
    if words <= 8 * BLOCK * k or values.numel() <= FEW_LOGITS or values.device.type != "cpu":
        found = values.topk(k, dim=1)
        return found.values, found.indices
    maxima = block_maxima(values) if maxima is None else maxima
    assert maxima is not None
    blocks = maxima.topk(k, dim=1, sorted=False).indices
    places = (blocks.unsqueeze(2) * BLOCK + torch.arange(BLOCK, device=values.device)).flatten(1)
    # the last block may be short: places beyond the end repeat its last word, but must not be found twice
    beyond = places >= words
    candidates = values.gather(1, places.clamp(max=words - 1)).masked_fill(beyond, -torch.inf)
    key = torch.where(beyond, -torch.inf, candidates.nan_to_num(nan=torch.inf, neginf=torch.finfo(values.dtype).min))
    order = key.topk(k, dim=1).indices
    return candidates.gather(1, order), places.gather(1, order)


def head_log_prob(x: Tensor, head: Head) -> Tensor:
    """Log-probabilities of short-list and clusters, (N, c_1 + J), fp32 at least."""
    return head(x) if callable(head) else log_softmax(linear(x, *head))


def log_softmax(logits: Tensor) -> Tensor:
    """Log-softmax of each row with statistics in fp32 at least."""
    return torch.log_softmax(logits, 1, dtype=_statistics_dtype(logits.dtype))


def log_sum_exp(logits: Tensor) -> Tensor:
    """Log-sum-exp of each row, (n,), fp32 at least."""
    # the fused softmax reads each row from the cache once; logsumexp makes three passes with copies between them
    return (_statistics(logits[:, 0]) - log_softmax(logits)[:, 0]) if len(logits) else _statistics(logits.sum(1))


def tail_log_prob(x: Tensor, tail: Tail) -> Tensor:
    """Log-probabilities within a tail, (n, k_i), fp32 at least."""
    return log_softmax(linear(linear(x, tail.projection), tail.weight))


def agreement(ours: Tensor, full: Tensor, k: int) -> float:
    """Share of the full model's ``k`` best words (n, >= k) that are among ours."""
    return float((full[:, :k].unsqueeze(2) == ours[:, :k].unsqueeze(1)).any(2).float().mean())


def accuracy(ours: Tensor, target: Tensor, k: int) -> float:
    """Share of the targets (n,) that are among our ``k`` best words (n, >= k)."""
    return float((ours[:, :k] == target.unsqueeze(1)).any(1).float().mean())


# ---------------------------------------------------------------------- draws and scores


def _draw(log_prob: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """``n`` draws per row of (N, k) log-probabilities by inverse cumulative probability, in fp64."""
    mass = _in_double(log_prob).exp().cumsum(1)
    _check_mass(mass[:, -1])
    u = _uniform(len(log_prob), n, log_prob.device, generator)
    # right=True passes over words of probability zero; the clamp covers u * total rounding up to the total
    found = torch.searchsorted(mass, u * mass[:, -1:], right=True).clamp(max=log_prob.shape[1] - 1)
    return found.to(log_prob.device)


def _in_double(values: Tensor) -> Tensor:
    """In fp64; on the CPU if the device has none, as Apple's."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _uniform(rows: int, n: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    dtype = torch.float32 if device.type == "mps" else torch.float64
    # under torch.compile sizes can be symbols, which torch.rand does not take beside a generator, not even None
    chosen: Any = {} if generator is None else {"generator": generator}
    return _in_double(torch.rand(rows, n, dtype=dtype, device=device, **chosen))


def _check_mass(total: Tensor) -> None:
    if not bool((total > 0).all()):
        raise ValueError(
            "the probabilities are not finite, so nothing can be drawn from them: the weights hold nan or infinite "
            "numbers, or their logits overflow the dtype"
        )


def sample_ranks(
    x: Tensor,
    head: Head,
    cutoffs: list[int],
    tails: list[Tail],
    n: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """``n`` independent words per row from the exact distribution, as ranks (N, n). Arguments as `topk_ranks`.

    A tail is opened for the rows whose draw of the cluster fell on it.
    """
    shortlist = cutoffs[0]
    parts = [_draw(head_log_prob(x[part], head), n, generator) for part in _slices(len(x), shortlist + len(tails))]
    out = torch.cat(parts) if parts else torch.empty(0, n, dtype=torch.long, device=x.device)
    clusters = out - shortlist
    for i, tail in enumerate(tails):
        chosen = clusters == i
        for rows in _split(chosen.any(1).nonzero().squeeze(1), len(tail.weight)):
            drawn = _draw(tail_log_prob(x[rows], tail), n, generator) + cutoffs[i]
            out[rows] = torch.where(chosen[rows], drawn, out[rows])
    return out


def nucleus_ranks(
    x: Tensor,
    head: Head,
    cutoffs: list[int],
    tails: list[Tail],
    mass: float,
    n: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """``n`` draws per row from the nucleus, the fewest words whose probabilities sum to at least ``mass``: (N, n).

    The words are taken in falling order of probability until the sum is reached, 64 at first and eight times as many
    as long as it is not. So peaked rows open few tails; the mass is that of the exact distribution.
    """
    n_words, bounds = cutoffs[-1], functools.cache(block_bounds)
    out = torch.empty(len(x), n, dtype=torch.long, device=x.device)
    left = torch.arange(len(x), device=x.device)
    k = min(64, n_words)
    while len(left):
        # The k best words of the rows that still lack mass.
        unfinished = []
        for rows in _split(left, 4 * k):
            values, ranks, _ = topk_ranks(x[rows], head, cutoffs, tails, k, bounds=bounds)
            total = _in_double(values).exp().cumsum(1)
            if k == n_words:
                _check_mass(total[:, -1])
            # Rows whose words reach it are drawn from; the others come back with more words.
            finished = (total[:, -1] >= mass) | torch.tensor(k == n_words, device=total.device)
            done = finished.to(x.device)
            unfinished.append(rows[~done])
            total, ranks, rows = total[finished], ranks[done], rows[done]
            # the word that reaches the mass belongs to the nucleus; rounding may leave the sum of all just below it
            size = torch.searchsorted(total, total.new_full((len(total), 1), mass)).clamp(max=k - 1)
            u = _uniform(len(total), n, x.device, generator)
            at = torch.searchsorted(total, u * total.gather(1, size), right=True)
            out[rows] = ranks.gather(1, torch.minimum(at, size).to(x.device))
        left = torch.cat(unfinished)
        k = min(8 * k, n_words)
    return out


def score_ranks(x: Tensor, head: Head, cutoffs: list[int], tails: list[Tail], ranks: Tensor) -> Tensor:
    """Log-probabilities of given words, (N, m), fp32 at least. ``ranks`` (N, m).

    The head is normalised for every row, a tail only for the rows that ask for one of its words.
    """
    shortlist = cutoffs[0]
    out = x.new_empty(ranks.shape, dtype=_statistics_dtype(x.dtype))
    edges = torch.tensor(cutoffs[:-1], device=x.device)
    number = torch.bucketize(ranks, edges, right=True) - 1
    column = torch.where(number < 0, ranks, number + shortlist)
    for part in _slices(len(x), shortlist + len(tails)):
        out[part] = head_log_prob(x[part], head).gather(1, column[part])
    for i, tail in enumerate(tails):
        inside = number == i
        for rows in _split(inside.any(1).nonzero().squeeze(1), len(tail.weight)):
            within = tail_log_prob(x[rows], tail).gather(1, torch.where(inside[rows], ranks[rows] - cutoffs[i], 0))
            out[rows] += torch.where(inside[rows], within, 0.0)
    return out


def _statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _statistics(values: Tensor) -> Tensor:
    return values.to(_statistics_dtype(values.dtype))


def _slices(n: int, n_words: int) -> list[slice]:
    rows = max(1, CHUNK_ELEMENTS // max(n_words, 1))
    return [slice(start, min(start + rows, n)) for start in range(0, n, rows)]


def _split(rows: Tensor, n_words: int) -> list[Tensor]:
    return [rows[part] for part in _slices(len(rows), n_words)]
