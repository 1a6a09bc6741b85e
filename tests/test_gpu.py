"""What only a GPU can show: no stall, no device assert, kernels and graphs on the device.

``pytest tests/test_gpu.py -n 0`` on a machine with one. Where Triton interprets, all are skipped.
"""

import os
import warnings

import pytest
import torch

from adasoft import AdaptiveEmbedding, AdaptiveSoftmax

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="Triton interprets in this process"),
]

LOW = (torch.bfloat16, torch.float16)


def make(dtype=torch.float32, **kwargs):
    torch.manual_seed(0)
    return AdaptiveSoftmax(64, 3000, [300, 900], widths=[32, 16], **kwargs).to("cuda", dtype)


def batch(n=200, dtype=torch.float32, low=0, high=3000):
    random = torch.Generator().manual_seed(1)
    x = torch.randn(n, 64, generator=random).to("cuda", dtype).requires_grad_()
    return x, torch.randint(low, high, (n,), generator=random).cuda()


def gradients(loss, layer, x):
    return torch.autograd.grad(loss, [x, *layer.parameters()])


def on_cpu_in_fp64(layer, x, target):
    """Output, loss and gradients of the same weights."""
    twin = AdaptiveSoftmax(64, 3000, [300, 900], widths=[32, 16], dtype=torch.float64, order=layer._tables["order"])
    twin.load_state_dict({name: value.detach().double().cpu() for name, value in layer.stock_state_dict().items()})
    x = x.detach().double().cpu().requires_grad_()
    out = twin(x, target.cpu())
    return [*out, *gradients(out.loss, twin, x)]


def assert_close(ours, exact, dtype):
    tolerance = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 3e-2}[dtype]
    for a, b in zip(ours, exact, strict=True):
        a, b = a.detach().double().cpu(), b.detach()
        assert (a - b).norm() <= tolerance * b.norm()


@pytest.mark.parametrize("dtype", [torch.float32, *LOW])
@pytest.mark.parametrize("high", [3000, 900, 300], ids=["all clusters", "no last tail", "no tail"])
@pytest.mark.parametrize("order", [None, torch.arange(3000).flip(0)], ids=["sorted ids", "order"])
@pytest.mark.parametrize("reads_host", [True, False])
def test_against_fp64(dtype, high, order, reads_host):
    layer = make(dtype, order=order)
    layer.reads_host = reads_host
    x, target = batch(dtype=dtype, high=high)
    target = target if order is None else 2999 - target
    target[::7] = -100
    out = layer(x, target)
    assert_close([*out, *gradients(out.loss, layer, x)], on_cpu_in_fp64(layer, x, target), dtype)


@pytest.mark.parametrize("bad", [3000, -1, 2**40])
def test_a_bad_target_is_an_error_and_the_device_lives(bad):
    layer, (x, target) = make(), batch()
    good = layer(x, target).loss.item()
    wrong = target.clone()
    wrong[5] = bad
    with pytest.raises(RuntimeError, match=r"Target values should be in \[0, 2999\]"):
        layer(x, wrong)
    with pytest.raises(RuntimeError, match=r"candidates should be in \[0, 2999\]"):
        layer.score(x, wrong.unsqueeze(1))
    with pytest.raises(IndexError, match=r"ids should be in \[0, 2999\]"):
        AdaptiveEmbedding(3000, 64, [300, 900], widths=[32, 16], device="cuda")(wrong)
    layer.reads_host = False
    assert layer(x, wrong).loss.isnan()
    torch.cuda.synchronize()
    assert layer(x, target).loss.item() == pytest.approx(good, rel=1e-5)


def synchronisations(function):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            out = function()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    # not the notice that the mode is a prototype, which comes the first time
    return out, sum("called a synchronizing" in str(w.message) for w in seen)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("used", ["loss", "output"])
def test_one_stall_in_forward_and_none_in_backward(dtype, used):
    layer, (x, target) = make(dtype), batch(dtype=dtype)
    for reads_host, expected in ((True, 1), (False, 0)):
        layer.reads_host = reads_host
        gradients(getattr(layer(x, target), used).sum(), layer, x)  # compiles
        value, stalls = synchronisations(lambda: getattr(layer(x, target), used).sum())
        assert stalls == expected
        assert synchronisations(lambda value=value: gradients(value, layer, x))[1] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_graph_serves_every_batch(dtype):
    layer, (x, target) = make(dtype), batch(dtype=dtype)
    layer.reads_host = False

    def step():
        out = layer(x, target)
        return [*out, *gradients(out.loss, layer, x)]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = step()
    for low, high in ((0, 3000), (0, 300), (900, 3000), (300, 900)):
        x.data.copy_(torch.randn_like(x))
        target.copy_(torch.randint(low, high, target.shape, device="cuda"))
        graph.replay()
        assert_close(made, on_cpu_in_fp64(layer, x, target), dtype)


@pytest.mark.filterwarnings("default")  # the compiler's advice is not ours to heed
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_whole_and_once(dtype):
    torch._dynamo.reset()
    layer = make(dtype)
    compiled = torch.compile(layer, fullgraph=True)
    for low, high in ((0, 3000), (0, 300), (900, 3000)):
        x, target = batch(dtype=dtype, low=low, high=high)
        with torch._dynamo.config.patch(error_on_recompile=True):
            out = compiled(x, target)
        assert_close([*out, *gradients(out.loss, layer, x)], on_cpu_in_fp64(layer, x, target), dtype)


@pytest.mark.parametrize("low", LOW)
def test_autocast(low):
    layer, (x, target) = make(), batch()
    for reads_host in (True, False):
        layer.reads_host = reads_host
        with torch.autocast("cuda", low):
            out = layer(x, target)
        assert out.output.dtype == out.loss.dtype == torch.float32
        assert_close([*out, *gradients(out.loss, layer, x)], on_cpu_in_fp64(layer, x, target), low)


def test_decoding_equals_brute_force():
    layer, (x, target) = make(), batch()
    truth = layer.log_prob(x)
    torch.testing.assert_close(layer.topk(x, 10).values, truth.topk(10).values, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.score(x, target[:, None])[:, 0], truth.gather(1, target[:, None])[:, 0])
    assert layer.predict(x).shape == (200,) and layer.sample(x, 3, top_p=0.9).max() < 3000


def test_too_little_memory_is_an_error_and_no_end():
    layer = AdaptiveSoftmax(64, 2_000_000, [1000], widths=[8], device="cuda")
    x, target = torch.randn(4096, 64, device="cuda"), torch.randint(2_000_000, (4096,), device="cuda")
    try:
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 2**30) / total)
        with pytest.raises(torch.OutOfMemoryError):
            layer.log_prob(x)  # 32 GB
        layer(x, target).loss.backward()
        layer.topk(x, 3)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_kernels_against_the_eager_layer():
    from gpu_agreement import check  # needs Triton

    lines = check(tokens=1024, n_classes=20_000, cutoffs=(2_000, 6_000), widths=(256, 24))
    assert len(lines) == 15
