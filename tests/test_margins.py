"""Margins for classifiers: the identities of HASeparator and its rivals, in fp64."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from adasoft import margins as M
from adasoft.bench.margins import SETTINGS, bench_margins

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "data" / "results" / "bench-margins-cpu.json"
B, C, D = 7, 5, 6


pytestmark = pytest.mark.usefixtures("in_fp64")


def drawn():
    return torch.randn(B, D), torch.arange(B) % C


def every():
    return [M.CLASSIFIERS[name](D, C, **how) for name, how in SETTINGS]


def simplex(n):
    """n unit vectors with equal angles, in n features."""
    return F.normalize(torch.eye(n) - 1 / n, dim=1)


def by_tensor(x, weight, target):
    """Distances as the definition says, with the normal of each hyperplane; nan for a row's own class."""
    normals = F.normalize(weight[target].unsqueeze(1) - weight.unsqueeze(0), dim=2, eps=0.0)
    return torch.einsum("bd,bjd->bj", F.normalize(x, dim=1), normals)


def test_distances_from_cosines_are_those_to_the_planes():
    (x, target), weight = drawn(), F.normalize(torch.randn(C, D), dim=1)
    found = M.distances(F.normalize(x, dim=1) @ weight.t(), target, weight)
    own = F.one_hot(target, C).bool()
    torch.testing.assert_close(found[~own], by_tensor(x, weight, target)[~own], rtol=1e-12, atol=1e-14)
    assert not found[own].any()


def test_two_classes_of_one_vector_have_no_plane_between_them():
    weight = torch.eye(3)[[0, 0, 1]].requires_grad_()
    cosines = (torch.eye(3)[:2] @ weight.t()).requires_grad_()
    found = M.distances(cosines, torch.tensor([0, 1]), weight)
    found.sum().backward()
    assert found[0, 1] == found[1, 0] == 0 and torch.isfinite(weight.grad).all()


def test_a_row_is_right_where_all_distances_are_positive():
    layer, x, target = M.HASeparator(D, C), torch.randn(200, D), torch.arange(200) % C
    reached = M.distances(layer.cosines(x), target, F.normalize(layer.weight, dim=1))
    others = reached.masked_fill(F.one_hot(target, C).bool(), math.inf)
    right = layer.predict(x) == target
    assert 0 < right.sum() < 200
    assert torch.equal((others > 0).all(1), right)


def test_what_can_be_reached_at_a_class_vector():
    weight = torch.randn(C, D)
    unit = F.normalize(weight, dim=1)
    at_home = M.distances(unit @ unit.t(), torch.arange(C), unit).fill_diagonal_(math.inf).amin(1)
    torch.testing.assert_close(M.reachable_margins(weight), at_home)
    angles = (unit @ unit.t()).fill_diagonal_(-1).clamp(-1, 1).acos()
    torch.testing.assert_close(at_home, (angles / 2).sin().amin(1))


@pytest.mark.parametrize(("n", "most"), [(2, 1.0), (10, 0.745), (100, 0.711)])
def test_the_largest_margin_is_that_of_a_simplex(n, most):
    assert M.largest_margin(n, n) == pytest.approx(most, abs=5e-4)
    torch.testing.assert_close(M.reachable_margins(simplex(n)), torch.full((n,), M.largest_margin(n, n)))
    with pytest.raises(ValueError, match=rf"margin should be from -1 to .*no arrangement of {n} classes can exceed"):
        M.HASeparator(n, n, margin=M.largest_margin(n, n) + 1e-6)


def test_without_a_margin_all_are_the_normalised_softmax():
    x, target = drawn()
    plain = M.Normalized(D, C, 3.0)
    expected = F.cross_entropy(3 * F.normalize(x, dim=1) @ F.normalize(plain.weight, dim=1).t(), target)
    torch.testing.assert_close(plain(x, target), expected)
    for layer in (M.CosFace(D, C, 3.0, 0), M.ArcFace(D, C, 3.0, 0), M.HASeparator(D, C, 3.0, -1)):
        layer.weight.data = plain.weight.data
        torch.testing.assert_close(layer(x, target), expected)
        assert torch.equal(layer.logits(x), plain.logits(x))
    sphere = M.SphereFace(D, C, 1)
    sphere.weight.data = plain.weight.data
    lengths = x.norm(dim=1, keepdim=True)
    torch.testing.assert_close(sphere(x, target), F.cross_entropy(lengths * plain.cosines(x), target))


