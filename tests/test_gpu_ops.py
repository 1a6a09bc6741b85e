"""The Triton kernels of `adasoft.gpu.ops`, in Triton's interpreter, on the CPU.

Triton chooses between its compiler and its interpreter when it is imported, so the tests of `Interpreted` run in a
process of their own: `test_kernels_in_the_interpreter` starts it. By hand:
TRITON_INTERPRET=1 pytest tests/test_gpu_ops.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from oracle import dense_forward, host_reads, leaves
from torch import Tensor
from torch.nn import functional as F

from adasoft.layer import AdaptiveSoftmax
from adasoft.ranks import target_ranks

pytest.importorskip("triton", reason="Triton is not installed (it exists for Linux only)")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.usefixtures("one_thread")


def _run(environment: dict[str, str], *command: str) -> str:
    env = {**{k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}, **environment}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.timeout(900)
@pytest.mark.skipif(INTERPRETED, reason="starts the interpreter's process, and this is it")
def test_kernels_in_the_interpreter(request):
    few = "missed_tail or ignored_rows or check_for_a_gpu or takes_this_route or by_kernel or no_host_read"
    options = ["--long"] if request.config.getoption("--long") else ["-k", few]
    said = _run({"TRITON_INTERPRET": "1"}, "-m", "pytest", "-p", "no:cacheprovider", *options, __file__)
    assert " passed" in said and " failed" not in said, said


# What a launch would compile, with the very arguments of the launch, for a GPU that need not be there.
COMPILE = """
import contextlib, torch, triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

class Absent:
    get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))
    get_current_device = staticmethod(lambda: 0)
    get_current_stream = staticmethod(lambda device=None: 0)

driver.set_active(Absent())
from adasoft.gpu import kernels, ops as ragged
ROOM = 232448  # shared memory of a program on Hopper, bytes
kernels._shared_memory = lambda device: ROOM
ragged._on = lambda x: contextlib.nullcontext()
seen = []

def launcher(kernel, grid):
    assert all(0 < n < 2**31 for n in grid) and all(n < 2**16 for n in grid[1:]), grid
    def launch(*args, **kwargs):
        made = kernel.run(*args, grid=grid, warmup=True, **kwargs)
        assert made.metadata.shared <= ROOM, (kernel.__name__, made.metadata.shared)
        seen.append((kernel.__name__, "wgmma" in made.asm["ptx"]))
    return launch

triton.JITFunction.__getitem__ = launcher
for dtype, widths in ((torch.bfloat16, [512, 64]), (torch.float32, [200])):
    seen.clear()
    x = torch.randn(200, 1024, dtype=dtype)
    head = torch.randn(300, 1024, dtype=dtype)
    down, out = ([torch.randn(k, d, dtype=dtype) for k, d in shapes]
                 for shapes in ([(w, 1024) for w in widths], [(1000, w) for w in widths]))
    ends, zeros = torch.zeros(len(widths) + 1, dtype=torch.long), torch.zeros(200, dtype=torch.long)
    hidden = ragged._linear(x, down, ends)
    ragged._linear_grad(hidden, x, down, ends, True, [True] * len(widths))
    nll, margin, peak, scale, _ = ragged._tails(hidden, out, zeros, ends, True)
    ragged._tails(hidden, out, zeros, ends, False)
    ragged._tails_grad(hidden, out, zeros, ends, margin, peak, scale, nll, [True] * len(widths))
    ragged._head(x, head, None, zeros, nll, [True, True, False])
    names = {name for name, _ in seen}
    assert len(names) == 6, names
    products = {name for name, tensor_cores in seen if tensor_cores}
    print(dtype, len(seen), sorted(products))
    assert dtype == torch.float32 or len(products) == 4, products
