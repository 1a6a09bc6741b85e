"""The data of `bench adversarial`: diagnoses, clusters whose probabilities are known, and next words."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..extras import missing
from .decode import read_ids

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Task(NamedTuple):
    """Rows x (N, d) and their labels (N,), in three parts."""

    name: str
    n_classes: int
    train: tuple[Tensor, Tensor]
    valid: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    def told(self) -> dict[str, object]:
        """For a record."""
        sizes = {part: len(getattr(self, part)[0]) for part in ("train", "valid", "test")}
        return {"data": self.name, "C": self.n_classes, "d": self.train[0].shape[1], **sizes}


def icd_task(d: int = 256, rows: int | None = None) -> Task:
    """ICD-10-CM: from the description of a code to its category of three characters.

    A fifth of the codes drawn for the test, a tenth for validation; tf-idf of the words, then the d first singular
    vectors, both from the training part. Categories that it lacks are left out. Codes of one category have descriptions
    that are alike, so this is an easy split. ``rows``: use that many codes only.

    Raises ImportError without scikit-learn or simple-icd-10-cm.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # how that package reads its own data
            import simple_icd_10_cm as icd
    except ImportError as error:
        raise ImportError(missing("simple_icd_10_cm", "bench adversarial")) from error
    try:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise ImportError(missing("sklearn", "bench adversarial")) from error
    codes = [code for code in icd.get_all_codes(False) if icd.is_leaf(code)][:rows]
    texts = np.array([icd.get_description(code) for code in codes])
    categories = np.array([code[:3] for code in codes])
    order = np.random.default_rng(0).permutation(len(codes))
    test, valid, train = np.split(order, [len(codes) // 5, len(codes) // 5 + len(codes) // 10])
    words = TfidfVectorizer(sublinear_tf=True)
    shorter = TruncatedSVD(d, random_state=0)
    features = shorter.fit_transform(words.fit_transform(texts[train]))
    scale = 1 / math.sqrt(np.square(features).mean())
    known = np.unique(categories[train])

    def part(rows: np.ndarray) -> tuple[Tensor, Tensor]:  # type: ignore[type-arg]
        rows = rows[np.isin(categories[rows], known)]
        x = scale * shorter.transform(words.transform(texts[rows]))
        return torch.tensor(x, dtype=torch.float32), torch.tensor(np.searchsorted(known, categories[rows]))

    return Task("ICD-10-CM", len(known), part(train), part(valid), part(test))


def words_task(path: str, *, n_classes: int = 8000, d: int = 64, rows: int = 200_000, steps: int = 3000) -> Task:
    """Next words of a text on frozen states, the paper's setting: fixed features, linear scores.

    The states are those of a small network on the four words before, trained with a full softmax for ``steps`` batches
    and then kept as they are. ``rows`` of the text for training, a tenth of that for validation and for the test each,
    from the text's last tenth.
    """
    import torch
    from tqdm.auto import trange

    from ..alternatives.full import FullSoftmax

    vocabulary, ids = read_ids(path, n_classes)
    tokens = torch.from_numpy(ids)
    context, edge, draw = 4, len(tokens) - len(tokens) // 10, torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        embedding, mix = torch.nn.Embedding(len(vocabulary), d), torch.nn.Linear(context * d, d)
        output = FullSoftmax(d, len(vocabulary), bias=True)

    def states(at: Tensor) -> Tensor:
        before = torch.stack([tokens[at - j] for j in range(1, context + 1)], 1)
        return torch.tanh(mix(embedding(before).flatten(1)))

    optimizer = torch.optim.Adagrad([*embedding.parameters(), *mix.parameters(), *output.parameters()], 0.05)
    for _ in trange(steps, unit="batch", desc="states"):
        at = torch.randint(context, edge, (256,), generator=draw)
        optimizer.zero_grad()
        output(states(at), tokens[at]).loss.backward()
        optimizer.step()

    def part(first: int, last: int, rows: int) -> tuple[Tensor, Tensor]:
        at = torch.randperm(last - first, generator=draw)[:rows] + first
        with torch.no_grad():
            return torch.cat([states(some) for some in torch.split(at, 10_000)]), tokens[at]

    middle = (edge + len(tokens)) // 2
    parts = [part(context, edge, rows), part(edge, middle, rows // 10), part(middle, len(tokens), rows // 10)]
    return Task("next words", len(vocabulary), *parts)


class Clusters:
    """Gaussian clusters in two levels, groups of labels: p_data is known, and is a softmax of linear scores.

    Rows have variance 1 around the centre of their label; labels are apart within their group of ``group`` by
    ``inner``, groups by ``outer`` standard deviations in each of d directions. All labels are equally frequent.
    """

    def __init__(
        self, n_classes: int, d: int = 64, group: int = 32, inner: float = 0.25, outer: float = 0.5, seed: int = 0
    ) -> None:
        import torch

        draw = torch.Generator().manual_seed(seed)
        groups = outer * torch.randn(-(-n_classes // group), d, generator=draw)
        self.n_classes, self.d = n_classes, d
        self.centres = groups.repeat_interleave(group, 0)[:n_classes]
        self.centres = self.centres + inner * torch.randn(n_classes, d, generator=draw)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """x (n, d) and labels (n,)."""
        import torch

        y = torch.randint(self.n_classes, (n,), generator=generator)
        return self.centres[y] + torch.randn(n, self.d, generator=generator), y

    def log_prob(self, x: Tensor) -> Tensor:
        """log p_data(y|x) of all labels: (n, d) -> (n, C)."""
        return (x @ self.centres.t() - self.centres.square().sum(1) / 2).log_softmax(1)
