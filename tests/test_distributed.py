"""Two processes under DistributedDataParallel or FSDP2, without extra flags, step as one process does."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import oracle
import pytest
import torch
import torchrun_example

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


def torchrun(script, *arguments):
    """Two processes of a script beside this file; what they say."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(Path(__file__).with_name(script)), *arguments],
        env={**os.environ, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "view tensor" not in done.stderr  # FSDP2 warns of modules that return views
    return done.stdout


@pytest.fixture(scope="module")
def one_process():
    return torchrun_example.train("one")


def test_in_the_example_process_1_misses_tails():
    V, (first, second), share = torchrun_example.V, torchrun_example.CUTOFFS, torchrun_example.TOKENS // 2
    ranks = torch.stack([V - 1 - torch.stack(batch) for batch in torchrun_example.batches()])
    assert (ranks[:, :, :share].amax(2) >= second).all()
    assert (ranks[:, :, share:] < second).all()
    assert (ranks[0, :, share:] < first).all() and (ranks[1, :, share:] >= first).any()


def test_forward_methods_names_all_that_read_weights():
    public = {
        name
        for name, method in vars(AdaptiveSoftmax).items()
        if inspect.isfunction(method) and not name.startswith("_") and "input" in inspect.signature(method).parameters
    }
    assert set(AdaptiveSoftmax.forward_methods) == public and "topk" in public


def has_fsdp2():
    try:
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
    except ImportError:
        return False
    return bool(fully_shard and register_fsdp_forward_method)


FSDP2 = pytest.mark.skipif(not has_fsdp2(), reason="needs torch.distributed.fsdp.fully_shard (torch 2.6 or newer)")


# sharded in all ways, by default: test_ways_to_shard_and_checkpoints
@pytest.mark.parametrize("mode", ["ddp", pytest.param("fsdp", marks=[FSDP2, pytest.mark.long])])
def test_the_torchrun_example_equals_one_process(mode, tmp_path, one_process):
    said = torchrun("torchrun_example.py", "--mode", mode, "--save", str(tmp_path))
    assert said.count("loss") == 2 * torchrun_example.STEPS
    torch.manual_seed(0)
    start = dict(torchrun_example.TinyModel().double().named_parameters())
    for rank in (0, 1):
        end = torch.load(tmp_path / f"{mode}{rank}.pt", weights_only=True)
        assert list(end) == list(one_process) and len(end) == 5 + len(start)
        for name, value in one_process.items():
            torch.testing.assert_close(end[name], value, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
        assert all(not torch.equal(end[name], value) for name, value in start.items())


@FSDP2
def test_ways_to_shard_and_checkpoints():
    said = torchrun("fsdp_worker.py")
    for check in ("groups", "groups_apart", "in_place", "mixed_precision", "decoding", "checkpoints"):
        assert all(f"process {rank}: {check} holds" in said for rank in (0, 1))
