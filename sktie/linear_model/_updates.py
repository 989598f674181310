"""Yesterday's model: a fixed pair in the metric of its curvature, and updates by it."""

from __future__ import annotations

from numbers import Real
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.frozen import FrozenEstimator

from sktie._compat import available_if
from sktie._domains import check_columns
from sktie._labels import check_partial_classes, classes_to_come
from sktie._parallel import workers
from sktie._problem import TiedProblem
from sktie._shares import Shares
from sktie._typing import FloatArray
from sktie._validation import check_parameters, unchanged_on_error
from sktie.linear_model._base import REMEDIES
from sktie.linear_model._inference import InferenceMixin
from sktie.linear_model._pair import resolve_precision
from sktie.streams._apply import in_batches

#: The metric of the pair's own curvature, in place of the identity.
FISHER = "fisher"


def check_metric(model: Any) -> None:
    """Check that what a metric does not know is not asked for."""
    if model.metric != FISHER:
        return
    if hasattr(model, "domains_") or model.pair is None:
        found = "domains" if hasattr(model, "domains_") else "pair=None"
        raise ValueError(
            f"metric='fisher' with {found}; expected a fixed pair, whose curvature is "
            "the metric. Pass pair=FrozenEstimator(fitted), or use metric='identity'."
        )
    if model.tie_intercept is not True:
        raise ValueError(
            f"metric='fisher' with tie_intercept={model.tie_intercept!r}; expected "
            "True: the curvature of the pair ties the intercept together with the "
            "coefficients. Use metric='identity' for an intercept of its own."
        )
    asked = [f"{name}='auto'" for name in strengths_of(model, "auto")]
    if not isinstance(model.tie, (Real, str)):
        asked.append("a tie for each coefficient")
    if model.max_distance is not None:
        asked.append(f"max_distance={model.max_distance:g}")
    if asked:
        raise ValueError(
            f"metric='fisher' with {' and '.join(asked)}; expected numbers. tie=1 "
            "counts the rows of the pair like those of the fit; cross-validation "
            "chooses another."
        )


def strengths_of(model: Any, value: str) -> list[str]:
    """Return the names of the strengths that have a value."""
    found = [name for name in ("tie", "C", "alpha") if hasattr(model, name)]
    given = {name: getattr(model, name) for name in found}
    return [name for name, v in given.items() if isinstance(v, str) and v == value]


def is_its_own_past(model: Any) -> bool:
    """Whether nothing but its own past is what a model is tied to."""
    asked = {
        "pair": None,
        "unlabeled": None,
        "max_distance": None,
        "feature_ties": None,
        "tie_intercept": True,
        "store_covariance": True,
    }
    if hasattr(model, "domains_"):
        raise AttributeError(
            "partial_fit goes on from a model without domains; expected one. Start "
            "with a new estimator."
        )
    for name, only in asked.items():
        if getattr(model, name, only) is not only:
            raise AttributeError(
                f"partial_fit with {name}={getattr(model, name)!r}; expected {only}: "
                "it ties each batch to the model of those before it, and to nothing "
                f"else. Set {name}={only}, or call fit."
            )
    asks = strengths_of(model, "auto")
    one = isinstance(model.tie, Real)
    if asks or not one or np.isinf(model.tie):
        given = " and ".join(f"{name}='auto'" for name in asks) or f"tie={model.tie!r}"
        raise AttributeError(
            f"partial_fit with {given}; expected finite numbers: how much earlier "
            "batches count, and the decay of the first call. tie=1 counts all batches "
            "alike."
        )
    if hasattr(model, "class_weight"):
        try:
            check_partial_classes(model)
        except ValueError as error:
            raise AttributeError(str(error)) from None
    return True


class Metric:
    """The metric of a tie to a fixed model, in the coefficients that are stored.

    Parameters
    ----------
    precision : array of shape (n, n)
        The curvature of the model, for n outputs and coefficients.
    n_outputs : int
        Number of outputs.
    shares : Shares or None
        How these coefficients follow from fewer stored ones; None where all are.
    """

    def __init__(
        self, precision: FloatArray, n_outputs: int, shares: Shares | None
    ) -> None:
        self.precision = precision
        self._basis: Any = None
        if shares is not None:
            n_rest = len(precision) // n_outputs - shares.n_features
            own = sp.block_diag([shares.basis, sp.identity(n_rest)])
            self._basis = sp.kron(sp.identity(n_outputs), own).tocsr()

    @property
    def narrows(self) -> bool:
        """Whether fewer coefficients are stored than the precision is of."""
        return self._basis is not None

    @property
    def matrix(self) -> FloatArray:
        """The metric of the stored coefficients."""
        if self._basis is None:
            return self.precision
        return np.asarray(self._basis.T @ (self._basis.T @ self.precision).T)

    def narrow(self, target: FloatArray) -> FloatArray:
        """Return the stored coefficients nearest to target, (n_outputs, n_coefs)."""
        pulled = self._basis.T @ (self.precision @ target.ravel())
        found = np.linalg.lstsq(self.matrix, pulled, rcond=None)[0]
        return np.asarray(found.reshape(len(target), -1))