print("compiled")
"""


@pytest.mark.long
@pytest.mark.skipif(INTERPRETED, reason="compiles, and the interpreter does not")
def test_kernels_compile_for_hopper_without_one(tmp_path):
    said = _run({"TRITON_CACHE_DIR": str(tmp_path), "TRITON_DEFAULT_FP_FUSION": "1"}, "-c", COMPILE)
    assert said.endswith("compiled\n"), said


@pytest.mark.skipif(INTERPRETED, reason="the interpreter does run on a CPU")
def test_on_a_cpu_without_the_interpreter_it_says_so():
    from adasoft.gpu import ops as ragged

    layer = _layer()
    with pytest.raises(RuntimeError, match="x is on cpu: Triton's kernels need a GPU"):
        _ragged(ragged, layer, torch.randn(3, D), torch.tensor([1, 20, 50]))


# ---------------------------------------------------------------- what the tests share

D, V, CUTOFFS, WIDTHS = 20, 90, [18, 37, 88], [24, 5, 40]
"""Nothing is a multiple of a tile (16 x 16, 32 columns); 40 takes two blocks of columns; the last tail has 2 words."""


def _layer(dtype: torch.dtype = torch.float32, **kwargs) -> AdaptiveSoftmax:
    torch.manual_seed(3)
    kwargs = {"widths": WIDTHS, "reduction": "sum", "head_bias": True, **kwargs}
    layer = AdaptiveSoftmax(D, V, CUTOFFS, **kwargs)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape) * 1.5 / p.shape[-1] ** 0.5)
    return layer.to(dtype)


def _batch(ids: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(len(ids), D, generator=torch.Generator().manual_seed(len(ids))).to(dtype).requires_grad_()


def _ragged(ragged, layer: AdaptiveSoftmax, x: Tensor, ids: Tensor, **kwargs):
    ranks = target_ranks(ids, layer.n_classes, layer.ignore_index, layer._ranks)
    tails = [(p.weight, w.weight) for p, w in layer.tail]
    return ragged.ragged_nll(x, ranks, layer._edges, layer.head.weight, layer.head.bias, tails, **kwargs)


def _words(low: int, high: int, n: int) -> Tensor:
    return torch.randint(low, high, (n,), generator=torch.Generator().manual_seed(n))


def _gradients(layer: AdaptiveSoftmax, x: Tensor, objective: Tensor, again: bool = False) -> dict[str, Tensor]:
    made = torch.autograd.grad(objective, [x, *layer.parameters()], retain_graph=again)
    return dict(zip(["x", *(name for name, _ in layer.named_parameters())], made, strict=True))


def _truth(layer: AdaptiveSoftmax, x: Tensor, ids: Tensor, weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses in fp64, and the gradients of their sum weighted by ``weight``."""
    value, rows = leaves(layer), x.detach().double().requires_grad_()
    output, _ = dense_forward(layer, value, rows, ids)
    made = torch.autograd.grad((-output * weight).sum(), [rows, *value.values()], allow_unused=True)
    filled = [torch.zeros_like(v) if g is None else g for g, v in zip(made, [rows, *value.values()], strict=True)]
    return -output.detach(), dict(zip(["x", *value], filled, strict=True))


def _off(made: Tensor, exact: Tensor) -> float:
    return float((made.detach().double() - exact).abs().max()) if exact.numel() else 0.0


SPLITS = {
    "everywhere": torch.cat([_words(0, 18, 5), _words(18, 37, 17), _words(37, 88, 4), _words(88, 90, 3)]),
    "short-list only": _words(0, 18, 7),
    "first tail only": _words(18, 37, 17),
    "second tail only": _words(37, 88, 16),
    "last tail only": _words(88, 90, 5),
    "a tail missing": torch.cat([_words(88, 90, 4), _words(0, 37, 12)]),
    "one token": torch.tensor([40]),
    "ignored ones": torch.tensor([-100, 3, 50, -100, 20, 89, -100]),
}


