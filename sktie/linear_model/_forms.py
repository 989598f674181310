"""Linear models of scikit-learn, read as what they minimise: a loss and a decay."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.metrics import accuracy_score, d2_tweedie_score, r2_score
from sklearn.svm import LinearSVC

from sktie._compat import set_glm_loss
from sktie._labels import class_weights, encode_classes
from sktie._loss import Binomial, Loss
from sktie._scalar_loss import Poisson, Squared, SquaredHinge
from sktie._typing import Array, FloatArray
from sktie._validation import check_parameters, in_range


class Form(ABC):
    """How one kind of estimator is fitted, on the scale of sums over rows.

    An estimator's own objective, times a factor, is ``sum_i s_i loss_i``, decay of the
    coefficients ``decay/2 |w|^2``, and for some a decay of the intercept.
    """

    loss: ClassVar[Loss]
    is_classifier: ClassVar[bool]

    def refused(self, estimator: Any) -> str | None:
        """Return the setting that makes it another objective, if any."""
        return None

    @abstractmethod
    def decay(self, estimator: Any, total: float) -> float:
        """Return the decay of its coefficients, for rows of this total weight."""

    def intercept_decay(self, estimator: Any) -> float:
        """Return the decay of its intercept, on the scale of ``decay = 1``."""
        return 0.0

    @abstractmethod
    def target(
        self, estimator: Any, y: Array, weight: FloatArray | None, where: str
    ) -> tuple[Array, FloatArray | None, Array | None]:
        """Return targets as the loss takes them, weights, and the classes if any.

        ``where`` says which rows these are, for messages.
        """

    def has_minimum(self, y: Array) -> bool:
        """Whether an intercept alone has a minimum, for targets of the loss."""
        return True

    @abstractmethod
    def predict(self, raw: FloatArray, classes: Array | None) -> Array:
        """Return what raw predictions (n,) predict."""

    @abstractmethod
    def score(self, y: Array, predicted: Array, weight: Any) -> float:
        """Return the score of the estimator's own `score`."""

    @abstractmethod
    def attributes(self, coef: FloatArray, intercept: Any) -> dict[str, Any]:
        """Return the fitted attributes of its own kind."""


class ClassForm(Form):
    """A form of two classes, with targets -1 and +1."""

    is_classifier = True

    def target(
        self, estimator: Any, y: Array, weight: FloatArray | None, where: str
    ) -> tuple[Array, FloatArray | None, Array | None]:
        kind = type(estimator).__name__
        try:
            classes, index = encode_classes(y, weight)
        except ValueError as error:
            raise ValueError(f"{where} ({kind}): {error}") from None
        if len(classes) > 2:
            raise ValueError(
                f"{where} holds {len(classes)} classes, {classes[:5].tolist()}, for "
                f"{kind}. Only binary classification is supported. The type of the "
                "target is multiclass. Expected two classes; merge or drop others."
            )
        factors = class_weights(estimator.class_weight, classes, index, weight)
        if factors is not None:
            own = factors[index]
            weight = own if weight is None else weight * own
        return 2 * index.astype(np.float64) - 1, weight, classes

    def predict(self, raw: FloatArray, classes: Array | None) -> Array:
        assert classes is not None
        return np.asarray(classes[(raw > 0).astype(np.intp)])

    def score(self, y: Array, predicted: Array, weight: Any) -> float:
        return float(accuracy_score(y, predicted, sample_weight=weight))

    def attributes(self, coef: FloatArray, intercept: Any) -> dict[str, Any]:
        return {"coef_": coef[np.newaxis], "intercept_": np.atleast_1d(intercept)}


class NumberForm(Form):
    """A form of numbers."""

    is_classifier = False

    def target(
        self, estimator: Any, y: Array, weight: FloatArray | None, where: str
    ) -> tuple[Array, FloatArray | None, Array | None]:
        self.check_numbers(y, f"{where} ({type(estimator).__name__})")
        return y, weight, None

    def check_numbers(self, y: Array, where: str) -> None:
        """Check that the loss exists for all targets."""

    def attributes(self, coef: FloatArray, intercept: Any) -> dict[str, Any]:
        return {"coef_": coef, "intercept_": intercept}


@final
class LogisticForm(ClassForm):
    """`LogisticRegression`: its objective divided by C."""

    loss = Binomial()

    def refused(self, estimator: Any) -> str | None:
        if estimator.penalty == "l1" or estimator.l1_ratio not in (None, 0):
            return f"penalty={estimator.penalty!r}, l1_ratio={estimator.l1_ratio!r}"
        return None

    def decay(self, estimator: Any, total: float) -> float:
        return 0.0 if estimator.penalty is None else 1.0 / estimator.C

    def intercept_decay(self, estimator: Any) -> float:
        # liblinear makes a feature of the intercept.
        own = estimator.solver == "liblinear"
        return 1.0 / estimator.intercept_scaling**2 if own else 0.0

    def attributes(self, coef: FloatArray, intercept: Any) -> dict[str, Any]:
        return {**super().attributes(coef, intercept), "n_iter_": np.array([1])}


