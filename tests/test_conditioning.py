"""Strengths and scales over 24 decades, against the objectives in decimal arithmetic.

Nothing of sktie works out the minima: the objective of each model, written out, is
minimised by Newton's method in numbers of 60 digits, where nothing is ill-conditioned.
"""

import warnings
from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

from sktie import (
    KMeansPrior,
    SharedConvClassifier,
    TiedLogisticRegression,
    TiedMLPClassifier,
    TiedPair,
    TiedPoissonRegressor,
    TiedRidge,
)

N, P, T = 48, 2, 3
RNG = np.random.default_rng(7)
X = RNG.normal(size=(N, P))
DOMAIN = np.arange(N) % T
RAW = X @ [1.0, -0.5] + 0.5 * DOMAIN * X[:, 0] - 0.3
LABELS = (RAW + RNG.logistic(size=N) > 0).astype(int)
NUMBERS = RAW + RNG.normal(size=N)
COUNTS = RNG.poisson(np.exp(np.clip(RAW, -2, 2)))
INF = np.inf
STRENGTHS = [0.0, 1e-12, 1e-6, 1.0, 1e6, 1e12, INF]
DIGITS = 60


def exactly(values):
    return [[Decimal(float(v)) for v in row] for row in np.atleast_2d(values)]


# --- The oracle: losses of one row, as (value, slope, curvature) of its raw prediction.


def log_loss(f, y):
    share = 1 / (1 + (-f).exp())
    z = f if y else -f
    return (1 + (-z).exp()).ln(), share - y, share * (1 - share)


def half_square(f, y):
    return (f - y) ** 2 / 2, f - y, Decimal(1)


def poisson(f, y):
    mean = f.exp()
    least = y - y * y.ln() if y else 0  # half the deviance
    return mean - y * f - least, mean - y, mean


def solved(matrix, vector):
    """Return the solution of a positive definite system."""
    n = len(vector)
    rows = [[*row, v] for row, v in zip(matrix, vector, strict=True)]
    for i in range(n):
        for k in range(i + 1, n):
            factor = rows[k][i] / rows[i][i]
            rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    found = [Decimal(0)] * n
    for i in reversed(range(n)):
        rest = sum(rows[i][j] * found[j] for j in range(i + 1, n))
        found[i] = (rows[i][n] - rest) / rows[i][i]
    return found


class Objective:
    """Losses of members, their decays, and a tie between them, in decimal numbers.

    ``decay`` and ``tie`` have a strength for each coefficient, the intercept's last.
    Members with an infinite tie in every coefficient are one.
    """

    def __init__(self, losses, X, y, member, decays, tie, share=1):
        count = len(losses)
        self.shared = np.isinf(tie).all()
        self.member = np.zeros_like(member) if self.shared else member
        self.losses = losses
        self.kind = member
        self.rows = [[*row, Decimal(1)] for row in exactly(X)]
        self.y = [Decimal(float(v)) for v in y]
        self.share = Decimal(share)
        self.decays = exactly(decays)
        if self.shared:
            self.decays = [[sum(column) for column in zip(*self.decays, strict=True)]]
            count = 1
        self.count, self.size = count, len(self.rows[0])
        self.tie = [Decimal(0) if self.shared else Decimal(float(t)) for t in tie]

    def parts(self, theta, curved=True):
        """Return value, gradient and Hessian."""
        n, size, count = self.count * self.size, self.size, self.count
        value, gradient = Decimal(0), [Decimal(0)] * n
        hessian = [[Decimal(0)] * n for _ in range(n)] if curved else None
        for row, y, t, kind in zip(
            self.rows, self.y, self.member, self.kind, strict=True
        ):
            at = t * size
            f = sum(a * b for a, b in zip(row, theta[at : at + size], strict=True))
            loss, slope, curvature = self.losses[kind](f, y)
            value += self.share * loss
            for i, a in enumerate(row):
                gradient[at + i] += self.share * slope * a
                for j, b in enumerate(row) if curved else ():
                    hessian[at + i][at + j] += self.share * curvature * a * b
        for t in range(count):
            for j in range(size):
                place = t * size + j
                own = theta[place]
                mean = sum(theta[s * size + j] for s in range(count)) / count
                decay, tie = self.decays[t][j], self.tie[j]
                # tie / 2 Omega, with Omega = 2 sum_t |w_t - mean|^2.
                value += decay * own**2 / 2 + tie * (own - mean) ** 2
                gradient[place] += decay * own + 2 * tie * (own - mean)
                if curved:
                    hessian[place][place] += decay + 2 * tie
                    for s in range(count):
                        hessian[place][s * size + j] -= 2 * tie / count
        return value, gradient, hessian

    def value(self, members):
        """Return the objective at parameters (members, coefficients)."""
        members = np.asarray(members)[: self.count]
        with localcontext(prec=DIGITS):
            theta = [v for row in exactly(members) for v in row]
            return self.parts(theta, curved=False)[0]

    def minimum(self):
        """Return the least value, to many digits."""
        with localcontext(prec=DIGITS):
            theta = [Decimal(0)] * (self.count * self.size)
            for _ in range(200):
                value, gradient, hessian = self.parts(theta)
                step = solved(hessian, gradient)
                decrement = sum(a * b for a, b in zip(step, gradient, strict=True))
                if decrement <= abs(value) * Decimal("1e-25"):
                    return value
                length = Decimal(1)
                while True:
                    there = [a - length * b for a, b in zip(theta, step, strict=True)]
                    if self.parts(there, curved=False)[0] < value:
                        break
                    length /= 2
                theta = there
        raise AssertionError("Newton's method did not end")


