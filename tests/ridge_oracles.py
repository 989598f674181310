"""Tied least squares as one dense, stacked system, written from the formula."""

from fractions import Fraction

import numpy as np


def make_rows(sizes=(4, 15, 40), n_features=3, n_targets=None, seed=0, weights=False):
    """Rows of related domains of different sizes, in no order."""
    rng = np.random.default_rng(seed)
    domain = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = rng.normal(size=(domain.size, n_features)) + 0.5 * domain[:, np.newaxis]
    shape = (n_features,) if n_targets is None else (n_features, n_targets)
    coef = rng.normal(size=shape) + 0.7 * rng.normal(size=(len(sizes), *shape))
    y = np.einsum("ij,ij...->i...", X, coef[domain])
    y = y + 2.0 + rng.normal(size=(len(sizes), *shape[1:]))[domain]
    y = y + rng.normal(size=y.shape)
    weight = rng.uniform(0.2, 3.0, size=domain.size) if weights else None
    return X, y, domain, weight


def design_rows(X, domain, fit_intercept):
    """Rows with a block of columns for each domain, the intercept last in each."""
    one = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    n_domains, n = domain.max() + 1, one.shape[1]
    out = np.zeros((len(X), n_domains * n))
    for i, t in enumerate(domain):
        out[i, t * n : (t + 1) * n] = one[i]
    return out


def penalty_matrix(n_domains, strengths, decay, shared_decay=False, free_hub=True):
    """P with ``w'Pw = sum_t |w_t|_decay^2 + tie Omega`` for finite strengths."""
    mean = np.full((n_domains, n_domains), 1 / n_domains)
    around = 2 * (np.eye(n_domains) - mean) if free_hub else np.eye(n_domains)
    each = mean / n_domains if shared_decay else np.eye(n_domains)
    return np.kron(around, np.diag(strengths)) + np.kron(each, np.diag(decay))


def dense_fit(
    X,
    y,
    domain,
    weight=None,
    *,
    tie=1.0,
    alpha=1.0,
    tie_intercept=True,
    fit_intercept=True,
    shared_decay=False,
    anchor=None,
):
    """Members (n_domains, n_targets, n_coefs) by lstsq of the stacked system.

    An infinite strength is a change of variables: one column for all domains, or none
    where the anchor says it all.
    """
    n_domains, p = domain.max() + 1, X.shape[1]
    n = p + fit_intercept
    strengths = np.append(np.broadcast_to(tie, p), np.max(tie))[:n].astype(float)
    if fit_intercept and tie_intercept is not True:
        strengths[-1] = float(tie_intercept)
    decay = np.full(n, float(alpha))
    decay[p:] = 0.0
    finite = np.where(np.isinf(strengths), 0.0, strengths)
    rows = design_rows(X, domain, fit_intercept)
    target = y.reshape(len(y), -1)
    start = np.zeros((n_domains * n, target.shape[1]))
    if anchor is not None:
        coef, intercept = np.atleast_2d(anchor[0]), np.atleast_1d(anchor[1])
        start = np.column_stack([coef, intercept])[:, :n].T
    root = np.ones(len(y)) if weight is None else np.sqrt(weight)
    tied = penalty_matrix(n_domains, finite, 0 * decay, False, anchor is None)
    decayed = penalty_matrix(n_domains, 0 * finite, decay, shared_decay)
    blocks = [root[:, None] * rows, _root(tied), _root(decayed)]
    stacked = np.vstack(blocks)
    # Differences from the start: 0, or the anchor.
    right = np.vstack([target, np.zeros((2 * n_domains * n, target.shape[1]))])
    right[: len(y)] = root[:, None] * (target - rows @ start)
    right[-len(decayed) :] = -_root(decayed) @ start
    basis = _allowed(n_domains, np.isinf(strengths), anchor is None)
    found = np.linalg.lstsq(stacked @ basis, right, rcond=None)[0]
    members = start + basis @ found
    return np.swapaxes(members.reshape(n_domains, n, -1), 1, 2)


def _root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T


def _allowed(n_domains, shared, free_hub):
    """Columns that span the members without deviation in what is shared."""
    own = np.eye(n_domains * len(shared))
    columns = []
    for j, is_shared in enumerate(shared):
        mine = own[:, j :: len(shared)]
        if not is_shared:
            columns.append(mine)
        elif free_hub:
            columns.append(mine.sum(axis=1, keepdims=True))
    if not columns:
        return np.zeros((len(own), 0))
    return np.hstack(columns)


