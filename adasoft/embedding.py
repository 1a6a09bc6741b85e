"""`AdaptiveEmbedding`: the adaptive input of Baevski & Auli (ICLR 2019), alone or tied to an `AdaptiveSoftmax`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import index, integer
from .children import plain, weight_of
from .inputs import check_ids
from .layer import AdaptiveSoftmax
from .loss import route, span
from .ranks import RankTables, target_ranks
from .watchers import reshaped, unreadable

if TYPE_CHECKING:
    from .planning import Plan


#: Places in a cluster (n,) -> the vectors of its words (n, d).
_Cluster: TypeAlias = Callable[[Tensor], Tensor]


class AdaptiveEmbedding(RankTables):
    r"""Word embeddings whose width falls with frequency: ids (...) -> vectors (..., d).

    The clusters are those of an :class:`AdaptiveSoftmax` with the same arguments. The ``c_1`` most frequent words
    have vectors of the full width; those of tail i have ``d_i`` numbers and share one projection (Baevski & Auli
    2019, section 3.1; their projection of the first cluster would be d x d and is left out):

    .. math:: x(w) = E_h[w], \qquad x(w) = P_i\, E_i[w - c_i]

    >>> embedding = AdaptiveEmbedding(10_000, 64, cutoffs=[500, 2_500])
    >>> embedding(torch.tensor([[0, 700, 9_999]])).shape
    torch.Size([1, 3, 64])
    >>> layer = AdaptiveSoftmax(64, 10_000, cutoffs=[500, 2_500])
    >>> AdaptiveEmbedding.tied(layer)(torch.tensor([3])).shape
    torch.Size([1, 64])

    Args:
        num_embeddings: number of words V.
        embedding_dim: width d of what comes out.
        cutoffs: ranks c_1 < ... < c_J, each between 1 and V - 1.
        div_value: tail i (from 1) gets the width ``d // div_value**i`` unless ``widths`` is given.
        widths: widths d_1 ... d_J of the tails.
        order: the V ids by falling frequency, for ids that are not sorted by frequency. It becomes one extra
            ``state_dict`` key, ``order``, and is compared on loading, as the layer's. Without it, an id is its rank.
        padding_idx: this id gives zeros, and no gradient flows from it. From -V to V - 1, as in ``nn.Embedding``.
        device, dtype: of the parameters.

    Parameters: ``head.weight`` (c_1, d), ``words.i.weight`` (k_i, d_i), ``projections.i.weight`` (d, d_i). All
    start normal, of deviation ``d_i ** -0.5`` (words) and ``d ** -0.5`` (projections), so that the vector of any
    word has about the length 1. :meth:`tied` reads a layer's words instead (:class:`TiedEmbedding`).

    Every parameter gets a gradient in every batch, zeros where no word of it occurs, so it works under
    DistributedDataParallel as it is. Gradients are dense, as those of ``nn.Embedding`` are. Under autocast the
    projections run in the lower precision, and the result has the parameters' dtype, as with ``nn.Embedding``.

    Its children are called, so hooks, parametrizations and adapters on them count. They are called for a cluster
    without words as well, with an input of no rows.

    Each forward sorts once and waits for the device once, to read the cluster sizes; backward does neither. Under
    ``torch.compile``,
    ``torch.export`` and ``torch.jit.trace``, on the meta device, for fake tensors and where ``vmap`` batches the ids, a
    static route that never waits for the device is taken: every token goes through every tail and a mask picks.
    That costs d (d_1 + ... + d_J) multiplications per token (d^2 / 3 with the default widths) and J vectors of width d
    per token in memory. An id out of range then gives a vector of nan, since nothing can be raised.
    """

    _edges: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        *,
        widths: Sequence[int] | None = None,
        order: Any = None,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = integer("num_embeddings", num_embeddings, 1)
        self.embedding_dim = integer("embedding_dim", embedding_dim, 1)
        self.padding_idx = _check_padding(padding_idx, self.num_embeddings)
        try:  # a layer without memory says what the clusters are, and what is wrong with them
            layer = AdaptiveSoftmax(
                self.embedding_dim, self.num_embeddings, cutoffs, div_value, widths=widths, order=order, device="meta"
            )
        except ValueError as error:
            text = str(error).replace("n_classes", "num_embeddings").replace("in_features", "embedding_dim")
            raise ValueError(text) from None
        self.cutoffs, self.widths, self.div_value = layer.cutoffs, layer.widths, layer.div_value
        self.shortlist_size, self.n_clusters = layer.shortlist_size, layer.n_clusters

        kwargs: dict[str, Any] = {"device": device, "dtype": dtype}
        self.head = nn.Embedding(self.shortlist_size, self.embedding_dim, **kwargs)
        self.words, self.projections = nn.ModuleList(), nn.ModuleList()
        for i, width in enumerate(self.widths):
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.words.append(nn.Embedding(size, width, **kwargs))
            self.projections.append(nn.Linear(width, self.embedding_dim, bias=False, **kwargs))
        self.reset_parameters()

        self._keep(**layer._tables)

    @classmethod
    def tied(
        cls, layer: AdaptiveSoftmax, *, tie_projections: bool = False, padding_idx: int | None = None
    ) -> TiedEmbedding:
        """The embedding that reads the words of ``layer``, and with ``tie_projections`` its projections too."""
        return TiedEmbedding(layer, tie_projections=tie_projections, padding_idx=padding_idx)

    def reset_parameters(self) -> None:
        """Initialise all weights again. A tied embedding leaves those of the layer alone."""
        for words in (self.head, *self.words):
            nn.init.normal_(words.weight, std=words.weight.shape[1] ** -0.5)  # type: ignore[arg-type, union-attr, index]
        self._reset_projections()

    def _reset_projections(self) -> None:
        for projection in self.projections:
            nn.init.normal_(projection.weight, std=self.embedding_dim**-0.5)  # type: ignore[arg-type]

    def _clusters(self) -> tuple[list[_Cluster], torch.device | None]:
        """The words of head and tails; and where they are, None where what hangs on them decides."""
        made: list[_Cluster] = [self.head, *map(_chain, self.words, self.projections)]
        return made, self.head.weight.device if plain(self.head, nn.Embedding) else None

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors of words.

        Args:
            ids: word ids (...), any integer dtype.

        Returns:
            (..., d), in the dtype of the parameters.

        Raises:
            IndexError: an id is out of range.
            RuntimeError: ``ids`` has another dtype or is on another device than the parameters.
        """
        clusters, device = self._clusters()
        check_ids("ids", ids)
        if device is not None and ids.device != device:
            raise RuntimeError(f"ids should be on the device of the embedding, {device}, got {ids.device}")
        flat = ids if ids.dim() == 1 else ids.reshape(-1)
        # Ranks: V stands for padding. Without padding_idx, the id V is given that place, and counts as out of range.
        padding = self.num_embeddings if self.padding_idx is None else self.padding_idx
        ranks = target_ranks(flat, self.num_embeddings, padding, self._table("_ranks", ids.device))
        beyond = self.num_embeddings - (self.padding_idx is None)
        if unreadable(ranks):
            out = self._forward_static(clusters, ranks, beyond)
        else:
            out = self._forward_routed(clusters, flat, ranks, beyond)
        return out if ids.dim() == 1 else reshaped(out, (*ids.shape, self.embedding_dim))

    def _forward_routed(self, clusters: list[_Cluster], ids: Tensor, ranks: Tensor, beyond: int) -> Tensor:
        routing, n_bad = route(ranks, self._table("_edges", ranks.device))
        n, (*sizes, n_padding) = routing.n_tokens, routing.sizes
        if self.padding_idx is None:
            n_bad += n_padding
        if n_bad:
            bad = ids[(ranks < 0) | (ranks > beyond)]
            raise IndexError(
                f"ids should be in [0, {self.num_embeddings - 1}], but values in range {span(bad)} were found. "
                f"{n_bad} of {len(ids)} ids are out of range."
            )
        # Sorted, each cluster's words are a slice, and its vectors go back to their places in one copy, in the
        # dtype of the head (autocast makes those of the tails lower).
        by_cluster = torch.split(routing.ranks[:n], sizes)
        starts = [0, *self.cutoffs]
        made = [c(words - start) for c, words, start in zip(clusters, by_cluster, starts, strict=False)]
        vectors = torch.cat(made)
        out = vectors.new_zeros(len(ids), self.embedding_dim)
        return out.index_copy(0, routing.permutation[:n], vectors)

    def _forward_static(self, clusters: list[_Cluster], ranks: Tensor, beyond: int) -> Tensor:
        """Shapes that do not depend on the ids: every token goes through every tail, a mask picks. Exact."""
        cluster = torch.bucketize(ranks, self._table("_edges", ranks.device)[1:-1], right=True)
        out = clusters[0](torch.where(cluster == 0, ranks, 0).clamp(min=0))
        for i in range(self.n_clusters):
            inside = cluster == i + 1
            vectors = clusters[i + 1](torch.where(inside, ranks - self.cutoffs[i], 0))
            out = torch.where(inside.unsqueeze(1), vectors, out)
        out = out.masked_fill((ranks == self.num_embeddings).unsqueeze(1), 0.0)
        return out.masked_fill(((ranks < 0) | (ranks > beyond)).unsqueeze(1), float("nan"))

    def _n_words(self) -> int:
        return self.num_embeddings

    def extra_repr(self) -> str:
        """Sizes, cutoffs and widths, for ``print``."""
        text = f"{self.num_embeddings}, {self.embedding_dim}, cutoffs={self.cutoffs[:-1]}, widths={self.widths}"
        text += "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return text + ("" if self.order is None else ", order=given")