def test_the_hinge_by_hand():
    (x, target), layer = drawn(), M.HASeparator(D, C, 2.0, 0.4)
    reached, own = by_tensor(x, F.normalize(layer.weight, dim=1), target), F.one_hot(target, C).bool()
    hinge = sum(max(0.0, 0.4 - reached[i, j].item()) for i in range(B) for j in range(C) if not own[i, j]) / B
    assert hinge > 0
    assert layer(x, target).item() == pytest.approx(F.cross_entropy(layer.logits(x), target).item() + hinge)


def test_the_margins_of_the_rivals_by_hand():
    x, target = drawn()
    cosface, arcface, place = M.CosFace(D, C, 3.0, 0.3), M.ArcFace(D, C, 3.0, 0.5), target.unsqueeze(1)
    theta = cosface.cosines(x).acos().gather(1, place)
    moved = cosface.training_logits(x, target) - cosface.logits(x)
    torch.testing.assert_close(moved, -0.9 * F.one_hot(target, C).double())
    theta = arcface.cosines(x).acos().gather(1, place)
    torch.testing.assert_close(arcface.training_logits(x, target).gather(1, place), 3 * (theta + 0.5).cos())
    for m in (1, 2, 3, 4):
        layer = M.SphereFace(D, C, m)
        angle = layer.cosines(x).acos().gather(1, place)
        k = (m * angle / math.pi).floor()
        expected = x.norm(dim=1, keepdim=True) * ((-1) ** k * (m * angle).cos() - 2 * k)
        torch.testing.assert_close(layer.training_logits(x, target).gather(1, place), expected)


@pytest.mark.parametrize("name", ["ArcFace", "SphereFace", "CosFace"])
def test_a_larger_angle_never_scores_more(name):
    """ArcFace's cosine beyond pi, and cos(m theta) alone, would."""
    layer = M.CLASSIFIERS[name](2, 2)
    layer.weight.data = torch.eye(2)
    angles = torch.linspace(0, math.pi, 500)
    x = torch.stack([angles.cos(), angles.sin()], 1)
    scores = layer.training_logits(x, torch.zeros(500, dtype=torch.long))[:, 0].tolist()
    assert all(a > b - 1e-12 for a, b in pairwise(scores))


@pytest.mark.parametrize("layer", every(), ids=lambda layer: type(layer).__name__)
def test_gradients_are_those_of_the_loss(layer):
    layer = layer.double()
    (x, target), names = drawn(), [name for name, _ in layer.named_parameters()]

    def loss(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, target))

    # the checks of values wait for the numbers, which functional_call allows
    assert torch.autograd.gradcheck(loss, (x.requires_grad_(), *layer.parameters()))


@pytest.mark.parametrize("layer", every(), ids=lambda layer: type(layer).__name__)
def test_only_angles_count(layer):
    layer = layer.double()
    x, target = drawn()
    if isinstance(layer, M.Plain):
        return
    loss = layer(x.requires_grad_(), target)
    grad_x, grad_w = torch.autograd.grad(loss, (x, layer.weight))
    torch.testing.assert_close((grad_w * layer.weight).sum(1), torch.zeros(C), rtol=0, atol=1e-12)
    rotation = torch.linalg.qr(torch.randn(D, D)).Q
    turned = type(layer)(D, C, **{k: getattr(layer, k) for k in ("scale", "margin") if hasattr(layer, k)})
    turned.weight.data = 3 * layer.weight.data @ rotation
    torch.testing.assert_close(turned(x @ rotation, target), loss)
    if not isinstance(layer, M.SphereFace):  # which keeps the length of the embedding
        torch.testing.assert_close((grad_x * x).sum(1), torch.zeros(B), rtol=0, atol=1e-12)
        torch.testing.assert_close(layer(5 * x, target), loss)


def test_the_least_cross_entropy_of_scale_one():
    """At the class vectors of a simplex: 1.377 for ten classes, whatever the labels' entropy."""
    layer = M.Normalized(10, 10, 1.0)
    layer.weight.data = simplex(10)
    loss = layer(simplex(10), torch.arange(10)).item()
    assert loss == pytest.approx(math.log(1 + 9 * math.exp(-10 / 9))) == pytest.approx(1.377, abs=5e-4)


