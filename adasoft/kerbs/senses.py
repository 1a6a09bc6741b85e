"""Senses of words: which word each sense belongs to, the scores of senses, and their sums by word in the logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import choice, integer, items
from ..inputs import check_hidden
from ..watchers import unreadable, watched
from .kernel import KERNELS, raised, theta_of

#: Senses that a word may have.
MOST = 4
#: Inside the square roots of lengths, whose gradient has no end at 0.
_EPSILON = 1e-12


def starting_words(n_words: int, senses: int | Sequence[int], many: int | None = None) -> Tensor:
    """The word of each sense at the start, (S,) int64: first one sense of each word, then the second ones, and so on.

    On the host. With M senses for all words, sense s belongs to word s mod V, as in the authors' code.

    >>> starting_words(3, 2), starting_words(3, [1, 3, 1])
    (tensor([0, 1, 2, 0, 1, 2]), tensor([0, 1, 2, 1, 1]))

    Args:
        n_words: number of words V.
        senses: 1 to 4 for all, or a number for each word.
        many: only the first so many words have several; the others have one.

    Raises ValueError for other numbers of senses.
    """
    given = items(senses)
    if given is None:
        each = [integer("senses", senses, 1, MOST)] * n_words
    else:
        each = [integer(f"senses[{w}]", number, 1, MOST) for w, number in enumerate(given)]
    if len(each) != n_words:
        raise ValueError(f"senses should hold one number per word, {n_words}, got {len(each)}")
    each = [number if many is None or w < many else 1 for w, number in enumerate(each)]
    return torch.tensor([w for m in range(MOST) for w in range(n_words) if each[w] > m], device="cpu")


def check_words(words: Tensor, n_words: int) -> Tensor:
    """Words of senses (S,) that give each of V words 1 to 4 senses. Otherwise ValueError, which names the word."""
    if words.dim() != 1 or words.dtype != torch.int64:
        raise ValueError(f"words should be int64 of shape (S,), got {words.dtype} of shape {tuple(words.shape)}")
    wrong = words[(words < 0) | (words >= n_words)]
    if len(wrong):
        raise ValueError(f"words should be from 0 to {n_words - 1}, got {int(wrong[0])}")
    each = torch.bincount(words, minlength=n_words)
    bad = ((each < 1) | (each > MOST)).nonzero()
    if len(bad):
        word = int(bad[0])
        raise ValueError(f"words should give each word 1 to {MOST} senses, got {int(each[word])} for word {word}")
    return words


def places_of(words: Tensor, n_words: int) -> Tensor:
    """The senses of each word, (V, the most of any word), in their order; S where a word has fewer.

    >>> places_of(torch.tensor([0, 1, 0]), 2)
    tensor([[0, 2],
            [1, 3]])
    """
    n_senses, each = len(words), torch.bincount(words, minlength=n_words)
    by_word = torch.argsort(words, stable=True)
    first = each.cumsum(0) - each
    column = torch.arange(n_senses, device=words.device) - first[words[by_word]]
    places = words.new_full((n_words, int(each.max())), n_senses)
    places[words[by_word], column] = by_word
    return places


def log_sum_by_word(scores: Tensor, places: Tensor) -> Tensor:
    """Log-sum-exp of the scores of each word's senses: (..., S) -> (..., V). Nothing underflows, nothing overflows.

    >>> log_sum_by_word(torch.tensor([[-1000.0, 2.0, -1000.0]]), torch.tensor([[0, 2], [1, 3]]))
    tensor([[-999.3068,    2.0000]])
    """
    if places.shape[1] == 1:
        return scores.index_select(-1, places[:, 0])
    with_none = F.pad(scores, (0, 1), value=-torch.inf)
    by_word = with_none.index_select(-1, places.reshape(-1))
    return by_word.reshape(*scores.shape[:-1], *places.shape).logsumexp(-1)


def sense_scores(x: Tensor, weight: Tensor, raw: Tensor | None, kind: str) -> Tensor:
    """``K`` of all senses, (n, S), fp32 at least: x (n, d), weight (S, d), raw (S,), of :func:`.kernel.theta_of`."""
    products = F.linear(x, weight)
    products = products.to(torch.promote_types(products.dtype, torch.float32))
    if raw is None:
        return products
    dtype = products.dtype
    lengths = [(v.to(dtype).square().sum(-1) + _EPSILON).sqrt() for v in (x, weight)]
    scale = lengths[0].unsqueeze(-1) * lengths[1]
    below_zero = "product" if kind == "released" else "kernel"
    return scale * raised(products / scale, theta_of(raw.to(dtype), kind), below_zero)


def check_finite(**values: Tensor | None) -> None:
    """RuntimeError, with the name, for what is not finite. Says nothing where no number may be read."""
    for name, value in values.items():
        if value is not None and not (watched() or unreadable(value)) and not bool(torch.isfinite(value).all()):
            raise RuntimeError(f"{name} should hold finite numbers, got nan or inf")


class SenseLogits(nn.Module):
    """A linear layer whose outputs are log-sum-exp over the senses of a word: (..., d) -> (..., V).

    Their softmax is the distribution of KerBS, so it stands wherever logits of words are asked for, for example as the
    head of an adaptive softmax.

    Parameters: ``weight`` (S, d); ``raw_theta`` (S,), zeros at the start, not with ``kernel="product"``. Buffer
    ``words`` (S,): the word of each sense, part of ``state_dict``. No bias, as in the paper.

    >>> SenseLogits(16, 10, senses=2)(torch.zeros(3, 16)).shape
    torch.Size([3, 10])

    Args:
        in_features: hidden size d.
        n_words: number of words V.
        senses: 1 to 4 senses for all words, or a number for each.
        kernel: one of :data:`.kernel.KERNELS`.
        many: only the first so many words have, and may ever get, several senses.
        device, dtype: of the parameters.
    """

    words: Tensor
    places: Tensor
    raw_theta: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        n_words: int,
        senses: int | Sequence[int] = 2,
        kernel: str = "free",
        *,
        many: int | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.n_words = integer("in_features", in_features, 1), integer("n_words", n_words, 1)
        self.kernel = choice("kernel", kernel, KERNELS)
        self.many = self.n_words if many is None else integer("many", many, 1, self.n_words)
        words = starting_words(self.n_words, senses, self.many)
        # the start of a Linear of this size
        self.weight = nn.Linear(self.in_features, len(words), bias=False, device=device, dtype=dtype).weight
        raw = None if kernel == "product" else nn.Parameter(self.weight.new_zeros(len(words)).detach())
        self.register_parameter("raw_theta", raw)
        self.register_buffer("words", words.to(self.weight.device))
        self.register_buffer("places", places_of(words, self.n_words).to(self.weight.device), persistent=False)

    @property
    def theta(self) -> Tensor:
        """theta of each sense, (S,), in the paper's sign; zeros for the inner product."""
        return torch.zeros_like(self.weight[:, 0]) if self.raw_theta is None else theta_of(self.raw_theta, self.kernel)

    def scores(self, input: Tensor) -> Tensor:
        """K of all senses: (..., d) -> (..., S), fp32 at least.

        Raises RuntimeError for an input that does not fit, and for input or parameters that are not finite.
        """
        check_hidden("input", input, self.in_features, self.weight)
        check_finite(input=input, weight=self.weight, raw_theta=self.raw_theta)
        flat = input.reshape(-1, self.in_features)
        found = sense_scores(flat, self.weight, self.raw_theta, self.kernel)
        return found.reshape(*input.shape[:-1], len(self.words))

    def forward(self, input: Tensor) -> Tensor:
        """Log-sum-exp of the scores by word, fp32 at least."""
        return log_sum_by_word(self.scores(input), self.places)

    @torch.no_grad()
    def assign(self, words: Tensor) -> None:
        """Give the senses to these words, (S,). ValueError unless each has 1 to 4, and those after ``many`` one."""
        words = check_words(words.detach().clone().to(self.words.device), self.n_words)
        if words.shape != self.words.shape:
            raise ValueError(f"words should hold {len(self.words)} senses, got {len(words)}")
        after = torch.bincount(words, minlength=self.n_words)[self.many :]
        if bool((after != 1).any()):
            raise ValueError(f"words from {self.many} on should have one sense each, got {int(after.max())}")
        self.words.copy_(words)
        self.places = places_of(words, self.n_words)

    def extra_repr(self) -> str:
        """Sizes, for ``print``."""
        return f"{self.in_features}, {self.n_words}, senses={len(self.words)}, kernel={self.kernel!r}"

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing: Any,
        unexpected: Any,
        errors: Any,
    ) -> None:
        rest, words = dict(state_dict), state_dict.get(prefix + "words")
        if isinstance(words, Tensor) and words.shape == self.words.shape and not words.is_meta:
            try:
                self.assign(words)
            except ValueError as error:
                errors.append(f"{prefix}words of the checkpoint: {error}")
                del rest[prefix + "words"]
                strict = False  # what is missing has been said
        super()._load_from_state_dict(rest, prefix, local_metadata, strict, missing, unexpected, errors)