def objective(X, y, domain, weight, members, **settings):
    """The objective as the formula reads, for finite or kept infinite strengths."""
    tie, alpha = settings.get("tie", 1.0), settings.get("alpha", 1.0)
    p = X.shape[1]
    slopes, offsets = members[..., :p], np.zeros(members.shape[:2])
    if settings.get("fit_intercept", True):
        offsets = members[..., -1]
    target = y.reshape(len(y), -1)
    raw = np.einsum("ij,ikj->ik", X, slopes[domain]) + offsets[domain]
    s = np.ones(len(y)) if weight is None else weight
    total = np.sum(s[:, None] * np.square(target - raw))
    mean = members.mean(axis=0)
    if settings.get("shared_decay"):
        total += alpha * np.sum(np.square(mean[..., :p]))
    else:
        total += alpha * np.sum(np.square(slopes))
    strengths = np.append(np.broadcast_to(tie, p), np.max(tie)).astype(float)
    strengths = strengths[: members.shape[-1]]
    if settings.get("fit_intercept", True):
        own = settings.get("tie_intercept", True)
        strengths[-1] = np.max(tie) if own is True else float(own)
    strengths = np.where(np.isinf(strengths), 0.0, strengths)
    anchor = settings.get("anchor")
    if anchor is None:
        return total + 2 * np.sum(strengths * np.square(members - mean))
    fixed = np.column_stack([np.atleast_2d(anchor[0]), np.atleast_1d(anchor[1])])
    return total + np.sum(strengths * np.square(members - fixed[:, : members.shape[2]]))


def hessian(X, domain, weight, *, tie, alpha, tie_intercept=True, shared_decay=False):
    """Half the Hessian of the objective in all members, with intercepts; finite."""
    strengths = np.full(X.shape[1] + 1, float(tie))
    if tie_intercept is not True:
        strengths[-1] = float(tie_intercept)
    decay = np.append(np.full(X.shape[1], float(alpha)), 0.0)
    n_domains = domain.max() + 1
    rows = design_rows(X, domain, True)
    s = np.ones(len(X)) if weight is None else weight
    penalty = penalty_matrix(n_domains, strengths, decay, shared_decay)
    return rows, rows.T @ (s[:, None] * rows) + penalty, penalty


def exact_slopes(X, y, domain, *, tie=1.0, alpha=1.0, tie_intercept=True):
    """Slopes (n_domains, n_features) in rational arithmetic, rounded at the end."""
    n_domains, p = int(domain.max()) + 1, X.shape[1]
    n = p + 1
    own = tie if tie_intercept is True else float(tie_intercept)
    strengths = [tie] * p + [own]
    # Unknowns: for each coefficient one of each domain, or one of all.
    place = {}
    for j in range(n):
        for t in range(n_domains):
            shared = np.isinf(strengths[j])
            place[t, j] = place[0, j] if shared and t else len(set(place.values()))
    size = len(set(place.values()))
    system = [[Fraction(0)] * (size + 1) for _ in range(size)]
    for row, target, t in zip(X.tolist(), y.tolist(), domain.tolist(), strict=True):
        one = [Fraction(value) for value in row] + [Fraction(1)]
        for j in range(n):
            into = system[place[t, j]]
            for k in range(n):
                into[place[t, k]] += one[j] * one[k]
            into[-1] += one[j] * Fraction(target)
    for t in range(n_domains):
        for j in range(p):
            system[place[t, j]][place[t, j]] += Fraction(alpha)
        for j in range(n):
            if np.isinf(strengths[j]):
                continue
            for s in range(n_domains):
                around = Fraction(int(s == t)) - Fraction(1, n_domains)
                system[place[t, j]][place[s, j]] += 2 * Fraction(strengths[j]) * around
    found = _eliminate(system)
    return np.array(
        [[float(found[place[t, j]]) for j in range(p)] for t in range(n_domains)]
    )


def _eliminate(system):
    """Solve a symmetric positive definite system of fractions, right side last."""
    size = len(system)
    for i in range(size):
        for k in range(i + 1, size):
            factor = system[k][i] / system[i][i]
            if factor:
                pairs = zip(system[k], system[i], strict=True)
                system[k] = [a - factor * b for a, b in pairs]
    found = [Fraction(0)] * size
    for i in reversed(range(size)):
        known = sum(system[i][k] * found[k] for k in range(i + 1, size))
        found[i] = (system[i][-1] - known) / system[i][i]
    return found
