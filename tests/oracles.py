"""Reference solvers for the tests, written from the formula and not from the package.

An `Instance` is one case of the objective with every choice spelled out; nothing in
this file but `fit_tied` and `parameters` knows sktie. The sizes are never passed
beside the arrays: ``n_samples, n_features = X.shape``, ``n_domains`` and ``n_classes``
are one more than the largest code in `domain` and `y` (an instance where some code has
no row at all is no case of the objective), ``n_rows`` of coefficients is 1 for two
classes and ``n_classes`` above.
"""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag, helmert
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression


@dataclass(frozen=True)
class Instance:
    """Data and settings of one fit; classes and domains are codes from 0."""

    X: np.ndarray
    y: np.ndarray
    domain: np.ndarray
    weight: np.ndarray
    tie: float = 1.0
    C: float = 1.0
    decay: str = "each"
    tie_intercept: bool | float = True
    fit_intercept: bool = True
    anchor: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def n_features(self):
        return self.X.shape[1]

    @property
    def n_domains(self):
        return int(self.domain.max()) + 1

    @property
    def n_classes(self):
        return int(self.y.max()) + 1

    @property
    def n_rows(self):
        return 1 if self.n_classes == 2 else self.n_classes

    @property
    def intercept_strength(self):
        """The strength of the tie of the intercepts as a number."""
        if isinstance(self.tie_intercept, bool):
            return self.tie if self.tie_intercept else 0.0
        return self.tie_intercept

    @cached_property
    def centred_anchor(self):
        """The fixed model; with 3 or more classes its rows are centred."""
        coef, intercept = (np.asarray(part, dtype=float) for part in self.anchor)
        if self.n_rows == 1:
            return coef, intercept
        return coef - coef.mean(axis=0), intercept - intercept.mean()

    def but(self, **changes):
        """The same instance with some settings changed."""
        return replace(self, **changes)

    def rows_of(self, t):
        """The rows of one domain, as an instance with that domain alone."""
        keep = self.domain == t
        return self.but(
            X=self.X[keep],
            y=self.y[keep],
            domain=np.zeros(keep.sum(), dtype=int),
            weight=self.weight[keep],
        )


def make_instance(
    sizes=(5, 40, 200), n_classes=2, n_features=4, weights=False, seed=0, **settings
):
    """Related domains of very unequal sizes, interleaved; each has every class."""
    rng = np.random.default_rng(seed)
    domain = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(domain.size, n_features))
    coef = rng.normal(size=(1, n_classes, n_features))
    coef = coef + 0.7 * rng.normal(size=(len(sizes), n_classes, n_features))
    raw = np.einsum("ij,ikj->ik", X, coef[domain])
    raw += 0.5 * rng.normal(size=(len(sizes), n_classes))[domain]
    y = np.argmax(raw + rng.gumbel(size=raw.shape), axis=1)
    for t in range(len(sizes)):
        y[np.flatnonzero(domain == t)[:n_classes]] = np.arange(n_classes)
    weight = rng.uniform(0.2, 3.0, size=y.size) if weights else np.ones(y.size)
    order = rng.permutation(y.size)
    return Instance(X[order], y[order], domain[order], weight[order], **settings)


# ---- the objective, as the formula reads -------------------------------------------


def row_losses(y, raw):
    """Log-loss of each row: one raw prediction (two classes) or one per class."""
    if raw.shape[1] == 1:
        return np.logaddexp(0.0, np.where(y == 1, -raw[:, 0], raw[:, 0]))
    # log(1 + sum of exp over the other classes): small losses keep all their digits.
    behind = raw - raw[np.arange(y.size), y][:, None]
    others = np.where(np.arange(raw.shape[1]) == y[:, None], -np.inf, behind)
    return np.logaddexp(0.0, logsumexp(others, axis=1))