def gap(objective, members):
    """Return how far above the minimum a fit is, relative to it."""
    least = objective.minimum()
    assert objective.value(members) >= least * (1 - Decimal("1e-20"))
    return float((objective.value(members) - least) / abs(least))


def members_of(model):
    return np.column_stack(
        [
            model.domain_coef_.reshape(T, P),
            np.broadcast_to(model.domain_intercept_.reshape(-1), (T,)),
        ]
    )


KINDS = {
    "logistic": (TiedLogisticRegression, log_loss, LABELS, 1),
    "ridge": (TiedRidge, half_square, NUMBERS, 1),
    "Poisson": (TiedPoissonRegressor, poisson, COUNTS, Decimal(1) / N),
}


def with_decay(name, decay):
    if name == "logistic":
        return {"C": 1 / decay if decay > 0 else INF}
    return {"alpha": decay}


def check(name, tie, decay, solver="auto", scale=1.0, tol=1e-8):
    make, loss, y, share = KINDS[name]
    settings = {} if name == "ridge" else {"solver": solver, "tol": 1e-10}
    model = make(tie=tie, **with_decay(name, decay), **settings)
    model.fit(X * scale, y, sample_domain=DOMAIN)
    if decay > 0:
        decay = 1 / (1 / decay) if name == "logistic" else decay
    decays = np.tile([decay, decay, 0.0], (T, 1))
    objective = Objective(
        [loss] * T, X * scale, y, DOMAIN, decays, np.full(P + 1, tie), share
    )
    assert gap(objective, members_of(model)) <= tol, (tie, decay)
    return model


