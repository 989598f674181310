"""Covariances of tied members against dense inverses that know no structure."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sktie._posterior import Posterior
from sktie._tie import scaled_tie

N = 4
STRENGTHS = {
    "tie=1e-9": np.full(N, 1e-9),
    "tie=0.3": np.full(N, 0.3),
    "tie=1e6": np.full(N, 1e6),
    "mixed": np.array([1e-6, 0.5, 40.0, 1e5]),
    "0 and inf": np.array([0.0, 0.5, np.inf, 1e3]),
    "tie=0": np.zeros(N),
    "tie=inf": np.full(N, np.inf),
}
strengths = pytest.mark.parametrize("name", STRENGTHS)
hubs = pytest.mark.parametrize("free_hub", [True, False], ids=["mean", "fixed"])
members = pytest.mark.parametrize("n_members", [1, 2, 5])


def curvatures(n_members, seed=0, decay=0.2):
    """Hessians of losses, and with decay."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_members, 12, N)) * rng.uniform(0.3, 3, N)
    data = np.swapaxes(rows, 1, 2) @ rows
    return data, data + decay * np.eye(N)


def posterior(hessians, strength, free_hub, mean_decay):
    scale, weight = scaled_tie(strength)
    return Posterior(
        hessians,
        scale,
        weight,
        free_hub,
        np.full(N, mean_decay),
        lambda f, x: map(f, x),
    )


def dense(hessians, strength, free_hub, mean_decay):
    """The inverse over the members that the ties allow, (n_members, n, n_members, n).

    A basis of these members, and the Hessian in it: nothing else is used.
    """
    n_members = len(hessians)
    whole = np.zeros((n_members, N, n_members, N))
    for t, hessian in enumerate(hessians):
        whole[t, :, t] += hessian
    deviation = np.eye(n_members)
    if free_hub:
        deviation -= 1 / n_members
    basis = []
    for j in range(N):
        if np.isinf(strength[j]):
            if free_hub:
                basis.append(np.zeros((n_members, N)))
                basis[-1][:, j] = 1
            continue
        whole[:, j, :, j] += strength[j] * deviation
        for t in range(n_members):
            basis.append(np.zeros((n_members, N)))
            basis[-1][t, j] = 1
    if free_hub:
        diagonal = np.arange(N)
        whole[:, diagonal, :, diagonal] += mean_decay / n_members**2
    size = n_members * N
    if not basis:
        return np.zeros_like(whole)
    basis = np.reshape(basis, (-1, size)).T
    inverse = basis @ np.linalg.inv(basis.T @ whole.reshape(size, size) @ basis)
    return (inverse @ basis.T).reshape(whole.shape)


@strengths
@hubs
@members
@pytest.mark.parametrize("mean_decay", [0.0, 0.7])
def test_covariances_are_blocks_of_the_inverse(name, free_hub, n_members, mean_decay):
    strength = STRENGTHS[name]
    data, hessians = curvatures(n_members)
    found = posterior(hessians, strength, free_hub, mean_decay)
    whole = dense(hessians, strength, free_hub, mean_decay)
    tolerance = {"rtol": 1e-7, "atol": 1e-10}
    for t in range(n_members):
        assert_allclose(found.covariances[t], whole[t, :, t], **tolerance)
    assert_allclose(found.mean_covariance, whole.mean(axis=(0, 2)), **tolerance)
    vectors = np.random.default_rng(1).normal(size=(n_members, N))
    expected = np.einsum("tisj,sj->ti", whole, vectors)
    assert_allclose(found.apply(vectors), expected, **tolerance)
    weights = np.einsum("tisj,sjk->tsik", whole, data)
    shares = np.einsum("tsii->ts", weights) / N
    own, others = found.shares(data)
    assert_allclose(own, np.diag(shares), **tolerance)
    assert_allclose(others, shares.sum(axis=1) - np.diag(shares), **tolerance)


@strengths
@hubs
@members
@pytest.mark.parametrize("mean_decay", [0.0, 0.7])
def test_sandwiches_are_blocks_of_the_whole(name, free_hub, n_members, mean_decay):
    strength = STRENGTHS[name]
    _, hessians = curvatures(n_members)
    meat, _ = curvatures(n_members, seed=1)
    members, mean = posterior(hessians, strength, free_hub, mean_decay).sandwich(meat)
    inverse = dense(hessians, strength, free_hub, mean_decay)
    whole = np.einsum("tirk,rkl,rlsj->tisj", inverse, meat, inverse)
    tolerance = {"rtol": 1e-7, "atol": 1e-9}
    for t in range(n_members):
        assert_allclose(members[t], whole[t, :, t], **tolerance)
    assert_allclose(mean, whole.mean(axis=(0, 2)), **tolerance)


@strengths
@hubs
@members
@pytest.mark.parametrize("mean_decay", [0.0, 0.7])
def test_determinants_relative_to_the_prior(name, free_hub, n_members, mean_decay):
    strength, decay = STRENGTHS[name], 0.2
    _, hessians = curvatures(n_members, decay=decay)
    found = posterior(hessians, strength, free_hub, mean_decay)
    prior = np.broadcast_to(decay * np.eye(N), hessians.shape)

    def log_det(of):
        whole = dense(of, strength, free_hub, mean_decay)
        inverse = whole.reshape(n_members * N, -1)
        values = np.linalg.eigvalsh(0.5 * (inverse + inverse.T))
        kept = values[values > 1e-9 * max(values.max(), 1e-300)]
        return -np.log(kept).sum()

    ratio = found.log_det - found.log_det_of_prior(np.full(N, decay))
    assert_allclose(ratio, log_det(hessians) - log_det(prior), rtol=1e-6, atol=1e-9)


def test_flat_mean_leaves_the_deviations():
    # Without any decay the prior of T members is that of T - 1 deviations.
    strength = np.array([0.01, 0.5, 40.0, 1e5])
    _, hessians = curvatures(3, decay=0.0)
    found = posterior(hessians, strength, True, 0.0)
    other = posterior(hessians, 2 * strength, True, 0.0)
    zero = np.zeros(N)
    # log |prior| is 2 log D for each coefficient, but `log_det` leaves out the same.
    plain = [
        -np.linalg.slogdet(dense(hessians, s, True, 0.0).reshape(12, 12))[1]
        for s in (strength, 2 * strength)
    ]
    ratios = [p.log_det - p.log_det_of_prior(zero) for p in (found, other)]
    expected = plain[1] - plain[0] - 2 * N * np.log(2)
    assert_allclose(ratios[1] - ratios[0], expected, rtol=1e-9)
