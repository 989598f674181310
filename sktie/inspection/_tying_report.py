"""What a tie does: parameters in effect, what is borrowed, and what it gains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from html import escape
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sktie._labels import check_exposure
from sktie._typing import Array, FloatArray
from sktie._validation import as_array
from sktie.inspection._fitted import optional
from sktie.inspection._tables import Span, html_table, text_table
from sktie.inspection._tied import TiedRows, kind_of, tied_rows
from sktie.linear_model import TiedPoissonRegressor, TiedRidge
from sktie.linear_model._counts import as_rates
from sktie.linear_model._path import NoMinimum
from sktie.model_selection._scores import mean_and_error

#: What the model is compared with, at the same C.
OTHERS = {"separate": 0.0, "pooled": float("inf")}
NAMES = {"this model": "this model", "separate": "tie=0", "pooled": "tie=inf"}
#: Relative differences of objectives that rounding may explain, at least.
SLACK = 1e-6


@dataclass(frozen=True)
class DomainTying:
    """What a tie does to one domain, or to all.

    Attributes
    ----------
    domain : str
        Label, or "all".
    n_samples : int
        Rows.
    n_parameters : int
        Free parameters that these would have without any penalty.
    effective_parameters : float
        How many of them the rows determine.
    own, borrowed, decay, pair : float
        Shares of the estimate, which sum to 1: what its own rows say, what those of
        other domains say, the pull of the decay to 0 and of ties between features, and
        that of a fixed pair.
    gain_over_separate, gain_over_pooled : float
        Mean leave-one-out loss of the model with ``tie=0``, or ``tie=inf``, less
        that of this model: positive where this one is better. NaN where there is none.
    separate_error, pooled_error : float
        Their standard errors, paired by rows.
    """

    domain: str
    n_samples: int
    n_parameters: int
    effective_parameters: float
    own: float
    borrowed: float
    decay: float
    pair: float
    gain_over_separate: float
    separate_error: float
    gain_over_pooled: float
    pooled_error: float


@dataclass(frozen=True)
class TyingReport:
    """What a tie does to a model, and whether it helps.

    Print the report for a table, or leave it at the end of a notebook's cell.
    `tying_report` makes it.

    Parameters
    ----------
    tie, C : float
        Strengths of the model; C is 1/alpha for a regressor.
    domains : tuple
        A row for each domain, with the attributes ``domain``, ``n_samples``,
        ``n_parameters``, ``effective_parameters``, the shares ``own``, ``borrowed``,
        ``decay`` and ``pair``, ``gain_over_separate`` and ``separate_error``,
        ``gain_over_pooled`` and ``pooled_error``. Empty for a fixed pair.
    total : object
        Such a row for all; its shares are means over the domains.
    stored_parameters : int
        Numbers that the model consists of.
    logical_parameters : int
        Coefficients and intercepts of all domains.
    anchor_factor : float or None
        ``tie / (tie + 1/C)``: tie and decay together pull to this multiple of the
        pair's coefficients. None for domains.
    effective_anchor : ndarray of shape (1 or n_classes, n_features) or None
        This multiple of them.
    unavailable : dict of str to str
        For "separate", "pooled" or "this model" without a leave-one-out loss: why.
    loss : str, default="log-loss"
        The loss in which it gains: "log-loss", "squared error" or "deviance".
    decay_name : str, default="C"
        Which strength of the decay the model has, "C" or "alpha".

    See Also
    --------
    tying_report : Makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import TiedLogisticRegression
    >>> from sktie.inspection import tying_report
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 3))
    >>> domain = np.array(["large", "large", "large", "small"])[np.arange(400) % 4]
    >>> y = X[:, 0] + (domain == "large") * X[:, 1] + rng.logistic(size=400) > 0
    >>> model = TiedLogisticRegression(tie=3).fit(X, y, sample_domain=domain)
    >>> print(tying_report(model, X, y, sample_domain=domain))
    tie=3, C=1: 7.0 parameters in effect, 8 stored, of 8
    <BLANKLINE>
                  parameters     share of the estimate  gain in log-loss over
    domain  rows  in effect  of  own  borrowed  decay        separate          pooled
    large    300        3.7   4  93%        5%     2%  +0.001 ± 0.001  +0.003 ± 0.005
    small    100        3.3   4  82%       14%     4%  +0.004 ± 0.005  +0.012 ± 0.025
    all      400        7.0   8  88%        9%     3%  +0.002 ± 0.002  +0.005 ± 0.007
    <BLANKLINE>
    Gains: leave-one-out log-loss, ± its paired standard error; + is for this tie.
    """

    tie: float
    C: float
    domains: tuple[DomainTying, ...]
    total: DomainTying
    stored_parameters: int
    logical_parameters: int
    anchor_factor: float | None
    effective_anchor: FloatArray | None
    unavailable: dict[str, str]
    loss: str = "log-loss"
    decay_name: str = "C"

    @property
    def effective_parameters(self) -> float:
        """Parameters that the rows determine, over all domains."""
        return self.total.effective_parameters

    def to_frame(self) -> Any:
        """Return all numbers of the table.

        Returns
        -------
        pandas.DataFrame
            A row for each domain, and for "all"; NaN where there is no number.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = optional("pandas", "TyingReport.to_frame")
        names = [part.name for part in fields(DomainTying)]
        rows = [[getattr(row, name) for name in names] for row in self._rows]
        return pandas.DataFrame(rows, columns=names).set_index("domain")

    @property
    def _rows(self) -> tuple[DomainTying, ...]:
        return *self.domains, self.total

    @property
    def _tied_to_pair(self) -> bool:
        return self.anchor_factor is not None

    def __str__(self) -> str:
        table = text_table(self._spans(), self._cells())
        return "\n".join([self._title(), "", table, "", *self._notes()])

    def _repr_html_(self) -> str:
        table = html_table(self._spans(), self._cells(), ruled="all")
        notes = "<br/>".join(escape(note) for note in self._notes())
        return f"<div><p>{escape(self._title())}</p>{table}<p>{notes}</p></div>"

    def _title(self) -> str:
        decay = self.C if self.decay_name == "C" else 1.0 / self.C
        return (
            f"tie={self.tie:.3g}, {self.decay_name}={decay:.3g}: "
            f"{self.effective_parameters:.1f} parameters in effect, "
            f"{self.stored_parameters:,} stored, of {self.logical_parameters:,}"
        )

    def _spans(self) -> list[Span]:
        return [
            ("", 1),
            ("", 1),
            ("parameters", 2),
            ("share of the estimate", 3),
            (f"gain in {self.loss} over", 2),
        ]

    def _cells(self) -> list[list[str]]:
        pair = self._tied_to_pair
        shares = ["own", "decay", "pair"] if pair else ["own", "borrowed", "decay"]
        others = ["no tie", "the pair"] if pair else ["separate", "pooled"]
        table = [["domain", "rows", "in effect", "of", *shares, *others]]
        for row in self._rows:
            cells = [row.domain, f"{row.n_samples:,}"]
            cells += [f"{row.effective_parameters:.1f}", f"{row.n_parameters:,}"]
            cells += [f"{getattr(row, name):.0%}" for name in shares]
            cells.append(_gain(row.gain_over_separate, row.separate_error))
            cells.append(_gain(row.gain_over_pooled, row.pooled_error))
            table.append(cells)
        return table

    def _notes(self) -> list[str]:
        notes = [
            f"Gains: leave-one-out {self.loss}, ± its paired standard error; + is for "
            "this tie."
        ]
        for name, why in self.unavailable.items():
            notes.append(f"No leave-one-out loss of {NAMES[name]}: {why}.")
        if self._tied_to_pair:
            notes.append(
                f"Tie and decay together pull to {self.anchor_factor:.3g} times the "
                "coefficients of the pair."
            )
        return notes


