"""Language models: word embeddings, a body that carries state from window to window, and any softmax.

    model = LanguageModel(nn.Embedding(V, 256), Recurrent(256, [512], "lstm"), softmax)
    loss, state = model(ids, target, state)          # ids, target (b, T)

A *body* is a module with ``in_features``, ``out_features`` and ``forward(x, state) -> (hidden, state)``, x (b, T, e),
hidden (b, T, d). A *state* is None (at the start), a tensor, or a tuple of states; it is carried over, without
gradients, from one window to the next (truncated back-propagation through time).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..attention import Decoder
from ..checks import integer
from .generation import generate

#: A tensor, a tuple of states, or None.
State = Any

#: Recurrent cells by name. All but ``rnn-sigmoid`` run in torch's own loops, and in cuDNN on a GPU.
CELLS = ("lstm", "gru", "rnn-tanh", "rnn-relu", "rnn-sigmoid")


def map_state(function: Callable[[Tensor], Tensor], state: State) -> State:
    """``function`` of every tensor of a state."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return function(state)
    return tuple(map_state(function, part) for part in state)


def state_tensors(state: State) -> list[Tensor]:
    """The tensors of a state, in order."""
    if state is None:
        return []
    return [state] if isinstance(state, Tensor) else [t for part in state for t in state_tensors(part)]


def detached(state: State) -> State:
    """The state without its history: no gradient flows back through it."""
    return map_state(Tensor.detach, state)


class ElmanCell(nn.Module):
    r"""One step of an Elman network (1990): :math:`h' = \sigma(W x + U h + b)`; (b, e), (b, d) -> (b, d).

    Args:
        in_features: size e of the input.
        out_features: size d of the state, which is the output as well.
        activation: sigma.
    """

    def __init__(
        self, in_features: int, out_features: int, activation: Callable[[Tensor], Tensor] = torch.sigmoid
    ) -> None:
        super().__init__()
        self.input = nn.Linear(in_features, out_features)
        self.recurrent = nn.Linear(out_features, out_features, bias=False)
        self.activation = activation

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """One step; ``state`` None is zeros."""
        h = self.input(x)
        h = self.activation(h if state is None else h + self.recurrent(state))
        return h, h


class Stepwise(nn.Module):
    """A body that runs a cell of your own, ``cell(x, state) -> (output, state)``, step by step.

    >>> body = Stepwise(4, 3, ElmanCell(4, 3))
    >>> hidden, state = body(torch.zeros(2, 5, 4))
    >>> hidden.shape, state.shape
    (torch.Size([2, 5, 3]), torch.Size([2, 3]))

    Args:
        in_features: size e of what the cell takes, (b, e).
        out_features: size of its output, (b, d). It is checked at the first step.
        cell: a module or a function; at the start it gets None as state. Its state is a tensor, or a tuple of states.
    """

    def __init__(self, in_features: int, out_features: int, cell: Callable[[Tensor, State], tuple[Tensor, State]]):
        super().__init__()
        if not callable(cell):
            raise TypeError(f"cell should be callable as cell(x, state) -> (output, state), got {cell!r}")
        self.in_features, self.out_features = (
            integer("in_features", in_features, 1),
            integer("out_features", out_features, 1),
        )
        self.cell = cell

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """All steps: x (b, T, e) -> (b, T, d), and the state after the last.

        Raises TypeError or ValueError if the cell returns anything but such a pair.
        """
        outputs = []
        for step in x.unbind(1):
            pair = self.cell(step, state)
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError(f"cell should return a pair (output, state), got {type(pair).__name__}")
            output, state = pair
            if output.shape != (len(x), self.out_features):
                raise ValueError(
                    f"cell should return an output of shape ({len(x)}, {self.out_features}), got {tuple(output.shape)}"
                )
            outputs.append(output)
        return torch.stack(outputs, 1), state