def test_vectors_of_zeros_give_finite_gradients():
    x, target = torch.zeros(B, D, requires_grad=True), torch.arange(B) % C
    for layer in every():
        layer.double()(x, target).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: M.Normalized(D, 1), "n_classes should be an integer of at least 2, got 1"),
        (lambda: M.Normalized(D, C, 0), "scale should be above 0 and at most 1e6, got 0"),
        (lambda: M.CosFace(D, C, margin=-0.1), "margin should be from 0 to 2, got -0.1"),
        (lambda: M.ArcFace(D, C, margin=4), "margin should be from 0 to pi, got 4"),
        (lambda: M.SphereFace(D, C, 1.5), "margin should be an integer"),
        (
            lambda: M.angle_gap(torch.eye(3), torch.tensor([0, 1, 2])),
            "labels should have pairs of one class and of two",
        ),
        (lambda: M.nearest_of_same_class(torch.eye(3), torch.arange(3)), "labels should have a class of two rows"),
        (lambda: M.angle_gap(torch.eye(3), torch.arange(2)), r"should be of the shapes \(N, d\) and \(N,\)"),
    ],
)
def test_bad_settings_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("x", "target", "message"),
    [
        (torch.zeros(2, D, dtype=torch.float64), torch.tensor([0, C]), f"target should be from 0 to {C - 1}, got {C}"),
        (torch.zeros(2, D, dtype=torch.float64), torch.tensor([-100, 0]), "target should be from 0 to 4, got -100"),
        (torch.full((1, D), math.nan, dtype=torch.float64), torch.tensor([0]), "input should hold finite numbers"),
        (
            torch.zeros(0, D, dtype=torch.float64),
            torch.zeros(0, dtype=torch.long),
            r"input should be of shape \(B, 6\)",
        ),
        (torch.zeros(2, D + 1, dtype=torch.float64), torch.tensor([0, 1]), r"input should have the shape"),
        (torch.zeros(2, D, dtype=torch.float64), torch.tensor([0.0, 1.0]), "should hold integer"),
    ],
)
def test_bad_batches_are_refused_by_name(x, target, message):
    for layer in every():
        with pytest.raises(RuntimeError, match=message):
            layer.double()(x, target)


def test_retrieval_by_hand():
    x = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0], [0.9, 1.0]])
    assert M.nearest_of_same_class(x, torch.tensor([0, 0, 1, 1])) == 1.0
    assert M.nearest_of_same_class(x, torch.tensor([0, 1, 0, 1])) == 0.0
    assert M.nearest_of_same_class(x, torch.tensor([0, 0, 2, 3])) == 1.0  # the others have no partner


def test_the_benchmark_at_a_tiny_size():
    pytest.importorskip("sklearn")
    torch.set_default_dtype(torch.float32)
    said = []
    record = bench_margins(seeds=2, steps=3, train=100, say=said.append)
    assert [row["classifier"] for row in record["rows"]] == [name for name, _ in SETTINGS]
    for row in record["rows"]:
        assert len(row["seeds"]) == 2 and 0 < row["accuracy"] < 1 and 0 < row["retrieval"] < 1
        assert row["accuracy"] == pytest.approx(sum(one["accuracy"] for one in row["seeds"]) / 2)
    assert json.loads(json.dumps(record)) == record and "means of 2 splits" in said[-1]


def test_what_the_stored_record_says():
    """The claims of data/results/README.md: margins cannot be told apart; the angles come from the scale."""
    rows = {(r["classifier"], r.get("scale"), r.get("margin")): r for r in json.loads(RECORD.read_text())["rows"]}
    unit = {scale: rows["normalised", scale, None] for scale in (1.0, 16.0)}
    separated = [row for (name, *_), row in rows.items() if name == "HASeparator"]
    assert len(separated) == 4 and unit[1.0]["angle gap"] > unit[16.0]["angle gap"] + 15
    for row in separated:
        control = unit[row["scale"]]
        assert abs(row["accuracy"] - control["accuracy"]) < min(row["sd"], control["sd"])
        assert row["scale"] != 1.0 or row["angle gap"] < control["angle gap"]
    best = sorted(rows.values(), key=lambda row: -row["retrieval"])[:4]
    assert {row["scale"] for row in best} == {16.0}
    text = (RECORD.parent / "README.md").read_text(encoding="utf-8")
    for row in rows.values():
        assert f"{row['accuracy'] * 100:.1f} ± {row['sd'] * 100:.1f} % | {row['angle gap']:.1f}" in text


def test_the_base_has_no_scores_of_its_own():
    with pytest.raises(TypeError, match="abstract"):
        M.MarginClassifier(D, C)