def _gain(gain: float, error: float) -> str:
    if np.isnan(gain):
        return "-"
    return f"{gain:+.3f} ± {error:.3f}" if gain or error else "0"


def tying_report(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    sample_domain: Any = None,
    sample_exposure: Any = None,
) -> TyingReport:
    r"""Tell what the tie of a fitted model does, and whether it helps.

    Parameters
    ----------
    estimator : TiedLogisticRegression, TiedRidge or TiedPoissonRegressor
        A fitted model, with domains or a fixed pair; or the CV estimator of one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The rows it was fitted to, and no others: that they are is checked.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their labels or targets.
    sample_weight : array-like of shape (n_samples,), default=None
        The weights it was fitted with.
    sample_domain : array-like of shape (n_samples,), default=None
        The domains it was fitted with, where ``pair`` names no column.
    sample_exposure : array-like of shape (n_samples,), default=None
        The exposures a `TiedPoissonRegressor` was fitted with.

    Returns
    -------
    TyingReport
        Effective parameters, shares and gains; prints as a table.

    Raises
    ------
    TypeError
        If the estimator is of another kind.
    ValueError
        If these are not the rows of its `fit`, if it ties nothing, if the rows have no
        minimum, and if members have too many coefficients for Hessians.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    See Also
    --------
    tying_path : The same model at all strengths.

    Notes
    -----
    Near its minimum the estimate of domain t is a weighted mean of what the rows of
    each domain say, of the pair, and of the zero of the decay. With ``H_s`` the Hessian
    of the losses of domain s, ``V`` the inverse of the whole Hessian and q parameters
    for each domain, the shares are mean diagonal elements of the weights::

        own = tr(V_tt H_t) / q,    borrowed = sum_{s != t} tr(V_ts H_s) / q

    and what is left is that of decay and pair. The effective number of parameters is
    ``tr(V_tt H_t)`` for a domain and their sum for all, as in ridge regression. With K
    classes, q counts K - 1 outputs. What neither rows nor penalties determine (at
    C=inf) counts with the decay.

    Gains compare with ``tie=0`` and ``tie=inf`` at the decay of the model, by the
    leave-one-out of its CV estimator, exact for `TiedRidge`. If tie or C was chosen on
    these rows, the gains flatter the choice a little. A fixed pair must come from other
    rows.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani, J. Friedman (2009). The Elements of Statistical
       Learning, section 7.6.

    Examples
    --------
    A small domain beside a large one:

    >>> import numpy as np
    >>> from sktie import TiedLogisticRegression
    >>> from sktie.inspection import tying_report
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 3))
    >>> domain = np.where(np.arange(300) % 10 == 0, "small", "large")
    >>> y = X[:, 0] + (domain == "large") * X[:, 1] + rng.logistic(size=300) > 0
    >>> model = TiedLogisticRegression(tie=3).fit(X, y, sample_domain=domain)
    >>> report = tying_report(model, X, y, sample_domain=domain)
    >>> [f"{row.domain} borrows {row.borrowed:.0%}" for row in report.domains]
    ['large borrows 4%', 'small borrows 31%']
    """
    kind = kind_of(estimator)
    check_is_fitted(estimator)
    metric = getattr(estimator, "metric", "identity")
    if metric != "identity":
        raise ValueError(
            f"metric={metric!r}; expected 'identity': what such a tie adds "
            "to each coefficient cannot be told apart from the others. Its effect on "
            "predictions is in tying_path(estimator, X, y)."
        )
    if sample_exposure is not None:
        y, sample_weight = _rates(kind.model, X, y, sample_weight, sample_exposure)
    with tied_rows(estimator, kind, X, y, sample_weight, sample_domain) as tied:
        stop = _fit_again(tied, estimator)
        losses, unavailable = _losses(tied, stop)
        rows = tuple(_domain_rows(tied, stop, losses))
        _, hub = tied.minimum(stop)
    model = tied.model
    factor = anchor = None
    if not hasattr(model, "domains_"):
        factor = _anchor_factor(stop.tie, tied.C)
        anchor = factor * model._cut(hub)[0]
    coef = np.asarray(estimator._coefficients()[2])
    return TyingReport(
        tie=stop.tie,
        C=tied.C,
        domains=rows[:-1],
        total=rows[-1],
        stored_parameters=estimator.n_stored_parameters_,
        logical_parameters=coef.size,
        anchor_factor=factor,
        effective_anchor=anchor,
        unavailable=unavailable,
        loss=kind.loss,
        decay_name=kind.decay,
    )


