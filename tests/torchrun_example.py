"""Train a tiny language model on several processes, with DistributedDataParallel or with FSDP2.

    python -m torch.distributed.run --standalone --nproc_per_node=2 tests/torchrun_example.py --mode ddp
    python -m torch.distributed.run --standalone --nproc_per_node=2 tests/torchrun_example.py --mode fsdp
    python tests/torchrun_example.py

The third line is the same training in one process. Neither mode needs a flag for the adaptive softmax: its
parameters, and those of the tied embedding, have a gradient in every batch, also when a process's share of the
batch misses a cluster.

With ``reduction="mean"`` each process divides by its own number of tokens that count, and the gradients of the
processes are then averaged. That is the mean over the whole batch only if all processes have equally many such tokens
(as here). Where numbers differ, use ``reduction="sum"`` and multiply the loss by the number of processes over the
number of tokens of all of them: ``loss * world_size / n``, with n summed by ``torch.distributed.all_reduce``.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch import distributed as dist

from adasoft import AdaptiveEmbedding, AdaptiveSoftmax

V, D, CUTOFFS = 60, 8, [10, 30]
STEPS, TOKENS = 5, 24


class TinyModel(nn.Module):
    """The next word from this one, through one hidden layer; input and output words are tied."""

    def __init__(self) -> None:
        super().__init__()
        self.output = AdaptiveSoftmax(D, V, CUTOFFS, div_value=2, head_bias=True, order=torch.arange(V).flip(0))
        self.embedding = AdaptiveEmbedding.tied(self.output)
        self.hidden = nn.Linear(D, D)

    def forward(self, words: Tensor, following: Tensor) -> Tensor:
        """Mean negative log-likelihood of the following words."""
        return self.output(torch.tanh(self.hidden(self.embedding(words))), following).loss


def shard(model: TinyModel) -> None:
    """FSDP2, from the inside out."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (dist.get_world_size(),))
    # One group for the two, since they share parameters. An untied layer is a group of its own.
    fully_shard([model.embedding, model.output], mesh=mesh)
    # forward is not the only method that needs whole weights
    for name in AdaptiveSoftmax.forward_methods:
        register_fsdp_forward_method(model.output, name)
    fully_shard(model, mesh=mesh)


def batches() -> list[tuple[Tensor, Tensor]]:
    """Words and the words that follow, (TOKENS,) each. The second half of a batch misses the last tail, or all."""
    random = torch.Generator().manual_seed(1)
    out = []
    for step in range(STEPS):
        highest = torch.full((TOKENS,), V)
        highest[TOKENS // 2 :] = CUTOFFS[step % 2]
        ranks = (torch.rand(2, TOKENS, generator=random) * highest).long()
        words, following = V - 1 - ranks  # ids by falling frequency count down
        out.append((words, following))
    return out


def train(mode: str, rank: int = 0, n_processes: int = 1) -> dict[str, Tensor]:
    """Parameters after the training, and what the layer then says about some hidden states."""
    torch.manual_seed(0)  # the same start in every process
    model = TinyModel().double()
    optimised = model
    if mode == "ddp":
        optimised = nn.parallel.DistributedDataParallel(model)
    elif mode == "fsdp":
        shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for words, following in batches():
        mine = slice(rank * TOKENS // n_processes, (rank + 1) * TOKENS // n_processes)
        optimizer.zero_grad()
        loss = optimised(words[mine], following[mine])
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
        print(f"process {rank}: loss {loss.item():.4f}")

    x = torch.randn(5, D, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    values, indices = model.output.topk(x, 7)
    out = {"log_prob": model.output.log_prob(x).detach(), "predict": model.output.predict(x)}
    torch.manual_seed(3)
    out |= {"topk values": values, "topk indices": indices, "sample": model.output.sample(x, 4)}
    for name, p in model.named_parameters():
        out[name] = (p.full_tensor() if mode == "fsdp" else p).detach()
    return out


def main() -> None:
    """One process of the training."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["one", "ddp", "fsdp"], default="one")
    parser.add_argument("--save", type=Path, help="folder for what each process ends with")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rank, n_processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if options.mode != "one":
        dist.init_process_group("gloo")
    end = train(options.mode, rank, n_processes)
    if options.save:
        torch.save(end, options.save / f"{options.mode}{rank}.pt")
    if options.mode != "one":
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