def plain_loss(case, coef, intercept):
    """Sum of weighted losses of all rows, domain by domain."""
    total = 0.0
    for t in range(case.n_domains):
        own = case.rows_of(t)
        raw = own.X @ coef[t].T + intercept[t]
        total += np.sum(own.weight * row_losses(own.y, raw))
    return total


def plain_decay(case, coef):
    """1/(2C) times the squared norm of every domain's copy, or of the mean once."""
    counted = coef if case.decay == "each" else coef.mean(axis=0)
    return np.sum(counted**2) / (2 * case.C)


def plain_tie(strength, value, anchor=None):
    """Return strength/2 Omega; infinite ties cost nothing when kept, inf when not."""
    if anchor is not None:
        omega = np.sum((value[0] - anchor) ** 2)
    else:
        n_domains = len(value)
        omega = 0.0
        for t in range(n_domains):
            for s in range(t):
                omega += 2 / n_domains * np.sum((value[s] - value[t]) ** 2)
    if np.isinf(strength):
        # Rounding of a mean is no broken tie.
        kept = omega <= (1e-13 * max(1.0, np.abs(value).max())) ** 2 * value.size
        return 0.0 if kept else np.inf
    return strength / 2 * omega


def plain_objective(case, coef, intercept):
    """Objective at coef (n_domains, n_rows, p) and intercept (n_domains, n_rows)."""
    anchor = (None, None) if case.anchor is None else case.centred_anchor
    total = plain_loss(case, coef, intercept) + plain_decay(case, coef)
    total += plain_tie(case.tie, coef, anchor[0])
    if case.fit_intercept:
        total += plain_tie(case.intercept_strength, intercept, anchor[1])
    return total


def smooth_gradient(case, coef, intercept):
    """Gradient of loss and decay (all but the ties), in the shapes of the arguments."""
    n_domains = case.n_domains
    if case.decay == "each":
        coef_gradient = coef / case.C
    else:
        mean = coef.mean(axis=0) / (case.C * n_domains)
        coef_gradient = np.tile(mean, (n_domains, 1, 1))
    intercept_gradient = np.zeros_like(intercept)
    for t in range(n_domains):
        own = case.rows_of(t)
        error = own.weight[:, None] * _errors(own, coef[t], intercept[t])
        coef_gradient[t] += error.T @ own.X
        intercept_gradient[t] = error.sum(axis=0)
    return coef_gradient, intercept_gradient


def plain_gradient(case, coef, intercept):
    """Gradient of `plain_objective` for finite ties, in the shapes of the arguments."""
    coef_gradient, intercept_gradient = smooth_gradient(case, coef, intercept)
    anchor = (None, None) if case.anchor is None else case.centred_anchor
    coef_gradient += _tie_gradient(case.tie, coef, anchor[0])
    intercept_gradient += _tie_gradient(case.intercept_strength, intercept, anchor[1])
    if not case.fit_intercept:
        intercept_gradient[:] = 0.0
    return coef_gradient, intercept_gradient


def _tie_gradient(strength, value, anchor):
    if anchor is not None:
        return strength * (value - anchor)
    return 2 * strength * (value - value.mean(axis=0))


def _errors(case, coef, intercept):
    """Predicted probability minus indicator, per row and row of coefficients."""
    raw = case.X @ coef.T + intercept
    if raw.shape[1] == 1:
        return np.exp(-np.logaddexp(0.0, -raw)) - case.y[:, None]
    return np.exp(log_softmax(raw, axis=1)) - np.eye(raw.shape[1])[case.y]