def _rates(
    model: type, X: Any, y: Any, sample_weight: Any, sample_exposure: Any
) -> tuple[FloatArray, FloatArray]:
    """Return rates, and exposures as their weights."""
    if model is not TiedPoissonRegressor:
        raise ValueError(
            f"sample_exposure with a {model.__name__}, which has none; expected None. "
            "Exposures are those of a TiedPoissonRegressor."
        )
    exposure = check_exposure(sample_exposure, X)
    assert exposure is not None
    weight = None if sample_weight is None else as_array("sample_weight", sample_weight)
    return as_rates(as_array("y", y, np.float64), weight, exposure)


def _anchor_factor(tie: float, C: float) -> float:
    if tie == 0:
        return 0.0
    return 1.0 if np.isinf(tie) else tie / (tie + 1.0 / C)


def _fit_again(tied: TiedRows, estimator: Any) -> Any:
    """Return the fit to these rows, which must be the fit that the estimator holds."""
    model = tied.model
    if tied.too_wide:
        raise ValueError(f"There is no report: {tied.too_wide}.")
    for name, what in (("classes_", "classes"), ("domains_", "domains")):
        then, now = (getattr(m, name, np.empty(0)).tolist() for m in (estimator, model))
        if then != now:
            raise ValueError(
                f"X and y hold the {what} {now}, but estimator was fitted to {then}; "
                "expected the rows of its fit. Leave-one-out says nothing about others."
            )
    sizes = [("features", estimator.n_features_in_, model.n_features_in_)]
    if tied.kind.model is TiedRidge:
        n_targets = estimator._coefficients()[2].shape[1]
        sizes.append(("targets", n_targets, tied.held.y.shape[1]))
    for what, then, now in sizes:
        if then != now:
            raise ValueError(
                f"X and y hold {now} {what}, but estimator was fitted to {then}; "
                "expected the rows of its fit."
            )
    try:
        stop = tied.path.fit(float(model.tie), tied.decay)
    except NoMinimum as error:
        raise ValueError(f"The rows have no minimum to report on: {error}.") from None
    there, (lowest, _) = tied.value(stop, estimator), tied.minimum(stop)
    then = float(estimator.objective_)
    eps = float(np.finfo(estimator.coef_.dtype).eps)
    slack = max(SLACK, 1e3 * eps, 10 * float(getattr(model, "tol", 0.0))) * abs(lowest)
    if max(abs(there - lowest), abs(then - lowest)) > slack:
        raise ValueError(
            f"estimator is no fit to these rows: their objective is {there:.8g} at its "
            f"coefficients and {lowest:.8g} at the minimum, and its fit ended at "
            f"{then:.8g}; expected three equal numbers. Pass X, y, sample_weight and "
            "sample_domain of its fit, which must have converged. Leave-one-out says "
            "nothing about other rows: for these there is score."
        )
    return stop


