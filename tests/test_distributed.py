"""Two processes under DistributedDataParallel, without extra flags, step as one process does."""

import oracle
import pytest
import torch

from adasoft import AdaptiveSoftmax

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(), reason="needs gloo"
)


def test_two_processes_equal_one_though_each_misses_a_cluster(tmp_path):
    torch.manual_seed(0)
    # first half of a batch: rank 0. In step 1 it misses the second tail and rank 1 the first; in step 2 rank 0 has
    # no tail at all. Equal halves, so that the mean of the two means is the mean.
    ranks = [torch.tensor([4, 7, 11, 0, 12, 19, 4, 13]), torch.tensor([4, 4, 0, 1, 5, 12, 19, 11])]
    starts = []
    for order in (None, torch.randperm(20)):
        layer = AdaptiveSoftmax(6, 20, [5, 12], widths=[3, 2], head_bias=True, order=order, dtype=torch.float64)
        targets = ranks if order is None else [order[r] for r in ranks]
        starts.append((layer, [(torch.randn(8, 6, dtype=torch.float64), target) for target in targets]))
    assert all(len(batches) == oracle.N_STEPS for _, batches in starts)
    torch.save(starts, tmp_path / "start.pt")

    torch.multiprocessing.spawn(oracle.distributed_worker, args=(str(tmp_path), 2), nprocs=2)

    ends = [torch.load(tmp_path / f"end{rank}.pt") for rank in (0, 1)]
    for (layer, batches), first, second in zip(starts, *ends, strict=True):
        before = [p.detach().clone() for p in layer.parameters()]
        expected = oracle.two_steps(layer, batches)
        for start, one, a, b in zip(before, expected, first, second, strict=True):
            torch.testing.assert_close(a, one, rtol=1e-12, atol=1e-12)
            assert torch.equal(a, b)
            assert not torch.equal(a, start)