class TiedEmbedding(AdaptiveEmbedding):
    """An :class:`AdaptiveEmbedding` whose words are those of an :class:`AdaptiveSoftmax`: one matrix for both uses.

    Clusters, widths, ``order``, device and dtype are the layer's. ``projections.i.weight`` (d, d_i) are the
    embedding's own, or with ``tie_projections`` there are none: those of the layer (d_i, d) are used, transposed.

    The words stay the layer's. It keeps a reference, registers nothing, and looks them up in each forward (the head's
    rows for the clusters are never read). So a model that holds both counts, saves and optimises each number once,
    under the layer's name; the gradients of both uses add; and whatever is done to the model keeps the tie:
    ``deepcopy``, pickling, ``to``, ``to_empty``, ``load_state_dict`` with ``assign=True``, DistributedDataParallel.
    No two keys of a checkpoint share memory, so any format takes it. The price: ``parameters()`` and ``to`` of the
    embedding alone do not reach the words. Give a model, or each of those calls, both.

    What hangs on the layer's Linears: the weights read are those that a call would multiply by (pruning masks,
    parametrizations, weight and spectral norm). A Linear replaced by something else has no such weight: RuntimeError,
    with its name.

    FSDP2: the two must be in one group: ``fully_shard([embedding, layer])``, or only the module around them. Else
    forward raises RuntimeError. ``nn.DataParallel`` cannot copy it, which raises RuntimeError. ``torch.export`` with
    ``strict=True`` finds the words only in a module that holds both.
    """

    def __init__(
        self, layer: AdaptiveSoftmax, *, tie_projections: bool = False, padding_idx: int | None = None
    ) -> None:
        nn.Module.__init__(self)
        if not isinstance(layer, AdaptiveSoftmax):
            raise TypeError(f"layer should be an AdaptiveSoftmax, got {type(layer).__name__}")
        self._layer = (layer,)  # in a tuple, so that it does not become a child
        self.num_embeddings, self.embedding_dim = layer.n_classes, layer.in_features
        self.padding_idx = _check_padding(padding_idx, self.num_embeddings)
        self.cutoffs, self.widths, self.div_value = list(layer.cutoffs), list(layer.widths), layer.div_value
        self.shortlist_size, self.n_clusters = layer.shortlist_size, layer.n_clusters
        self.tie_projections = bool(tie_projections)
        kwargs: dict[str, Any] = {"device": layer.head.weight.device, "dtype": layer.head.weight.dtype}
        own = [] if self.tie_projections else self.widths
        self.projections = nn.ModuleList(nn.Linear(width, self.embedding_dim, bias=False, **kwargs) for width in own)
        self._reset_projections()

    def _replicate_for_data_parallel(self) -> Any:
        raise RuntimeError(
            "a TiedEmbedding cannot be copied by nn.DataParallel: its copies would read the words of the layer on the "
            "first device. Use DistributedDataParallel, or an AdaptiveEmbedding, which has words of its own"
        )

    # no tables of its own to place, to save or to compare
    _apply = nn.Module._apply
    _save_to_state_dict = nn.Module._save_to_state_dict
    _load_from_state_dict = nn.Module._load_from_state_dict  # type: ignore[assignment]

    @property
    def layer(self) -> AdaptiveSoftmax:
        """The layer whose words these are."""
        return self._layer[0]

    @property
    def order(self) -> Tensor | None:  # type: ignore[override]
        """The layer's ``order``."""
        return self.layer.order

    def reset_parameters(self) -> None:
        """Initialise the embedding's own projections again; the layer's weights are left to the layer."""
        self._reset_projections()

    def _clusters(self) -> tuple[list[_Cluster], torch.device | None]:
        layer = self.layer
        head = weight_of(layer.head, "the layer's head")
        if hasattr(head, "full_tensor"):
            raise RuntimeError(
                "the layer's words are sharded (FSDP2) while the embedding reads them; the two should be in one group: "
                "fully_shard([embedding, layer]), or fully_shard of the module around them only"
            )
        made: list[_Cluster] = [partial(F.embedding, weight=head)]
        for i, tail in enumerate(layer.tail):
            if not isinstance(tail, nn.Sequential) or len(tail) != 2:
                raise RuntimeError(
                    f"the layer's tail.{i} should be a Sequential of projection and words, since its weights are read "
                    f"as words, got a {type(tail).__name__}. Use an embedding that is not tied"
                )
            words = partial(F.embedding, weight=weight_of(tail[1], f"the layer's tail.{i}.1"))
            # the layer's projections go down from d to d_i, the embedding's up
            up: Any = None if self.tie_projections else self.projections[i]
            if up is None:
                up = partial(F.linear, weight=weight_of(tail[0], f"the layer's tail.{i}.0").t())
            made.append(_chain(words, up))
        return made, head.device

    def _table(self, name: str, device: torch.device) -> Any:
        return self.layer._table(name, device)

    def extra_repr(self) -> str:
        """Sizes, cutoffs, widths and what is tied, for ``print``."""
        return super().extra_repr() + (", words and projections tied" if self.tie_projections else ", words tied")