class Recurrent(nn.Module):
    """Stacked recurrent layers: x (b, T, e) -> (b, T, d).

    >>> body = Recurrent(4, [8, 3], "gru")
    >>> hidden, state = body(torch.zeros(2, 5, 4))
    >>> hidden.shape, len(state)
    (torch.Size([2, 5, 3]), 2)

    Args:
        in_features: size e of the input.
        sizes: hidden sizes of the layers, at least one; the last is d.
        cell: one of :data:`CELLS`: LSTM (Hochreiter and Schmidhuber 1997), GRU (Cho et al. 2014), or an Elman
            network with tanh, ReLU or sigmoid.
        dropout: between the layers, in training.
    """

    def __init__(self, in_features: int, sizes: Sequence[int], cell: str = "lstm", dropout: float = 0.0) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"cell should be one of {', '.join(CELLS)}, got {cell!r}")
        if not sizes:
            raise ValueError("sizes should hold the hidden size of at least one layer, got none")
        self.cell, self.dropout = cell, _share("dropout", dropout)
        edges = [integer("in_features", in_features, 1)]
        edges += [integer(f"sizes[{i}]", size, 1) for i, size in enumerate(sizes)]
        self.in_features, self.out_features = edges[0], edges[-1]
        self.layers = nn.ModuleList(_layer(cell, a, b) for a, b in pairwise(edges))

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """All layers; the state is a tuple of those of the layers.

        Under autocast on a CPU whose library has no LSTM of that precision, the layers run in float32.
        """
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and self.cell == "lstm":
            dtype = torch.get_autocast_dtype("cpu")
            if not _lstm_runs_in(dtype):
                with torch.autocast("cpu", enabled=False):
                    return self._layers(x.float(), map_state(lambda t: t.float(), state))
        return self._layers(x, state)

    def _layers(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        before = (None,) * len(self.layers) if state is None else state
        after = []
        for i, (layer, own_state) in enumerate(zip(self.layers, before, strict=True)):
            if i:
                x = F.dropout(x, self.dropout, self.training)
            x, own_state = layer(x, own_state)
            after.append(own_state)
        return x, tuple(after)


@cache
def _lstm_runs_in(dtype: torch.dtype) -> bool:
    """Whether this CPU can run an LSTM under autocast to ``dtype``: oneDNN has one only from AVX-512 on."""
    # asked in the middle of a run: the draw of its weights must not show in torch's generator
    with torch.random.fork_rng(devices=[]), torch.autocast("cpu", dtype):
        try:
            nn.LSTM(2, 2)(torch.zeros(1, 1, 2))
        except RuntimeError:
            return False
    return True


def _layer(cell: str, in_features: int, out_features: int) -> nn.Module:
    if cell == "rnn-sigmoid":
        return Stepwise(in_features, out_features, ElmanCell(in_features, out_features))
    if cell in ("lstm", "gru"):
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        return kind(in_features, out_features, batch_first=True)
    return nn.RNN(in_features, out_features, nonlinearity=cell.removeprefix("rnn-"), batch_first=True)


class Transformer(nn.Module):
    """A small causal Transformer (Vaswani et al. 2017), layer norm first, sinusoidal positions: (b, T, d) -> (b, T, d).

    It sees only the window it is given and carries no state.

    Args:
        in_features: size d of input, output and everything between.
        n_layers: number of blocks.
        n_heads: attention heads; they divide d.
        dropout: in training, as in ``nn.TransformerEncoderLayer``.
    """

    def __init__(self, in_features: int, n_layers: int = 2, n_heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.in_features = self.out_features = integer("in_features", in_features, 1)
        n_layers, n_heads = integer("n_layers", n_layers, 1), integer("n_heads", n_heads, 1)
        if in_features % n_heads or in_features % 2:
            raise ValueError(f"in_features should be even and divisible by n_heads={n_heads}, got {in_features}")
        block = nn.TransformerEncoderLayer(
            in_features, n_heads, 4 * in_features, _share("dropout", dropout), F.gelu, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, n_layers, norm=nn.LayerNorm(in_features), enable_nested_tensor=False)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Each position sees itself and what came before it in the window."""
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], x.device, x.dtype)
        return self.blocks(self.positioned(x), mask, is_causal=True), None

    def positioned(self, x: Tensor, first: int = 0) -> Tensor:
        """What the blocks read: x (..., s, d), scaled, and the sinusoids of positions from ``first`` on."""
        places = sinusoids(x.shape[-2], self.in_features, x.device, first=first)
        return x * math.sqrt(self.in_features) + places.to(x.dtype)

    def decoder(self, cache: str, capacity: int, *, copies: bool = False) -> Decoder:
        """The blocks with a cache each, for :meth:`positioned` words; see :class:`adasoft.attention.Decoder`.

        Raises ValueError, with the reason, where the words would not be those of :meth:`forward`.
        """
        if type(self) is not Transformer:
            raise ValueError(
                f"cache should be 'none' for a body whose forward may differ from Transformer's, got {cache!r} for "
                f"{type(self).__name__}"
            )
        return Decoder(self.blocks, cache, capacity, copies=copies)


def sinusoids(steps: int, d: int, device: Any = None, *, first: int = 0) -> Tensor:
    """Positions from ``first`` on as sines and cosines of wavelengths from 2 pi to 20000 pi (Vaswani et al. 2017, 3.5):
    (steps, d)."""
    rates = torch.exp(torch.arange(0, d, 2, device=device) * (-math.log(10_000.0) / d))
    angles = torch.arange(first, first + steps, device=device).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


class ModelOutput(NamedTuple):
    """What :class:`LanguageModel` returns."""

    loss: Tensor
    """The softmax's loss of the window, reduced as it does."""
    state: State
    """For the next window; no gradient flows through it."""


class LanguageModel(nn.Module):
    """Embedding, body, softmax.

    Args:
        embedding: ids (b, T) -> (b, T, e): ``nn.Embedding``, ``AdaptiveEmbedding`` or one tied to the softmax.
        body: see the head of this module.
        softmax: anything that follows :class:`adasoft.alternatives.Softmax`, of the body's ``out_features``.
        dropout: of the embedded words and of the hidden states, in training.

    Raises ValueError if the sizes of the three do not fit.
    """

    def __init__(self, embedding: nn.Module, body: nn.Module, softmax: Any, dropout: float = 0.0) -> None:
        super().__init__()
        width, d = getattr(embedding, "embedding_dim", None), getattr(body, "out_features", None)
        if width != body.in_features:
            raise ValueError(f"embedding gives vectors of size {width}, the body takes {body.in_features}")
        if d != softmax.in_features:
            raise ValueError(f"the body gives hidden states of size {d}, softmax takes {softmax.in_features}")
        if getattr(embedding, "num_embeddings", softmax.n_classes) != softmax.n_classes:
            raise ValueError(
                f"embedding holds {embedding.num_embeddings} words, softmax {softmax.n_classes}; both should hold V"
            )
        self.embedding, self.body, self.softmax = embedding, body, softmax
        self.dropout = _share("dropout", dropout)
        #: Called with "body", "output" when that part of a forward is done, and "output gradient" when the gradient
        #: of the hidden states is there: where the time of a step goes.
        self.heard: Callable[[str], None] | None = None

    def hidden(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Hidden states (b, T, d) of ids (b, T), and the state after them."""
        x = F.dropout(self.embedding(ids), self.dropout, self.training)
        x, state = self.body(x, state)
        return F.dropout(x, self.dropout, self.training), state

    def forward(self, ids: Tensor, target: Tensor, state: State = None) -> ModelOutput:
        """The loss of ``target`` (b, T), the words after each of ``ids`` (b, T)."""
        hidden, state = self.hidden(ids, state)
        if self.heard is not None:
            self.heard("body")
            if hidden.requires_grad:
                hidden.register_hook(self._gradient_is_there)  # type: ignore[no-untyped-call]
        loss = self.softmax(hidden, target).loss
        if self.heard is not None:
            self.heard("output")
        return ModelOutput(loss, detached(state))

    def _gradient_is_there(self, _: Tensor) -> None:
        if self.heard is not None:
            self.heard("output gradient")

    def generate(
        self,
        start: Tensor,
        n: int,
        *,
        window: int = 64,
        generator: torch.Generator | None = None,
        cache: str = "none",
        search: str = "sample",
        beams: int | None = None,
    ) -> Tensor:
        """``n`` words after ``start`` (b, T), one after the other: (b, n). Dropout is off.

        Args:
            start: ids, T at least 1.
            n: number of words.
            window: words that a body without state sees at once. A body with state reads all of ``start``, ``window``
                words at a time.
            generator: of ``search="sample"``.
            cache: what a :class:`Transformer` keeps of the words it has read: ``"none"``: it reads all again for each
                word; ``"keys-values"``; or ``"el"``, the inputs of its layers, half as much (EL-attention, Yan et al.
                2021). The words are the same, but for ties closer than rounding. Beyond the ``window`` the positions of
                all words shift with each word, so that no cache holds: from there on all three read the last
                ``window`` words again for each word. For a cache to serve to the end, ``window`` should be at least
                T + n - 1.
            search: ``"sample"``: every word is drawn from the whole distribution (by ``softmax.sample`` where there is
                one, else from ``log_prob``). ``"greedy"``: the most probable word. ``"beam"``: the most probable of
                ``beams`` sequences, see :func:`adasoft.lm.generation.beam_search`.
            beams: how many sequences ``search="beam"`` follows, from 1 to V.

        Raises ValueError for an empty start, arguments out of range or that do not belong to the search, and, with the
        reason, a cache or a search that the body cannot have.
        """
        return generate(self, start, n, window=window, generator=generator, cache=cache, search=search, beams=beams)

    @property
    def n_parameters(self) -> int:
        """Numbers to learn, each counted once."""
        return sum(p.numel() for p in self.parameters())


def _share(name: str, value: float) -> float:
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} should be at least 0 and below 1, got {value!r}")
    return float(value)