class Interpreted:
    """Collected in the interpreter's process only, see `python_classes` below."""

    @pytest.fixture
    def ragged(self):
        from adasoft.gpu import ops as ragged

        assert ragged.INTERPRETED
        return ragged

    @pytest.mark.parametrize(
        ("dtype", "split"),
        [*((torch.float32, s) for s in SPLITS), (torch.bfloat16, "everywhere"), (torch.float16, "second tail only")]
        + [
            pytest.param(*case, marks=pytest.mark.long)
            for case in ((torch.bfloat16, "second tail only"), (torch.float16, "everywhere"))
        ],
        ids=lambda v: str(v).removeprefix("torch."),
    )
    def test_no_further_from_the_truth_than_the_plain_path(self, ragged, dtype, split):
        ids = SPLITS[split]
        layer, x = _layer(dtype), _batch(ids, dtype)
        plain, made = layer(x, ids), _ragged(ragged, layer, x, ids)
        assert made.counted == int((ids != -100).sum())
        assert made.nll.dtype == torch.float32
        uneven = torch.randn(len(ids), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        for weight in (torch.ones_like(uneven), uneven):
            nll, exact = _truth(layer, x, ids, weight)
            even = weight is not uneven
            ours = _gradients(layer, x, made.total if even else (made.nll * weight).sum(), again=even)
            theirs = _gradients(layer, x, plain.loss if even else (-plain.output * weight).sum(), again=even)
            eps = torch.finfo(dtype).eps
            # a few roundings at the size of the value: on some CPUs the plain path comes nearer by luck
            fine = 4 * torch.finfo(torch.float32).eps
            assert _off(made.nll, nll) <= _off(-plain.output, nll) + fine * max(1.0, float(nll.abs().max()))
            assert abs(float(made.total.detach()) - float(nll.sum())) <= float(nll.sum()) * 1e-6 + len(ids) * _off(
                made.nll, nll
            )
            for name, gradient in exact.items():
                assert ours[name].dtype == dtype
                roundings = max(eps, fine) * float(gradient.abs().max())
                allowed = 1.5 * _off(theirs[name], gradient) + roundings
                assert _off(ours[name], gradient) <= allowed, (name, _off(ours[name], gradient), allowed)

    def test_a_missed_tail_gets_exact_zeros(self, ragged):
        ids = SPLITS["first tail only"][:5]
        layer, x = _layer(), _batch(ids)
        made = _gradients(layer, x, _ragged(ragged, layer, x, ids).total)
        for name in ("tail.1.0", "tail.1.1", "tail.2.0", "tail.2.1"):
            assert not made[f"{name}.weight"].any()
        assert made["tail.0.1.weight"].any()

    def test_an_order_of_the_ids(self, ragged):
        order = torch.randperm(V, generator=torch.Generator().manual_seed(5))
        ids = SPLITS["everywhere"][::4]
        layer, x = _layer(order=order, head_bias=False), _batch(ids)
        nll, _ = _truth(layer, x, ids, torch.ones(()))
        assert _off(_ragged(ragged, layer, x, ids).nll, nll) < 1e-5

    def test_ignored_rows_may_hold_anything(self, ragged):
        ids = torch.tensor([-100, 3, 50, -100, 20])
        layer, x = _layer(), _batch(ids)
        spoiled = x.detach().clone()
        spoiled[0], spoiled[3] = float("nan"), float("inf")
        made, clean = (
            _gradients(layer, r, _ragged(ragged, layer, r, ids).total) for r in (spoiled.requires_grad_(), x)
        )
        for name in clean:
            assert torch.equal(made[name], clean[name]), name
        assert not made["x"][0].any()

    @pytest.mark.parametrize("bad", [-1, V, 10**6, -(10**6)])
    def test_a_bad_target_makes_the_loss_nan(self, ragged, bad):
        ids = torch.tensor([2, bad, 50, 20])
        layer, x = _layer(), _batch(ids)
        made = _ragged(ragged, layer, x, ids)
        assert torch.isnan(made.total)
        assert torch.equal(torch.isnan(made.nll), ids == bad)
        assert made.counted == 4
        kept = ids != bad
        gradients = _gradients(layer, x, made.total)
        _, exact = _truth(layer, x.detach()[kept], ids[kept], torch.ones(()))
        assert _off(gradients["x"][kept], exact.pop("x")) < 1e-5 and not gradients["x"][~kept].any()
        for name, gradient in exact.items():
            assert _off(gradients[name], gradient) < 1e-5, name

    @pytest.mark.parametrize(
        "ids", [torch.tensor([-100, -100]), torch.zeros(0, dtype=torch.long)], ids=["ignored", "none"]
    )
    def test_no_token(self, ragged, ids):
        layer, x = _layer(), _batch(ids)
        made = _ragged(ragged, layer, x, ids)
        assert float(made.total.detach()) == 0.0 and not made.nll.any() and made.counted == 0
        mean = made.total / made.counted
        assert torch.isnan(mean)
        for name, gradient in _gradients(layer, x, mean).items():
            assert not gradient.any(), name

    def test_a_tail_of_one_word_is_certain(self, ragged):
        torch.manual_seed(0)
        layer, ids = AdaptiveSoftmax(D, 10, [4, 9], widths=[3, 3], reduction="sum"), torch.tensor([9, 1, 9, 5])
        x = _batch(ids)
        nll, exact = _truth(layer, x, ids, torch.ones(()))
        made = _ragged(ragged, layer, x, ids)
        assert _off(made.nll, nll) < 1e-5
        gradients = _gradients(layer, x, made.total)
        assert not gradients["tail.1.1.weight"].any() and _off(gradients["x"], exact["x"]) < 1e-5

    def test_a_certain_target_keeps_its_small_loss_and_gradient(self, ragged):
        # the target's logit 20 above all others: 1 - p is far below the rounding of p
        torch.manual_seed(0)
        layer = AdaptiveSoftmax(4, 40, [4], widths=[4], reduction="sum")
        x, ids = torch.eye(4)[:1].clone().requires_grad_(), torch.tensor([10])
        with torch.no_grad():
            layer.tail[0][0].weight.copy_(torch.eye(4))
            layer.tail[0][1].weight[6, 0] = 20.0
            layer.head.weight[4, 0] = 25.0
        nll, exact = _truth(layer, x, ids, torch.ones(()))
        made = _ragged(ragged, layer, x, ids)
        assert float(nll.sum()) < 1e-7
        assert _off(made.nll, nll) < 1e-5 * float(nll)
        gradients = _gradients(layer, x, made.total)
        for name in ("x", "tail.0.1.weight", "head.weight"):
            assert _off(gradients[name], exact[name]) < 1e-5 * float(exact[name].abs().max()), name

    @pytest.mark.parametrize("frozen", ["x", "weights", "one tail"])
    def test_frozen_parts(self, ragged, frozen):
        ids = SPLITS["everywhere"][::5]
        layer, x = _layer(), _batch(ids)
        _, exact = _truth(layer, x, ids, torch.ones(()))
        x.requires_grad_(frozen != "x")
        for name, p in layer.named_parameters():
            p.requires_grad_(frozen == "x" or (frozen == "one tail" and not name.startswith("tail.1")))
        _ragged(ragged, layer, x, ids).total.backward()
        for name, value in {"x": x, **dict(layer.named_parameters())}.items():
            assert (value.grad is not None) == value.requires_grad
            if value.grad is not None:
                assert _off(value.grad, exact[name]) < 1e-5, name

    def test_without_gradients(self, ragged):
        ids = SPLITS["everywhere"][::5]
        layer, x = _layer(), _batch(ids)
        with torch.no_grad():
            made = _ragged(ragged, layer, x, ids)
        assert not made.total.requires_grad
        assert torch.equal(made.nll, _ragged(ragged, layer, x, ids).nll.detach())

    def test_the_same_bits_each_time(self, ragged):
        ids = SPLITS["everywhere"][::2]
        layer, x = _layer(torch.bfloat16), _batch(ids, torch.bfloat16)
        first, second = (_gradients(layer, x, _ragged(ragged, layer, x, ids).total) for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_few_programs_give_the_same(self, ragged, monkeypatch):
        ids = SPLITS["everywhere"][::2]
        layer, x = _layer(), _batch(ids)
        split = _gradients(layer, x, _ragged(ragged, layer, x, ids).total)
        monkeypatch.setattr(ragged, "PROGRAMS", 1)  # nothing is split
        monkeypatch.setattr(ragged, "CHUNK_ROWS", (5, 5))
        monkeypatch.setattr(ragged, "GPU_CHUNK_ELEMENTS", 0)
        whole = _gradients(layer, x, _ragged(ragged, layer, x, ids).total)
        for name, gradient in split.items():
            torch.testing.assert_close(whole[name], gradient, msg=name)

    def test_small_fp16_upstream_gradients_do_not_vanish(self, ragged):
        ids = SPLITS["everywhere"][::5]
        layer, x = _layer(torch.float16), _batch(ids, torch.float16)
        _, exact = _truth(layer, x, ids, torch.ones(()))
        made = _ragged(ragged, layer, x, ids)
        tiny = _gradients(layer, x, (made.nll * 2.0**-10).sum())
        for name in ("tail.1.1.weight", "head.weight"):
            assert _off(tiny[name] * 2.0**10, exact[name]) < 4e-3 * float(exact[name].abs().max()), name

    def test_dropout_is_torch_s_own(self, ragged):
        ids = SPLITS["first tail only"][:6]
        layer, x = _layer(), _batch(ids)
        torch.manual_seed(9)
        made = _ragged(ragged, layer, x, ids, dropout=0.5)
        torch.manual_seed(9)
        kept = F.dropout(torch.ones(len(ids), max(WIDTHS)), 0.5)
        order = ids.sort(stable=True).indices
        hidden = F.linear(x[order], layer.tail[0][0].weight) * kept[:, : WIDTHS[0]]
        in_tail = F.cross_entropy(F.linear(hidden, layer.tail[0][1].weight), ids[order] - 18, reduction="sum")
        in_head = F.cross_entropy(layer.head(x), torch.full_like(ids, 18), reduction="sum")
        expected, got = (_gradients_of(layer.tail[0], v) for v in (in_tail + in_head, made.total))
        torch.testing.assert_close(made.total, in_tail + in_head)
        torch.testing.assert_close(got, expected)

    def test_no_host_read(self, ragged, monkeypatch):
        from triton.runtime.interpreter import GridExecutor

        launch, launched = GridExecutor.__call__, []

        def unseen(self, *args, **kwargs):
            # what the interpreter does with the tensors of a launch is not the launch's doing
            before = len(seen)
            launch(self, *args, **kwargs)
            launched.append(self)
            del seen[before:]

        ids = SPLITS["ignored ones"]
        layer, x = _layer(), _batch(ids)
        monkeypatch.setattr(GridExecutor, "__call__", unseen)
        with host_reads(monkeypatch) as seen:
            made = _ragged(ragged, layer, x, ids)
            (made.nll.sum() + made.total).backward()
        assert seen == []
        assert len(launched) > 15
        with host_reads(monkeypatch) as seen:
            layer(x, ids)
        assert "tolist" in seen  # the eager layer's one read: the watch does see

    def test_compiled_whole_and_once_for_all_targets_and_sizes(self, ragged):
        layer = _layer()
        compiles: list[int] = []

        def backend(graph, inputs):
            compiles.append(1)
            return aot(graph, inputs)

        from torch._dynamo.backends.debugging import aot_eager as aot

        def mean(x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
            made = _ragged(ragged, layer, x, ids)
            return made.total / made.counted, made.nll

        compiled = torch.compile(mean, fullgraph=True, backend=backend, dynamic=True)
        first = 0
        for low, high, n in ((0, 90, 12), (0, 18, 12), (88, 90, 7)):
            ids = _words(low, high, n)
            x = _batch(ids)
            eager, per_token = mean(x, ids)
            loss, _ = compiled(x, ids)
            first = first or len(compiles)  # torch may itself start over within the first call
            torch.testing.assert_close(loss, eager)
            expected, got = (_gradients(layer, x, v) for v in (eager, loss))
            for name in expected:
                torch.testing.assert_close(got[name], expected[name], msg=name)
        assert len(compiles) == first > 0
        bad, _ = compiled(_batch(ids), torch.full_like(ids, V))
        assert torch.isnan(bad) and len(compiles) == first
        assert per_token.shape == (7,)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "autocast"])
    def test_the_compiled_layer_takes_this_route(self, ragged, monkeypatch, dtype):
        from adasoft import gpu

        gpu.load()  # as a layer on a GPU does
        calls: list[int] = []
        right = ragged.ragged_nll
        monkeypatch.setattr(ragged, "ragged_nll", lambda *a, **k: calls.append(1) or right(*a, **k))
        layer = _layer(reduction="mean")
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=False)
        for ids in (SPLITS["ignored ones"], torch.tensor([1, 88, 50, -100, 89, 20, 30])):
            x = _batch(ids)
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                eager, made = layer(x, ids), compiled(x, ids)
            tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.03}
            torch.testing.assert_close(made.loss, eager.loss, **tolerance)
            torch.testing.assert_close(made.output, eager.output, **tolerance)
            expected, got = (_gradients(layer, x, v.loss + v.output[1]) for v in (eager, made))
            for name in expected:
                torch.testing.assert_close(got[name], expected[name], msg=name, **tolerance)
        assert len(calls) == 2  # once for each batch

    def test_operators_as_torch_wants_them(self, ragged):
        checks = ("test_schema", "test_autograd_registration", "test_faketensor")
        x, ends, target = torch.randn(5, 6, requires_grad=True), torch.tensor([1, 3, 5]), torch.tensor([0, 2, 1, 0, 4])
        down = [torch.randn(3, 6, requires_grad=True), torch.randn(2, 6, requires_grad=True)]
        words = [torch.randn(7, 3, requires_grad=True), torch.randn(5, 2, requires_grad=True)]
        hidden, live = torch.randn(5, 3, requires_grad=True), torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0])
        plain = torch.zeros(5)
        head = torch.randn(8, 6, requires_grad=True)
        for operator, args in (
            (ragged._linear, (x, down, ends)),
            (ragged._linear_grad, (hidden.detach(), x.detach(), down, ends, True, [True, False])),
            (ragged._tails, (hidden, words, target, ends, True)),
            (ragged._tails, (hidden, words, target, ends, False)),
            (ragged._tails_grad, (hidden.detach(), words, target, ends, plain, plain, plain, plain, [False, True])),
            (ragged._head, (x, head, None, target, live, [True, True, False])),
            (ragged._head, (x, head, torch.randn(8), target, live, [False, True, True])),
        ):
            torch.library.opcheck(operator, args, test_utils=checks)

    def test_second_derivatives_are_refused(self, ragged):
        ids = torch.tensor([1, 20])
        layer, x = _layer(), _batch(ids)
        made = _ragged(ragged, layer, x, ids)
        with pytest.raises(RuntimeError, match="no second derivatives"):
            torch.autograd.grad(made.total, x, create_graph=True)
        with pytest.raises(RuntimeError, match="takes no batched gradients"):
            torch.autograd.grad(made.nll, x, torch.eye(2), is_grads_batched=True)

    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # numpy's, in the interpreter
    def test_an_infinite_logit_makes_the_loss_nan(self, ragged):
        ids = torch.tensor([1, 20])
        layer, x = _layer(), _batch(ids)
        with torch.no_grad():
            x[1] = float("inf")
        made = _ragged(ragged, layer, x, ids)
        assert torch.isnan(made.nll).tolist() == [False, True]

    @pytest.mark.parametrize(
        ("change", "error", "text"),
        [
            ({"x": torch.zeros(2, D, dtype=torch.float64)}, TypeError, "x should be fp16, bf16 or fp32"),
            ({"x": torch.zeros(2, D, dtype=torch.float16)}, TypeError, "head should have x's dtype"),
            ({"x": torch.zeros(2, 1, D)}, ValueError, r"x should have the shape \(any, any\), got \(2, 1, 20\)"),
            ({"ranks": torch.zeros(3, dtype=torch.long)}, ValueError, r"ranks should have the shape \(2\), got \(3,\)"),
            ({"edges": torch.zeros(3, dtype=torch.long)}, ValueError, "edges should have the shape"),
            ({"head": torch.zeros(21, 3)}, ValueError, "head should have the shape"),
            ({"head_bias": torch.zeros(3)}, ValueError, "head_bias should have the shape"),
            ({"tails": []}, ValueError, "tails should hold at least one"),
            ({"tails": [(torch.zeros(4, D), torch.zeros(9, 5))] * 3}, ValueError, r"tails\[0\]\[1\] should have"),
        ],
        ids=lambda v: next(iter(v)) if isinstance(v, dict) else None,
    )
    def test_bad_arguments(self, ragged, change, error, text):
        layer = _layer()
        arguments = {
            "x": torch.zeros(2, D),
            "ranks": torch.zeros(2, dtype=torch.long),
            "edges": layer._edges,
            "head": layer.head.weight,
            "head_bias": layer.head.bias,
            "tails": [(p.weight, w.weight) for p, w in layer.tail],
            **change,
        }
        if "edges" not in change and "tails" in change and not change["tails"]:
            arguments["edges"] = torch.zeros(3, dtype=torch.long)
        with pytest.raises(error, match=text):
            ragged.ragged_nll(**arguments)

    def test_the_check_for_a_gpu(self, capsys):
        from gpu_agreement import check

        made = check(
            "cpu", in_features=12, n_classes=60, cutoffs=(12, 30), widths=(7, 3), tokens=12, dtypes=[torch.bfloat16]
        )
        assert len(made) == 5 and all(line.milliseconds is None and 0 < line.kernels < 0.02 for line in made)
        assert "last tail only" in capsys.readouterr().out

    def test_the_check_finds_a_fault(self, ragged):
        from gpu_agreement import check

        def wrong(*args, **kwargs):
            right = ragged.ragged_nll(*args, **kwargs)
            return right._replace(total=right.total * 1.1)

        with pytest.raises(AssertionError, match="falling shares"):
            check("cpu", in_features=5, n_classes=30, cutoffs=(12,), widths=(3,), tokens=8, ragged_nll=wrong)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize("rows", [100, 5])
    @pytest.mark.parametrize("weighted", [True, False])
    @pytest.mark.parametrize("added", [True, False])
    def test_the_eager_route_by_kernel(self, ragged, dtype, rows, weighted, added):
        """What a GPU runs for a head or a tail: 37 words, in bf16 as 40."""
        from adasoft import loss

        random = torch.Generator().manual_seed(3)
        x, weight, bias = (torch.randn(size, generator=random).to(dtype) for size in ((12, 6), (37, 6), (37,)))
        x[2] *= 100  # one word wins, or loses, by far
        target = torch.randint(37, (12,), generator=random)
        row_weight = torch.rand(12, generator=random) if weighted else 0.25
        if weighted:
            row_weight[4] = 0.0
        into = (torch.full((20,), 3.0), torch.randperm(20, generator=random)[:12]) if added else None
        wanted = loss.linear_nll(
            *(v.double() for v in (x, weight, bias)),
            target,
            gradients=(True, True, True),
            row_weight=row_weight.double() if weighted else row_weight,
        )
        weights, alpha = (row_weight, 1.0) if weighted else (None, row_weight)
        nll, *made = ragged.dense_nll(
            x, weight, bias, target, weights, (True, True, True), alpha=alpha, rows=rows, into=into
        )
        if into is not None:
            assert nll is into[0] and nll.sum() - 60 == pytest.approx(float(wanted[0].sum()), rel=1e-2)
            nll = nll[into[1]] - 3
        low = dtype == torch.bfloat16
        for ours, exact in zip((nll, *made), wanted, strict=True):
            assert (ours.double() - exact).norm() <= (2e-2 if low else 1e-5) * exact.norm()
        assert made[0].dtype == dtype and (not low or made[1].dtype == torch.float32)
        assert not weighted or not made[0][4].any()

    @pytest.mark.parametrize(
        ("dtype", "precision", "size"),
        [
            (torch.bfloat16, "ieee", 40),
            (torch.float16, "tf32", 40),
            (torch.float32, "ieee", 37),
            (torch.float32, "tf32", 40),
        ],
    )
    def test_words_are_padded_where_tensor_cores_multiply(self, ragged, monkeypatch, dtype, precision, size):
        monkeypatch.setattr(ragged, "_precision", lambda: precision)
        weight, bias = torch.randn(37, 3).to(dtype), torch.randn(37).to(dtype)
        wide, wide_bias = ragged.padded(weight, bias)
        assert wide.shape == (size, 3) and wide_bias.shape == (size,)
        assert wide[:37].equal(weight) and wide_bias[:37].equal(bias)
        assert not wide[37:].any() and not wide_bias[37:].any()
        assert ragged.padded(weight[:32])[0].shape == (32, 3)

    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # numpy's, of the infinite logit
    def test_losses_near_zero_and_extreme_logits(self, ragged):
        logits = torch.tensor([[0.0, -20, -30], [0, 80, 0], [0, float("inf"), 1], [-3e37, 3e37, 0], [5, 5, 5]])
        target = torch.tensor([0, 0, 0, 1, 2])
        nll = torch.empty(5)
        exact = F.cross_entropy(logits.double(), target, reduction="none")
        ragged.softmax_rows(logits, target, None, nll, 0, True)
        assert nll[[0, 1, 3, 4]].tolist() == pytest.approx(exact[[0, 1, 3, 4]].tolist(), rel=1e-6)
        assert not nll[2].isfinite() and logits[[0, 1, 3, 4]].isfinite().all()


def _gradients_of(module: torch.nn.Module, value: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value, list(module.parameters()), retain_graph=True)


if INTERPRETED:

    class TestInterpreted(Interpreted):
        pass
