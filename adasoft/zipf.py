"""The rank-frequency law of Zipf and Mandelbrot, and its fit by maximum likelihood. NumPy only."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from .checks import number

Model = Literal["zipf", "zipf-mandelbrot"]


@dataclass(frozen=True)
class ZipfFit:
    """A fitted rank-frequency law p_r = (r + q)^-s / Z, r = 1..V (Zipf 1949: q = 0; Mandelbrot 1953).

    >>> from adasoft import Vocabulary
    >>> fit = Vocabulary.synthetic(1000, exponent=1.1).fit()
    >>> round(fit.exponent, 6), fit.shares()[:2].round(4)
    (1.1, array([0.1794, 0.0837]))
    """

    model: Model
    exponent: float
    """s"""
    shift: float
    """q, above -1; 0 for model "zipf"."""
    log_likelihood: float
    """Nats, over all tokens: sum of count_r log p_r."""
    divergence: float
    """Kullback-Leibler divergence of the data from the fit, nats per token."""
    max_share_error: float
    """Largest |cumulative share of the data - cumulative share of the fit| over all ranks."""
    n_classes: int

    def shares(self) -> NDArray[np.float64]:
        """The fitted shares p_r by rank: (V,), summing to 1."""
        return zipf_shares(self.n_classes, self.exponent, self.shift)

    def counts(self, total: float) -> NDArray[np.float64]:
        """Expected counts by rank, total * p_r: (V,)."""
        return number("total", total, math.ulp(0.0), sys.float_info.max, "above 0 and finite") * self.shares()


def log_zipf_shares(n_classes: int, exponent: float, shift: float) -> NDArray[np.float64]:
    """log p_r by rank, p_r = (r + shift)^-exponent / Z: (V,)."""
    logits = -exponent * np.log(np.arange(n_classes) + (1.0 + shift))
    logits -= logits[0]  # exponent >= 0: the largest, so nothing overflows
    return cast("NDArray[np.float64]", logits - math.log(np.exp(logits).sum()))


def zipf_shares(n_classes: int, exponent: float, shift: float) -> NDArray[np.float64]:
    """p_r by rank, p_r = (r + shift)^-exponent / Z: (V,), summing to 1."""
    return cast("NDArray[np.float64]", np.exp(log_zipf_shares(n_classes, exponent, shift)))


def maximum_likelihood(data: NDArray[np.float64], model: Model, name: str) -> tuple[float, float]:
    """The s and q that maximise l = sum_r data_r log p_r, by Newton's method in (s, t), t = log(1 + q).

    With u = log(r + q), w = du/dt = (1 + q) / (r + q); mean, Var and Cov under p; D[x] = the mean of x
    under p minus that under data:

        dl/ds = D[u]      -d2l/ds2  = Var[u]
        dl/dt = s D[w]    -d2l/dsdt = s Cov[u, w] - D[w]     -d2l/dt2 = s^2 Var[w] - s D[w (1 - w)]

    In s alone l is concave. Where the matrix is not positive definite, its expectation without the D terms
    (Fisher scoring) gives an ascent direction instead. Steps are halved until l does not fall.
    """
    steps_from_first = np.arange(len(data), dtype=np.float64)

    def evaluate(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        u = np.log(steps_from_first + math.exp(theta[1]))
        logits = -theta[0] * (u - (u[0] if theta[0] >= 0 else u[-1]))
        weights = np.exp(logits)
        return float(data @ logits) - math.log(weights.sum()), weights / weights.sum(), u

    theta = np.array([1.0, 0.0])
    for free in (1, 2) if model == "zipf-mandelbrot" else (1,):  # s alone, then both from there
        value, p, u = evaluate(theta)
        settled = False
        for _ in range(200):
            s, w = theta[0], np.exp(theta[1] - u)
            excess = p - data
            slope = np.array([excess @ u, s * (excess @ w)])[:free]
            centred = np.stack([u - p @ u, s * (w - p @ w)])[:free]
            fisher = (centred * p) @ centred.T
            cross = -excess @ w
            bend = np.array([[0.0, cross], [cross, -s * (excess @ (w - w * w))]])[:free, :free]
            step = np.zeros(2)
            step[:free] = _ascent(fisher + bend, fisher, slope)
            # No step multiplies 1 + q by more than e^2: far off, the quadratic model says little.
            step /= max(1.0, abs(step[1]) / 2)
            gain = float(slope @ step[:free])  # nats per token, twice what the step promises
            # Rounding alone is left, which a flat direction would turn into a long step.
            if settled := free == 2 and gain < 1e-20:
                break
            for halving in range(40):
                new_theta = theta + step / 2**halving
                new_value, p, u = evaluate(new_theta)
                if new_value >= value - 1e-14 * (1.0 + abs(value)):  # no less but for rounding
                    break
            theta, value = new_theta, new_value
            # The step just taken squares the error that it found.
            settled = gain < 1e-26 or bool((np.abs(step) < 1e-8 * (1.0 + np.abs(theta))).all())
            if settled or not -20 < theta[1] < 10 + math.log(len(data)):
                break
        if not settled:
            raise RuntimeError(
                f"fit: found no maximum of the {model} likelihood of {name!r} at finite parameters "
                f"(exponent {theta[0]:.6g} and shift {math.expm1(theta[1]):.6g} at the end); the curve has "
                "another shape"
            )
    return max(float(theta[0]), 0.0), math.expm1(theta[1])  # falling counts: s < 0 only by rounding


def _ascent(
    newton: NDArray[np.float64], fisher: NDArray[np.float64], slope: NDArray[np.float64]
) -> NDArray[np.float64]:
    """newton^-1 slope; fisher^-1 slope where newton is not positive definite, flat directions left out."""
    for matrix in (newton, fisher):
        # Scaled to a unit diagonal: s and t may differ by many orders of magnitude.
        scale = np.sqrt(np.maximum(np.diagonal(matrix), 1e-300))
        values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
        if values[0] > 1e-14:
            break
    along = (vectors.T @ (slope / scale)) / np.where(values > 1e-14, values, np.inf)
    return cast("NDArray[np.float64]", (vectors @ along) / scale)