def _smooth_hessian(case, coef, intercept):
    """Hessian of loss and decay over (all coefficients, all intercepts), C order."""
    n_domains, n_rows = intercept.shape
    split = coef.size
    size = split + intercept.size
    hessian = np.zeros((size, size))
    for t in range(n_domains):
        own = case.rows_of(t)
        p = _errors(own, coef[t], intercept[t])
        if n_rows == 1:
            p = p + own.y[:, None]
            curvature = (p * (1 - p))[:, :, None]
        else:
            p = p + np.eye(n_rows)[own.y]
            curvature = np.einsum("ik,kl->ikl", p, np.eye(n_rows))
            curvature -= p[:, :, None] * p[:, None, :]
        curvature *= own.weight[:, None, None]
        design = np.column_stack([own.X, np.ones(own.y.size)])
        block = np.einsum("ikl,ia,ib->kalb", curvature, design, design)
        of_coef = np.arange(split).reshape(coef.shape)[t]
        of_intercept = split + np.arange(intercept.size).reshape(intercept.shape)[t]
        where = np.column_stack([of_coef, of_intercept]).ravel()
        hessian[np.ix_(where, where)] = block.reshape(where.size, where.size)
    one = np.eye(coef[0].size)
    share = np.eye(n_domains)
    if case.decay == "shared":
        share = np.full((n_domains, n_domains), 1 / n_domains**2)
    hessian[:split, :split] += np.kron(share, one) / case.C
    return hessian


# ---- the minimum, in coordinates that hold at every strength ------------------------


@dataclass(frozen=True)
class _Coordinates:
    """Values (n_domains, ...) of one group of parameters as ``offset + basis @ z``.

    `z` is the mean and the deviations in an orthonormal basis of sum-to-zero contrasts,
    scaled by ``(1 + 2 tie)^(-1/2)``; the tie is then ``curvature @ z**2 / 2``. An
    infinite tie has no deviations: the tied parameters are shared, one copy.
    """

    offset: np.ndarray
    basis: np.ndarray
    curvature: np.ndarray

    @classmethod
    def of(cls, strength, n_domains, anchor, shape):
        offset = np.zeros((1, *shape)) if anchor is None else anchor[None]
        if anchor is not None:
            basis, pull = np.ones((1, 1)), np.array([1.0])
        else:
            basis = np.ones((1, 1))
            if n_domains > 1:
                contrasts = helmert(n_domains).T
                basis = np.column_stack([np.ones(n_domains), contrasts])
            pull = np.array([0.0] + [2.0] * (n_domains - 1))
        if np.isinf(strength):
            free = pull == 0
            return cls(offset, basis[:, free], pull[free])
        scale = 1 / np.sqrt(1 + pull * strength)
        return cls(offset, basis * scale, strength * pull * scale**2)

    def values(self, z):
        return self.offset + np.tensordot(self.basis, z, axes=1)

    def pull_back(self, gradient):
        return np.tensordot(self.basis.T, gradient, axes=1)

    def of_values(self, values):
        """The nearest z: the columns of the basis are orthogonal."""
        lengths = np.sum(self.basis**2, axis=0)
        raw = self.pull_back(values - self.offset)
        return raw / lengths.reshape(-1, *[1] * (values.ndim - 1))


