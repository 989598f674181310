"""What all tied linear models share: domains, strengths, solving and storing."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from sktie._compat import WRAPPER_FRAMES, CallbackSupportMixin
from sktie._design import Design, group_rows
from sktie._domains import (
    check_domain_use,
    domain_index,
    encode_domains,
    of_domains,
    read_columns,
)
from sktie._features import (
    Dependencies,
    Features,
    read_dependencies,
    read_strengths,
)
from sktie._learned import LearnedCoordinates
from sktie._persistence import VersionedEstimator
from sktie._plain import simplest
from sktie._problem import TiedProblem
from sktie._related import RelatedCoordinates
from sktie._shares import Shares
from sktie._typing import FloatArray, IterationHook
from sktie._validation import as_array
from sktie.linear_model._graph import learns
from sktie.linear_model._solving import fastest, settled
from sktie.solvers import SOLVERS, SolverResult, Status

#: Appended to scikit-learn's message for a parameter out of range.
REMEDIES = {
    "tie": "Use tie=0 for separate models, tie=np.inf for one shared model, "
    "anything between for tied ones, and tie='auto' to have it chosen.",
    "C": "Use a positive number; C=np.inf means no decay, and C='auto' to have it "
    "chosen.",
    "tie_intercept": "Use True (as strong as `tie`), False (free), or a strength.",
    "max_distance": "Use a distance from 0, or None for the strength `tie`.",
    "feature_tie": "Use 0 for free features, np.inf for equal ones, anything between "
    "for ties.",
    "pair": "Use None, a column of X, FrozenEstimator(fitted_classifier), or "
    "(coef, intercept).",
}


class TiedLinearModel(CallbackSupportMixin, VersionedEstimator):
    """Base of the linear models: reads domains, solves a problem, stores members."""

    __metadata_request__fit: ClassVar = {"sample_domain": True}
    __metadata_request__predict: ClassVar = {"sample_domain": True}
    __metadata_request__score: ClassVar = {"sample_domain": True}

    @property
    def _has_tie(self) -> bool:
        """Whether there is anything to be tied to."""
        return self.pair is not None or hasattr(self, "domains_")

    def _depend(self, n_features: int) -> Dependencies:
        """Read what is known about the coefficients of one model among each other.

        Where some are equal, ``stored_index_`` and ``stored_ratio_`` say how.
        """
        names = getattr(self, "coef_feature_names_", None)
        found = read_dependencies(
            self.feature_ties,
            float(self.feature_tie),
            self.feature_shares,
            Features(n_features, names),
        )
        for name in ("stored_index_", "stored_ratio_"):
            self.__dict__.pop(name, None)
        if found.shares is not None:
            self.stored_index_ = found.shares.index
            self.stored_ratio_ = found.shares.ratio
        return found

    @property
    def _shares(self) -> Shares | None:
        """How the coefficients follow from fewer stored ones; None where all are."""
        if not hasattr(self, "stored_index_"):
            return None
        return Shares(self.stored_index_, self.stored_ratio_)

    def _widen(self, rows: FloatArray) -> FloatArray:
        """Return rows of all coefficients from rows of the problem's."""
        shares = self._shares
        return rows if shares is None else shares.widen(rows)

    def _narrow(self, rows: FloatArray) -> FloatArray:
        """Return the rows of the problem's coefficients that are nearest to rows."""
        shares = self._shares
        return rows if shares is None else shares.narrow(rows)

    def _aggregated(self, design: Design) -> Design:
        """Return the rows of a design with a column for each stored coefficient."""
        if (shares := self._shares) is None:
            return design
        return design.of(shares.aggregate(design.X, design.skip))

    def _given_tie(self, features: Features) -> float | FloatArray:
        """Return the strength of the tie, one number or one for each coefficient."""
        tie = read_strengths(self.tie, features)
        uneven = self._has_tie and bool(np.any(tie != np.max(tie)))
        same = isinstance(self.tie_intercept, (bool, np.bool_)) and self.tie_intercept
        if uneven and self.fit_intercept and same:
            raise ValueError(
                "tie_intercept=True ties the intercept as strongly as the "
                "coefficients, and tie gives these different strengths. Use a strength "
                "for tie_intercept, or False."
            )
        return tie

    def _holding(self, tie: float | FloatArray) -> float:
        """Return the strength that decides whether a domain is fitted alone.

        Of several, decay holds the coefficients that are not tied themselves.
        """
        decayed = np.isfinite(getattr(self, "C_", np.inf))
        return float(np.max(tie) if decayed else np.min(tie))

    def _strengths(
        self, n_features: int, tie: Any, tie_intercept: Any = None
    ) -> FloatArray:
        """Return the strength of each coefficient's tie, the intercept's last.

        None for the intercept is what the parameter says.
        """
        if tie_intercept is None:
            tie_intercept = self.tie_intercept
        if not self._has_tie:
            return np.zeros(n_features + bool(self.fit_intercept))
        strengths = np.full(n_features + bool(self.fit_intercept), np.max(tie))
        if np.ndim(tie):
            shares = self._shares
            strengths[:n_features] = tie if shares is None else shares.strengths(tie)
        own = not isinstance(tie_intercept, (bool, np.bool_))
        if self.fit_intercept and (own or not tie_intercept):
            strengths[-1] = float(tie_intercept)
        return strengths

    def _decays(self, n_features: int, C: float) -> FloatArray:
        """Return the decay of each coefficient; the intercept has none."""
        decay = np.full(n_features + bool(self.fit_intercept), 1.0 / C)
        decay[n_features:] = 0.0
        return decay

    def _join(self, coef: FloatArray, intercept: FloatArray) -> FloatArray:
        if not self.fit_intercept:
            return coef
        return np.concatenate([coef, intercept[..., np.newaxis]], axis=-1)

    def _solver(self, problem: TiedProblem) -> str:
        return fastest(problem) if self.solver == "auto" else str(self.solver)

    def _coefficients(self) -> tuple[Any, ...] | None:
        """Return the fitted state a warm start can use, or None."""
        if not hasattr(self, "coef_"):
            return None
        domains = getattr(self, "domains_", None)
        if domains is None:
            members = self._joined(self.coef_, self.intercept_)[np.newaxis]
        else:
            members = self._joined(self.domain_coef_, self.domain_intercept_)
        return getattr(self, "classes_", None), domains, members

    def _dial(self, tie: float) -> str:
        return f"tie={tie} with tie_intercept={self.tie_intercept}"

    def _solve(
        self,
        problem: TiedProblem,
        previous: Any,
        callback: IterationHook | None,
        tol: float,
    ) -> SolverResult:
        """Minimise from a fitting start; from zero where that leads nowhere."""
        solver = SOLVERS[self._solver(problem)]
        options: dict[str, Any] = {
            "tol": tol,
            "max_iter": self.max_iter,
            "hook": self._hook(callback),
        }
        start, small = self._start(problem, previous), simplest(problem)
        result = solver(small, start, **options)
        if result.status.success:
            return result
        zero = problem.coordinates.locate(np.zeros(problem.coordinates.shape))
        misled = result.status is Status.UNBOUNDED and not np.array_equal(start, zero)
        if misled or result.status is Status.STALLED:
            # A start such as an anchor far out: the loss is flat there, or so large
            # that every other value is 0 beside it.
            result = solver(small, zero, **options)
        return settled(problem, result)

    def _start(self, problem: TiedProblem, previous: Any) -> FloatArray:
        """Return the origin, or the previous fit where it is of the same shape.

        The origin is the hub: for domains zero, but for an intercept that suits the
        loss, and the anchor for a fixed pair.
        """
        origin = problem.origin()
        if previous is None:
            return origin
        classes, domains, members = previous
        now = getattr(self, "domains_", None)
        known: Any = getattr(self, "classes_", None)
        same = np.array_equal(classes, known)
        if domains is None or now is None:
            same &= domains is now
        else:
            # As lists: NumPy 1 warns where it compares words with numbers.
            same &= domains.tolist() == now.tolist()
        n_features = problem.design.n_features
        if (shares := self._shares) is not None:
            n_features = shares.n_features
        same &= members.shape[-1] == n_features + bool(self.fit_intercept)
        if not same:
            return origin
        outputs = self._narrow(problem.loss.reduce(members.astype(np.float64)))
        if outputs.shape != problem.coordinates.shape:
            return origin
        return problem.coordinates.locate(outputs)

    def _hook(self, callback: IterationHook | None) -> IterationHook | None:
        if not self.verbose:
            return callback

        def hook(n_iter: int, value: float, gap: float) -> None:
            print(f"iteration {n_iter:4d}  objective {value:.10g}  gap {gap:.1e}")  # noqa: T201
            if callback is not None:
                callback(n_iter, value, gap)

        return hook

    def _warn(self, result: SolverResult) -> None:
        if result.status.success or result.gap <= self.tol:
            return
        found = f"{type(self).__name__} stopped after {result.n_iter} iterations: "
        if result.status is Status.UNBOUNDED:
            found += self._unbounded()
        else:
            found += (
                f"the relative gap to the minimum is about {result.gap:.1e}, above "
                f"tol={self.tol}. Increase max_iter (now {self.max_iter}), scale the "
                "features (StandardScaler), or choose another solver."
            )
            found += self._undecayed()
        warnings.warn(found, ConvergenceWarning, stacklevel=3 + WRAPPER_FRAMES)

    @abstractmethod
    def _unbounded(self) -> str:
        """Return why there is no minimum, and what to do about it."""

    @abstractmethod
    def _undecayed(self) -> str:
        """Return what a missing decay may have to do with a fit that has not ended."""

    def _store(self, problem: TiedProblem, result: SolverResult) -> None:
        """Set the fitted attributes."""
        coordinates = problem.coordinates

        def expand(outputs: FloatArray) -> FloatArray:
            return self._widen(problem.loss.expand(outputs))

        hub, deviations = coordinates.split(result.theta)
        self._store_members(
            expand(coordinates.members(hub, deviations)).astype(problem.design.dtype),
            expand(hub),
            np.broadcast_to(coordinates.tie.strength, coordinates.shape[2:]),
        )
        if isinstance(coordinates, RelatedCoordinates):
            everyone = coordinates.structure.extend(deviations)
            others = expand(everyone[coordinates.shape[0] :])
            self.inferred_coef_, self.inferred_intercept_ = self._public(
                others.astype(problem.design.dtype)
            )
        if isinstance(coordinates, LearnedCoordinates):
            self._keep_relatedness([coordinates.relatedness(deviations)])
        elif learns(self):  # one domain
            self._keep_relatedness([None])
        self.tie_gap_ = self._gap(expand(coordinates.differences(deviations)))
        self.objective_ = result.value
        self.n_iter_ = result.n_iter

    def _keep_relatedness(self, found: list[Any]) -> None:
        """Keep the directions of learned covariances that are above their bound.

        There is one for each target, and None where nothing deviates.
        """
        n_domains = len(self.domains_)
        even = np.zeros((n_domains, 0)), np.zeros(0), 1.0 / max(n_domains - 1, 1)
        self._domain_relatedness = []
        for own in found:
            kept: tuple[FloatArray, FloatArray, float] = even
            if own is not None:
                free = own.variance > own.floor
                kept = own.left[:, free], own.variance[free], own.floor
            self._domain_relatedness.append(kept)

    def _store_members(
        self, members: FloatArray, hub: FloatArray, strength: FloatArray
    ) -> None:
        """Set the fitted coefficients: those of all members, and of their hub.

        The strengths are of what is stored of them, an intercept last.
        """
        centre = members[0]
        n_stored = len(centre) * len(strength)
        if hasattr(self, "domains_"):
            centre = hub.astype(members.dtype)
            slopes, offsets = self._public(members)
            shared = np.isinf(strength)
            n_own = len(strength) - int(shared.sum())
            n_stored += (len(members) - 1) * len(centre) * n_own
            n_parts = getattr(self, "n_components_", 1)
            n_stored += (n_parts - 1) * len(centre) * int(shared.sum())
            p, one = len(strength) - bool(self.fit_intercept), n_parts == 1
            self._domain_coef = None if one and shared[:p].all() else slopes
            self._domain_intercept = None if one and shared[p:].all() else offsets
        self.coef_, self.intercept_ = self._public(centre)
        self.n_stored_parameters_ = int(n_stored)

    def _gap(self, deviations: FloatArray) -> float:
        """Return the largest deviation; a free intercept has none."""
        if not self._has_tie:
            return 0.0
        if self.fit_intercept and not self.tie_intercept:
            deviations = deviations[..., :-1]
        return float(np.abs(deviations).max(initial=0.0))

    def _cut(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Split rows of coefficients into slopes and intercepts."""
        if not self.fit_intercept:
            return rows, np.zeros(rows.shape[:-1], dtype=rows.dtype)
        return rows[..., :-1].copy(), rows[..., -1].copy()

    @abstractmethod
    def _public(self, rows: FloatArray) -> tuple[FloatArray, Any]:
        """Return slopes and intercepts in the shapes of the public attributes."""

    @abstractmethod
    def _joined(self, coef: FloatArray, intercept: Any) -> FloatArray:
        """Return rows of coefficients, (..., n_outputs, n_coefs), of public ones."""

    @property
    def stored_coef_(self) -> FloatArray:
        """Distinct coefficients, (n_rows, n_stored): the first of each that are equal.

        All are where ``feature_shares`` and ties of infinite strength share none.
        """
        coef = np.asarray(self.coef_)
        if not hasattr(self, "stored_index_"):
            return coef
        first = np.unique(self.stored_index_, return_index=True)[1]
        return np.asarray(coef[..., first])

    def expand(self, stored: Any) -> FloatArray:
        """Return coefficients of all features from stored ones.

        Parameters
        ----------
        stored : array-like of shape (..., n_stored)
            Numbers in the place of those of ``stored_coef_``.

        Returns
        -------
        ndarray of shape (..., n_coefs)
            Each feature's multiple of its stored number: ``expand(stored_coef_)`` is
            ``coef_``.
        """
        check_is_fitted(self)
        stored = as_array("stored", stored)
        n_stored = self.stored_coef_.shape[-1]
        if stored.shape[-1:] != (n_stored,):
            raise ValueError(
                f"stored has shape {stored.shape}; expected {n_stored} numbers along "
                "the last axis, as in stored_coef_."
            )
        if not hasattr(self, "stored_index_"):
            return np.asarray(stored)
        multiples = self.stored_ratio_.astype(stored.dtype, copy=False)
        found: FloatArray = stored[..., self.stored_index_] * multiples
        return found

    @property
    def domain_coef_(self) -> FloatArray:
        """Coefficients of each domain; one stored row where all are shared."""
        return of_domains(self, "_domain_coef", lambda: self.coef_)

    @property
    def domain_intercept_(self) -> FloatArray:
        """Intercepts of each domain; one stored row where all are shared."""
        return of_domains(self, "_domain_intercept", lambda: self.intercept_)

    @property
    def domain_covariance_(self) -> FloatArray:
        """Covariance of the domains' deviations from their mean, of trace 1.

        An array of shape (n_domains, n_domains), made of a few of its eigenvectors when
        it is asked for; for targets of several columns one for each, (n_targets,
        n_domains, n_domains). Only with ``graph="learned"``.
        """
        check_is_fitted(self)
        if not learns(self):
            raise AttributeError(
                "domain_covariance_ is there with graph='learned' only, and this model "
                f"has graph={self.graph!r}."
            )
        apart = np.eye(len(self.domains_)) - 1.0 / len(self.domains_)
        found: FloatArray = np.stack(
            [
                floor * apart + (directions * (variances - floor)) @ directions.T
                for directions, variances, floor in self._domain_relatedness
            ]
        )
        return found[0] if getattr(self, "_flat_target", True) else found

    def _raw(self, X: Any, sample_domain: Any) -> FloatArray:
        """Return the raw predictions, (n_samples, 1 or n_classes)."""
        design, members = self._placed(X, sample_domain)
        return design.predict(members)

    def _placed(self, X: Any, sample_domain: Any) -> tuple[Design, FloatArray]:
        """Return rows to predict, by domain, and the parameters of each domain.

        With domains the last of these, the shared centre, is for those not seen.
        """
        check_is_fitted(self)
        X, skip, domains = read_columns(self, X, sample_domain, reset=False)
        X = check_array(
            X, accept_sparse="csr", dtype=[np.float64, self.coef_.dtype], estimator=self
        )
        check_domain_use(self, domains)
        members = self._joined(self.coef_, self.intercept_)[np.newaxis]
        bounds, order = np.array([0, X.shape[0]]), None
        if domains is not None:
            own = self._joined(self.domain_coef_, self.domain_intercept_)
            if hasattr(self, "inferred_domains_"):
                others = self._joined(self.inferred_coef_, self.inferred_intercept_)
                own = np.concatenate([own, others])
            members = np.concatenate([own, members])
            order, bounds = group_rows(domain_index(self, domains), len(members))
        design = Design(
            X, bounds, order=order, skip=skip, fit_intercept=self.fit_intercept
        )
        return design, members

    def _check_kept(self) -> None:
        """Check that the curvature at the fit was kept."""
        check_is_fitted(self)
        if not hasattr(self, "_curvature"):
            raise ValueError(
                f"This {type(self).__name__} was fitted with store_covariance=False, "
                "and knows nothing about how sure it is. Fit it again with "
                "store_covariance=True."
            )

    def _place(self, domain: Any) -> int | None:
        """Return the number of a domain, the number of domains where it is not seen."""
        self._check_kept()
        if domain is None:
            return None
        if not hasattr(self, "domains_"):
            raise ValueError(
                f"domain={domain!r} was given, but the model was fitted without "
                "domains. Leave it out."
            )
        return int(domain_index(self, encode_domains([domain], "domain", 1))[0])