class UpdateMixin(InferenceMixin):
    """`partial_fit`: each batch is tied to the model of those before it."""

    @available_if(is_its_own_past)
    @in_batches
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Update the model by a batch of rows; needs ``store_covariance=True``.

        The first call fits the model to its rows. Each one after that minimises the
        losses of its rows and a tie to the model so far, in the metric of its
        curvature P, which is the Hessian there::

            sum_i s_i loss(y_i, x_i'w + b) + tie/2 (w - w_before)'P(w - w_before)

        and P becomes the Hessian of all this. With ``tie=1`` all batches count alike:
        P grows as rows come in, and decay is that of the first call. A smaller tie
        forgets: what was learnt k batches ago counts ``tie^k``, the decay included.
        ``tie=0`` knows the last batch only.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of the batch. Streams and dask collections (see `sktie.streams`) are
            a batch for each of their blocks.
        y : array-like of shape (n_samples,)
            Class labels; batches after the first may lack classes.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur. None: those of the first batch.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        estimator
            The model itself.

        Raises
        ------
        ValueError
            For a model that is tied to anything else, and for a first batch that lacks
            classes: its fit has no minimum. The model then stays as it was.

        Notes
        -----
        The losses of earlier rows are replaced by their quadratic expansions: exact
        where losses are quadratic, an approximation otherwise (online Laplace, or
        elastic weight consolidation with the full curvature instead of its diagonal).

        References
        ----------
        J. Kirkpatrick et al. (2017). Overcoming catastrophic forgetting in neural
        networks. PNAS 114.
        """
        check_parameters(self, REMEDIES)
        first = not hasattr(self, "coef_")
        with unchanged_on_error(self):
            if not first:
                check_columns(self, X, reset=False)
                self._check_kept()
            known = classes
            if not first or classes is not None:
                known = classes_to_come(classes, None if first else self.classes_)
            model = self._next(first)
            rows = model._read(X, y, sample_weight, None, None, known)
            if first:
                model._check_all_classes(rows)
            with workers(self.n_jobs, rows.design.n_lanes) as crew:
                model._fit_rows(rows, crew, None, None)
            if not first:
                # What earlier rows would have had to say about their own variation.
                before = self._curvature["products"]
                model._curvature["products"] += float(self.tie) ** 2 * before
            model.C_, model.tie_ = float(self.C), float(self.tie)
            fitted = set(vars(model)) - set(model.get_params(deep=False))
            for name in fitted:
                setattr(self, name, getattr(model, name))
        return self

    def _next(self, first: bool) -> Any:
        """Return the model of the next batch: this one is its pair."""
        parameters = self.get_params(deep=False)
        if not first:
            parameters |= {
                "pair": FrozenEstimator(self),
                "metric": FISHER,
                "C": np.inf,
            }
        return type(self)(**parameters)

    def _metric(self, n_features: int, n_outputs: int) -> Metric | None:
        """Return the metric of the tie; None is the identity."""
        check_metric(self)
        if self.metric != FISHER:
            return None
        names = getattr(self, "coef_feature_names_", None)
        n_coefs, shares = n_features + bool(self.fit_intercept), self._shares
        precision = resolve_precision(self.pair, n_coefs, n_outputs, names, shares)
        if len(precision) != n_coefs * n_outputs:
            shares = None  # the pair has the same, and has stored as many
        return Metric(precision, n_outputs, shares)

    def _solver(self, problem: TiedProblem) -> str:
        """Return the solver; a metric is as large as a Hessian, and as ill shaped."""
        if self.solver == "auto" and self.metric == FISHER:
            return "newton-cholesky"
        return super()._solver(problem)

    def _precision(self) -> FloatArray:
        """Return the curvature of the whole objective, (n, n) outputs and coefs."""
        self._check_kept()
        known = self._curvature
        if known["free_hub"]:
            return np.asarray(np.linalg.inv(self._covariances("laplace")[1]))
        if not known["scale"].all():
            raise ValueError(
                f"pair={type(self).__name__}() was fitted with an infinite tie: it "
                "has no curvature that others could add to. Fit it with a finite tie."
            )
        strength = known["weight"] / np.square(known["scale"])
        return np.asarray(known["hessians"][0] + np.diag(strength))