def _chain(words: _Cluster, projection: Callable[[Tensor], Tensor]) -> _Cluster:
    return lambda places: projection(words(places))


def _check_padding(padding_idx: Any, n_words: int) -> int | None:
    if padding_idx is None:
        return None
    place = index(padding_idx)
    if place is None:
        raise TypeError(f"padding_idx should be an int or None, got {padding_idx!r}")
    if not -n_words <= place < n_words:
        raise ValueError(f"padding_idx should be between {-n_words} and {n_words - 1}, got {padding_idx!r}")
    return place % n_words


# ---------------------------------------------------------------- what is saved


class Saving(NamedTuple):
    """One way to build the input and output words of a model."""

    name: str
    parameters: int
    bytes: int
    """Of the parameters alone; gradients take as much again, and Adam's state twice as much."""
    share: float
    """Of the full embedding and full softmax's parameters."""


def savings(source: AdaptiveSoftmax | Plan, *, dtype: torch.dtype | None = None) -> list[Saving]:
    """Parameters and bytes of input and output words: full, adaptive, and tied, for a layer's or plan's clusters.

    ``dtype`` of the parameters: by default the layer's, for a plan fp32. A layer with a bias is compared with a full
    softmax with a bias. Print it with :func:`table`.

    >>> for row in savings(AdaptiveSoftmax(64, 10_000, cutoffs=[500, 2_500])):
    ...     print(f"{row.parameters:>9,} {row.name}")
    1,280,000 full embedding + full softmax
      640,000 full, words tied
      190,688 adaptive embedding + adaptive softmax
       96,688 adaptive, words tied
       95,408 adaptive, words and projections tied
    """
    cutoffs, widths, d, V = list(source.cutoffs), source.widths, source.in_features, source.n_classes
    bias = False
    if isinstance(source, AdaptiveSoftmax):
        cutoffs.pop()
        bias, dtype = source.head_bias, dtype or source.head.weight.dtype
    edges = [*cutoffs, V]
    shortlist, n_tails = edges[0], len(widths)
    words = shortlist * d + sum((b - a) * width for (a, b), width in zip(pairwise(edges), widths, strict=True))
    projections = d * sum(widths)
    full = V * (d + bias)
    layer = words + n_tails * d + projections + bias * (shortlist + n_tails)
    counts = {
        "full embedding + full softmax": V * d + full,
        "full, words tied": full,
        "adaptive embedding + adaptive softmax": words + projections + layer,
        "adaptive, words tied": projections + layer,
        "adaptive, words and projections tied": layer,
    }
    size = (dtype or torch.float32).itemsize
    most = next(iter(counts.values()))
    return [Saving(name, n, n * size, n / most) for name, n in counts.items()]


def table(rows: Sequence[Saving]) -> str:
    """The rows of :func:`savings` as text, in aligned columns."""
    cells = [("", "parameters", "MiB", "of full")]
    cells += [(r.name, f"{r.parameters:,}", f"{r.bytes / 2**20:,.1f}", f"{r.share:.1%}") for r in rows]
    width = [max(len(line[i]) for line in cells) for i in range(4)]
    return "\n".join(
        "  ".join([line[0].ljust(width[0]), *(line[i].rjust(width[i]) for i in (1, 2, 3))]).rstrip() for line in cells
    )