@final
class HingeForm(ClassForm):
    """`LinearSVC` with the squared hinge: its objective divided by C."""

    loss = SquaredHinge()

    def refused(self, estimator: Any) -> str | None:
        for name, wanted in {"loss": "squared_hinge", "penalty": "l2"}.items():
            if getattr(estimator, name) != wanted:
                return f"{name}={getattr(estimator, name)!r}"
        if estimator.multi_class != "ovr":
            return f"multi_class={estimator.multi_class!r}"
        return None

    def decay(self, estimator: Any, total: float) -> float:
        return 1.0 / float(estimator.C)

    def intercept_decay(self, estimator: Any) -> float:
        return 1.0 / float(estimator.intercept_scaling) ** 2

    def attributes(self, coef: FloatArray, intercept: Any) -> dict[str, Any]:
        return {**super().attributes(coef, intercept), "n_iter_": 1}


@final
class RidgeForm(NumberForm):
    """`Ridge`: half its objective."""

    loss = Squared()

    def refused(self, estimator: Any) -> str | None:
        if estimator.positive:
            return "positive=True"
        return None if np.ndim(estimator.alpha) == 0 else f"alpha={estimator.alpha!r}"

    def decay(self, estimator: Any, total: float) -> float:
        return float(estimator.alpha)

    def predict(self, raw: FloatArray, classes: Array | None) -> Array:
        return raw

    def score(self, y: Array, predicted: Array, weight: Any) -> float:
        return float(r2_score(y, predicted, sample_weight=weight))


@final
class PoissonForm(NumberForm):
    """`PoissonRegressor`: its objective times the sum of the weights."""

    loss = Poisson()

    def decay(self, estimator: Any, total: float) -> float:
        return float(estimator.alpha) * total

    def check_numbers(self, y: Array, where: str) -> None:
        check_counts(y, where)

    def has_minimum(self, y: Array) -> bool:
        return bool((y > 0).any())

    def predict(self, raw: FloatArray, classes: Array | None) -> Array:
        return np.asarray(in_range(np.exp, raw))

    def score(self, y: Array, predicted: Array, weight: Any) -> float:
        return float(d2_tweedie_score(y, predicted, power=1, sample_weight=weight))

    def attributes(self, coef: FloatArray, intercept: Any) -> dict[str, Any]:
        return {**super().attributes(coef, intercept), "n_iter_": 1}


#: A new form is a new row.
FORMS: dict[type, Form] = {
    LogisticRegression: LogisticForm(),
    LinearSVC: HingeForm(),
    Ridge: RidgeForm(),
    PoissonRegressor: PoissonForm(),
}


def check_counts(y: Array, where: str) -> None:
    """Check that counts are not negative."""
    if (y < 0).any():
        raise ValueError(
            f"{where} holds {int((y < 0).sum())} negative numbers, such as "
            f"{float(y.min()):g}; expected counts, 0 or more. Use a model of the mean "
            "itself, such as Ridge, for targets of both signs."
        )


def form_of(name: str, estimator: Any) -> Form:
    """Return the form of the estimator given as parameter ``name``."""
    # The type itself: subclasses, such as LogisticRegressionCV, fit something else.
    form = FORMS.get(type(estimator))
    if form is None:
        known = ", ".join(kind.__name__ for kind in FORMS)
        raise ValueError(
            f"{name}={estimator!r} is not supported; expected one of {known}, of "
            "scikit-learn. Choose the one with the loss you mean."
        )
    check_parameters(estimator, {})
    setting = form.refused(estimator)
    if setting is not None:
        raise ValueError(
            f"{name}={type(estimator).__name__}({setting}) is not supported; expected "
            "a squared decay, and for LinearSVC the squared hinge: objectives with a "
            "gradient, and without constraints. Leave it at its default."
        )
    return form


def fitted(
    estimator: Any, coef: FloatArray, intercept: Any, classes: Array | None, names: Any
) -> Any:
    """Return a clone of an estimator as its own `fit` would leave it."""
    found = clone(estimator)
    for name, value in (
        form_of("estimator", estimator).attributes(coef, intercept).items()
    ):
        setattr(found, name, value)
    found.n_features_in_ = len(coef)
    if names is not None:
        found.feature_names_in_ = names
    if classes is not None:
        found.classes_ = classes
    if isinstance(found, PoissonRegressor):
        set_glm_loss(found)
    return found