class _Map:
    """From one vector to the coefficients and intercepts of an instance, and back."""

    def __init__(self, case):
        self.case = case
        shapes = (case.n_rows, case.n_features), (case.n_rows,)
        anchors = (None, None) if case.anchor is None else case.centred_anchor
        strengths = case.tie, case.intercept_strength
        self.groups = [
            _Coordinates.of(strength, case.n_domains, anchor, shape)
            for strength, anchor, shape in zip(strengths, anchors, shapes, strict=True)
        ]
        if not case.fit_intercept:
            absent = np.zeros((case.n_domains, 0))
            self.groups[1] = _Coordinates(np.zeros((1, case.n_rows)), absent, absent[0])
        self.shapes = [
            (group.curvature.size, *shape)
            for group, shape in zip(self.groups, shapes, strict=True)
        ]
        widths = [int(np.prod(shape)) for shape in shapes]
        self.curvature = np.concatenate(
            [
                np.repeat(group.curvature, width)
                for group, width in zip(self.groups, widths, strict=True)
            ]
        )
        self.jacobian = block_diag(
            *[
                np.kron(group.basis, np.eye(width))
                for group, width in zip(self.groups, widths, strict=True)
            ]
        )

    def parameters(self, z):
        split = int(np.prod(self.shapes[0]))
        parts = z[:split].reshape(self.shapes[0]), z[split:].reshape(self.shapes[1])
        coef, intercept = (
            group.values(part) for group, part in zip(self.groups, parts, strict=True)
        )
        full = self.case.n_domains
        return (
            np.broadcast_to(coef, (full, *coef.shape[1:])).copy(),
            np.broadcast_to(intercept, (full, *intercept.shape[1:])).copy(),
        )

    def coordinates(self, coef, intercept):
        parts = zip(self.groups, (coef, intercept), strict=True)
        return np.concatenate([g.of_values(v).ravel() for g, v in parts])

    def value(self, z):
        coef, intercept = self.parameters(z)
        smooth = plain_loss(self.case, coef, intercept) + plain_decay(self.case, coef)
        return smooth + np.sum(self.curvature * z**2) / 2

    def gradient(self, z):
        parts = zip(
            self.groups, smooth_gradient(self.case, *self.parameters(z)), strict=True
        )
        smooth = np.concatenate([g.pull_back(part).ravel() for g, part in parts])
        return smooth + self.curvature * z

    def hessian(self, z):
        full = _smooth_hessian(self.case, *self.parameters(z))
        return self.jacobian.T @ full @ self.jacobian + np.diag(self.curvature)


def centred(case, coef, intercept):
    """Coefficients and intercepts that sum to zero over three or more classes."""
    if case.n_rows == 1:
        return coef, intercept
    return (
        coef - coef.mean(axis=1, keepdims=True),
        intercept - intercept.mean(axis=1, keepdims=True),
    )


def scipy_minimum(case):
    """Minimum by scipy's trust region, polished by Newton steps.

    Returns coefficients (n_domains, n_rows, n_features) and intercepts (n_domains,
    n_rows). Raises when the gradient is above 1e-10 times the weight of the rows: an
    oracle that did not converge must not judge.
    """
    space = _Map(case)
    z = np.zeros(space.curvature.size)
    if z.size:
        z = minimize(
            space.value, z, jac=space.gradient, hess=space.hessian, method="trust-exact"
        ).x
    for _ in range(30):
        # Only a singular Hessian (the common shift of the classes) needs lstsq.
        step = np.linalg.lstsq(space.hessian(z), space.gradient(z), rcond=1e-14)[0]
        shorter = 1.0
        while space.value(z - shorter * step) > space.value(z) * (1 + 1e-14):
            shorter /= 2
        z = z - shorter * step
        if np.abs(step).max(initial=0.0) <= 1e-13 * max(1.0, np.abs(z).max(initial=0)):
            break
    residual = np.abs(space.gradient(z)).max(initial=0.0)
    if residual > 1e-10 * max(1.0, case.weight.sum()):
        raise AssertionError(f"the oracle did not converge: gradient {residual}")
    return centred(case, *space.parameters(z))


def remaining_gap(case, coef, intercept):
    """Estimate how far above the minimum the parameters are, relative to the objective.

    Half the squared Newton decrement in coordinates scaled by the ties: stationarity in
    the one unit that means the same at every strength.
    """
    space = _Map(case)
    z = space.coordinates(coef, intercept)
    gradient = space.gradient(z)
    step = np.linalg.lstsq(space.hessian(z), gradient, rcond=1e-14)[0]
    return gradient @ step / 2 / plain_objective(case, coef, intercept)


# ---- the minimum, by scikit-learn ----------------------------------------------------


def plain_fit(case, **settings):
    """Fit scikit-learn's own LogisticRegression to all rows as one, without a tie."""
    model = LogisticRegression(
        C=case.C,
        fit_intercept=case.fit_intercept,
        solver="newton-cholesky",
        tol=1e-12,
        max_iter=10_000,
    ).set_params(**settings)
    with warnings.catch_warnings():
        # The tolerance is below what rounding allows: the last step may not improve.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(case.X, case.y, sample_weight=case.weight)