def _losses(tied: TiedRows, stop: Any) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """Return leave-one-out log-losses by row, and why there are none."""
    losses: dict[str, FloatArray] = {}
    unavailable: dict[str, str] = {}
    for name in NAMES:
        tie = OTHERS.get(name, stop.tie)
        if name in OTHERS and tie == stop.tie and "this model" in losses:
            losses[name] = losses["this model"]
            continue
        try:
            other = tied.path.fit(tie, tied.decay) if name in OTHERS else stop
            losses[name] = tied.losses(other)
        except NoMinimum as error:
            unavailable[name] = str(error).rstrip(".")
    return losses, unavailable


def _domain_rows(
    tied: TiedRows, stop: Any, losses: dict[str, FloatArray]
) -> Iterator[DomainTying]:
    """Yield the rows of the domains, if there are some, and that of all."""
    # Of several targets the Hessian is that of one.
    (problem, *others), held = tied.problems(stop), tied.held
    data, n_targets = problem.hessians(tied.members(stop)), 1 + len(others)
    posterior = problem.posterior(data)
    own, borrowed = posterior.shares(data)
    rest = 1.0 - own - borrowed
    pair = np.zeros_like(rest)
    if not posterior.free_hub:
        pulled = np.einsum("tij,ij->t", posterior.covariances, problem.member_hessian)
        pair = rest - pulled / posterior.size
    shares = np.stack([own, borrowed, rest - pair, pair])
    names = getattr(tied.model, "domains_", ())
    for t, name in enumerate(names):
        here = held.domain == t
        yield DomainTying(
            str(name),
            int(here.sum()),
            posterior.size * n_targets,
            float(own[t] * posterior.size * n_targets),
            *shares[:, t].tolist(),
            *_gains(losses, held.weight, here),
        )
    yield DomainTying(
        "all",
        len(held.y),
        posterior.size * len(own) * n_targets,
        float(own.sum() * posterior.size * n_targets),
        *shares.mean(axis=1).tolist(),
        *_gains(losses, held.weight, np.ones(len(held.y), dtype=bool)),
    )


def _gains(
    losses: dict[str, FloatArray], weight: FloatArray, rows: Array
) -> Iterator[float]:
    """Yield gains over the others and their standard errors."""
    for name in OTHERS:
        if name not in losses or "this model" not in losses:
            yield from (np.nan, np.nan)
            continue
        gain = losses[name] - losses["this model"]
        yield from mean_and_error(gain[rows], weight[rows])
