"""Parts of `bench kerbs`: words with known clusters, and the training of one softmax on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..text import Row

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ..kerbs import KerBS


@dataclass(frozen=True)
class KerbsSizes:
    """What is trained. The states: ``features`` numbers, lengths around 4, spread by word."""

    words: int = 20
    features: int = 8
    seeds: int = 3
    steps: int = 1_000
    batch: int = 128
    learning_rate: float = 0.02
    """Of Adam; it falls to 0 over the steps."""
    every: int = 50
    """Steps between rounds of moves, each of one sense; none in the last quarter of the steps."""
    test: int = 20_000
    text_words: int = 1_000
    tokens: int = 100_000
    test_tokens: int = 20_000
    hidden: int = 32
    """Of the language models with several senses, and of all embeddings."""
    epochs: int = 1
    text_batch: int = 20
    bptt: int = 35
    text_rate: float = 1e-2
    text_seeds: int = 5


KERBS_TINY = KerbsSizes(4, 4, 2, 20, 16, 0.05, 5, 50, 30, 400, 150, 8, 1, 2, 10, 1e-2, 2)


class Clusters(NamedTuple):
    """Words whose hidden states are known: each a mixture of Gaussians, all words equally frequent."""

    words: Tensor
    """(C,) the word of each cluster, rising."""
    centres: Tensor
    """(C, d) unit vectors in random directions."""
    spread: Tensor
    """(C,) standard deviations, of the word's."""

    @classmethod
    def drawn(cls, clusters: list[int], features: int, seed: int) -> Clusters:
        """So many clusters for each word, with spreads of 0.1 to 0.35 by word."""
        import torch

        draw = torch.Generator().manual_seed(seed)
        words = torch.repeat_interleave(torch.arange(len(clusters)), torch.tensor(clusters))
        centres = torch.nn.functional.normalize(torch.randn(len(words), features, generator=draw), dim=1)
        spread = 0.1 + 0.25 * torch.rand(len(clusters), generator=draw)
        return cls(words, centres, spread[words])

    def states(self, n: int, draw: Generator) -> tuple[Tensor, Tensor]:
        """Hidden states (n, d) and their words (n,)."""
        import torch

        each = torch.bincount(self.words)
        target = torch.randint(len(each), (n,), generator=draw)
        first = each.cumsum(0) - each
        at = first[target] + (torch.rand(n, generator=draw) * each[target]).long()
        noise = torch.randn(n, self.centres.shape[1], generator=draw)
        return 4 * (self.centres[at] + self.spread[at].unsqueeze(1) * noise), target

    def best(self, x: Tensor) -> Tensor:
        """Log-probabilities of the words by the true mixture, (n, V): no softmax can do better on average."""
        import torch

        distance = torch.cdist(x / 4, self.centres).square()
        each = torch.bincount(self.words)
        log_density = -distance / (2 * self.spread**2) - x.shape[1] * self.spread.log() - each[self.words].log()
        by_word = [log_density[:, self.words == word].logsumexp(1) for word in range(len(each))]
        return torch.stack(by_word, 1).log_softmax(1)


def scored(log_prob: Tensor, target: Tensor) -> Row:
    """Mean loss in nats and share of right words."""
    right = (log_prob.argmax(1) == target).double().mean()
    return {"nats": -float(log_prob.double().gather(1, target.unsqueeze(1)).mean()), "accuracy": float(right)}


def held_out(truth: Clusters, sizes: KerbsSizes, seed: int) -> tuple[Tensor, Tensor]:
    """States that no training sees."""
    import torch

    return truth.states(sizes.test, torch.Generator().manual_seed(10_000 + seed))


def fitted(
    clusters: list[int], senses: int | list[int], kernel: str, how: Row | None, sizes: KerbsSizes, seed: int
) -> Row:
    """One softmax trained on fresh states in each step; its test score, and where its senses are.

    ``how``: options of an :class:`adasoft.kerbs.Allocator`, or None: senses stay where they are.
    """
    import torch

    from ..kerbs import Allocator, KerBS

    truth = Clusters.drawn(clusters, sizes.features, seed)
    draw = torch.Generator().manual_seed(1_000 + seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = KerBS(sizes.features, len(clusters), senses=senses, kernel=kernel)
    optimizer = torch.optim.Adam(layer.parameters(), sizes.learning_rate)
    allocator = None if how is None else Allocator(layer, optimizer, every=sizes.every, seed=seed, **how)
    moves = 0
    for step in range(sizes.steps):
        for group in optimizer.param_groups:
            group["lr"] = sizes.learning_rate * (1 - step / sizes.steps)
        x, target = truth.states(sizes.batch, draw)
        optimizer.zero_grad()
        layer(x, target).loss.backward()
        optimizer.step()
        if allocator is not None and step < 0.75 * sizes.steps:
            moves += len(allocator.step(x, target))
    x, target = held_out(truth, sizes, seed)
    with torch.no_grad():
        score = scored(layer.log_prob(x), target)
    return {**score, "moves": moves, **placed(layer, clusters)}


def placed(layer: KerBS, clusters: list[int]) -> Row:
    """The share of clusters for which their word has a sense, and the mean theta."""
    import torch

    have = torch.bincount(layer.senses.words)
    wanted = torch.tensor(clusters)
    share = torch.minimum(have, wanted).sum() / wanted.sum()
    return {"in place": float(share), "theta": float(layer.senses.theta.detach().mean())}