@pytest.mark.parametrize("decay", [0.0, 1e-12, 1e-6, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("tie", STRENGTHS)
@pytest.mark.parametrize("name", KINDS)
def test_every_strength_has_its_minimum(name, tie, decay):
    check(name, tie, decay)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("tie", [1e-12, 1e12])
@pytest.mark.parametrize("decay", [1e-12, 1e12])
@pytest.mark.parametrize("name", ["logistic", "Poisson"])
def test_by_every_solver(name, decay, tie, solver):
    check(name, tie, decay, solver)


@pytest.mark.parametrize("name", KINDS)
def test_the_oracle_is_that_of_scikit_learn(name):
    # One domain, no tie: models that scikit-learn has.
    _, loss, y, share = KINDS[name]
    peers = {
        "logistic": LogisticRegression(C=0.5, tol=1e-12, solver="newton-cholesky"),
        "ridge": Ridge(alpha=2.0),
        "Poisson": PoissonRegressor(alpha=2.0, tol=1e-12, solver="newton-cholesky"),
    }
    peer = peers[name].fit(X, y)
    members = np.append(np.ravel(peer.coef_), peer.intercept_)[np.newaxis]
    one = np.zeros(N, dtype=int)
    decays = [[2.0, 2.0, 0.0]]
    objective = Objective([loss], X, y, one, decays, np.zeros(P + 1), share)
    assert gap(objective, members) < 1e-12
    off = members + 1e-4
    assert gap(objective, off) > 1e-10


@pytest.mark.parametrize("decay", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("tie", STRENGTHS)
@pytest.mark.parametrize("kinds", ["two classifiers", "class and number"])
def test_two_models_of_different_form(kinds, tie, decay):
    domain = np.minimum(DOMAIN, 1)
    a = LogisticRegression(C=1 / decay)
    losses, b, y = [log_loss, log_loss], LogisticRegression(), LABELS
    if kinds == "class and number":
        losses, b = [log_loss, half_square], Ridge(alpha=1.0)
        y = np.where(domain == 0, LABELS, NUMBERS)
    model = TiedPair(a, b, tie=tie, tie_intercept=True, tol=1e-10)
    model.fit(X, y, sample_domain=domain)
    decays = [[1 / (1 / decay)] * P + [0.0], [1.0] * P + [0.0]]
    # For two, tie / 2 |w_a - w_b|^2 is tie sum_t |w_t - mean|^2.
    objective = Objective(losses, X, y, domain, decays, np.full(P + 1, tie))
    members = np.column_stack([model.coef_, model.intercept_])
    assert gap(objective, members) <= 1e-8


# --- Scales: another unit of the features, with the strengths that belong to it.

SCALES = [1e-12, 1e-6, 1e-3, 1e3, 1e6, 1e12]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("tie", [0.0, 1.0, INF])
@pytest.mark.parametrize("name", KINDS)
def test_the_unit_of_all_features(name, tie, scale):
    make, _, y, _ = KINDS[name]

    def raw(scale):
        strengths = with_decay(name, scale**2)
        settings = {} if name == "ridge" else {"tol": 1e-14}
        model = make(tie=tie * scale**2, tie_intercept=1.0, **strengths, **settings)
        model.fit(X * scale, y, sample_domain=DOMAIN)
        return (
            np.log(model.predict(X * scale, sample_domain=DOMAIN))
            if (name == "Poisson")
            else (
                model.decision_function(X * scale, sample_domain=DOMAIN)
                if name == "logistic"
                else model.predict(X * scale, sample_domain=DOMAIN)
            )
        )

    assert_allclose(raw(scale), raw(1.0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scales", [(1e-12, 1e12), (1e12, 1e-12), (1e-6, 1e12)])
@pytest.mark.parametrize("tie", [0.0, 1.0, INF])
@pytest.mark.parametrize("name", KINDS)
def test_the_unit_of_each_feature(name, tie, scales):
    make, _, y, _ = KINDS[name]
    scales = np.array(scales)

    def coefs(scales):
        settings = {} if name == "ridge" else {"tol": 1e-14}
        each = {j: tie * scale**2 for j, scale in enumerate(scales)}
        model = make(
            tie=each, tie_intercept=1.0, **with_decay(name, 0.0), **settings
        ).fit(X * scales, y, sample_domain=DOMAIN)
        return model.domain_coef_.reshape(T, P) * scales, model.domain_intercept_

    for found, expected in zip(coefs(scales), coefs(np.ones(P)), strict=True):
        assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# --- Networks: no minimum is the only one, but the ends are known.

IMAGES = RNG.normal(size=(30, 5, 5))
THREE = np.arange(30) % 3


def quietly(model, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("name", ["tie", "tie_output", "alpha"])
def test_networks_keep_to_numbers_over_24_decades(name, solver):
    losses = []
    for strength in STRENGTHS[:-1]:
        pair = KMeansPrior(4, n_init=1, random_state=0)
        model = TiedMLPClassifier(
            pair, solver=solver, max_iter=200, random_state=0, **{name: strength}
        )
        quietly(model, X, LABELS)
        losses.append(model.loss_)
        shares = model.predict_proba(X)
        assert np.isfinite(shares).all()
        if name == "alpha" and strength == 1e12 and solver == "lbfgs":
            assert_allclose(shares, np.tile(shares[0], (N, 1)), atol=1e-6)
    assert np.isfinite(losses).all()
    # The smallest strength is none; but a readout to be tied to is a start as well.
    assert_allclose(losses[2 if name == "tie_output" else 0], losses[1], rtol=1e-3)


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "sgd"])
@pytest.mark.parametrize("name", ["tie", "alpha"])
def test_convolutions_keep_to_numbers_over_24_decades(name, solver):
    losses = {}
    for strength in STRENGTHS:
        if name == "alpha" and np.isinf(strength):
            continue
        settings = {"tie": 1.0, "alpha": 1e-4} | {name: strength}
        if name == "alpha" and solver != "lbfgs" and strength > 1.0:
            # A decay of that size is no step of Adam's or of SGD's.
            settings["learning_rate_init"] = min(1e-2, 0.1 / strength)
        model = SharedConvClassifier(
            2,
            solver=solver,
            max_iter=60,
            bias="shared",
            random_state=0,
            n_jobs=1,
            **settings,
        )
        quietly(model, IMAGES, THREE)
        losses[strength] = model.loss_
        assert np.isfinite(model.predict_proba(IMAGES)).all()
    assert_allclose(losses[1e-12], losses[0.0], rtol=1e-3)