def easyadapt_fit(case):
    """Tied domains as one LogisticRegression on augmented features (Daume 2007).

    With w_t = a v + b u_t and a decay of 1/2 |v|^2 + 1/2 sum |u_t|^2, the least decay
    for given w_t is 1/2 |mean|^2 T/(b^2 + T a^2) + 1/2 sum |w_t - mean|^2 / b^2. Equal
    to the objective's decay and tie, the first factor is T/C (decay="each") or 1/C
    ("shared"), the second 2 tie + 1/C or 2 tie.

    A tied intercept is the same with no decay of the mean: b_t = m + u_t / sqrt(2 tie),
    m scikit-learn's unpenalised intercept and u_t the decayed coefficient of the
    domain's indicator. Minimised over m this costs tie sum (b_t - mean)^2.
    """
    n_domains, n_features, n_rows = case.n_domains, case.n_features, case.n_rows
    if case.decay == "each":
        b2 = case.C / (1 + 2 * case.tie * case.C)
        a2 = 2 * case.tie * case.C * b2 / n_domains  # (C - b2)/T without cancelling
    else:
        b2 = 1 / (2 * case.tie)
        a2 = case.C - b2 / n_domains
    usable = 0 < case.tie < np.inf and a2 >= 0 and np.isfinite(case.C)
    strength = case.intercept_strength
    if not usable or case.anchor is not None:
        raise ValueError(f"EasyAdapt cannot express {case}.")
    if case.fit_intercept and not 0 < strength < np.inf:
        raise ValueError(f"EasyAdapt cannot tie intercepts by {strength}.")

    indicator = np.eye(n_domains)[case.domain]
    own = indicator[:, :, None] * case.X[:, None, :]
    columns = [np.sqrt(a2) * case.X, np.sqrt(b2) * own.reshape(len(case.X), -1)]
    if case.fit_intercept:
        columns.append(indicator / np.sqrt(2 * strength))
    model = plain_fit(case.but(X=np.hstack(columns)), C=1.0)

    split = n_features * (1 + n_domains)
    v = model.coef_[:, :n_features]
    u = model.coef_[:, n_features:split].reshape(n_rows, n_domains, n_features)
    coef = np.sqrt(a2) * v + np.sqrt(b2) * u.transpose(1, 0, 2)
    intercept = np.zeros((n_domains, n_rows))
    if case.fit_intercept:
        intercept = model.intercept_ + model.coef_[:, split:].T / np.sqrt(2 * strength)
    return centred(case, coef, intercept)


# ---- the estimator under test --------------------------------------------------------


def fit_tied(case, form="column", tol=1e-20, **settings):
    """TiedLogisticRegression on an instance.

    `form` says how the domain of each row travels: ``"column"`` (the last one),
    ``"sample_domain"`` (strings, sorted as the codes are) or ``"none"`` (one domain:
    plain or with a fixed model). ``tol=1e-20`` asks for the minimum to rounding.
    """
    from sktie import TiedLogisticRegression

    names = ["C", "decay", "fit_intercept", "tie", "tie_intercept"]
    chosen = {name: getattr(case, name) for name in names} | {"tol": tol} | settings
    X, fit_params = case.X, {"sample_weight": case.weight}
    if form == "column":
        X, chosen["pair"] = np.column_stack([X, case.domain]), -1
    elif form == "sample_domain":
        fit_params["sample_domain"] = domain_names(case)
    elif case.anchor is not None:
        chosen.setdefault("pair", case.anchor)
    return TiedLogisticRegression(**chosen).fit(X, case.y, **fit_params)


def domain_names(case):
    """The domain of each row as a string that sorts as its code does."""
    return np.array([f"site {code:03d}" for code in case.domain])


def parameters(model):
    """Coefficients (n_domains, n_rows, p) and intercepts of a fitted estimator."""
    if hasattr(model, "domain_coef_"):
        return model.domain_coef_, model.domain_intercept_
    return model.coef_[None], model.intercept_[None]
