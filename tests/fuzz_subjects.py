"""What the fuzz tries: every public estimator in every form, and every function.

A subject has methods, and for each of their arguments a value that is valid, from which
`tests.oddities` makes odd ones. Estimators, and how they are told of domains, are those
of `tests.kinds`.
"""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

import sktie
from sktie import inspection
from sktie.datasets import load_heart_sites
from sktie.model_selection import LabeledSplit
from tests.kinds import KINDS, SITE, N, X, Y, form_of

#: Methods that are scikit-learn's own and take nothing of ours.
BOILERPLATE = ("set_", "get_params", "get_metadata_routing")
#: Estimators that are better asked with what they must keep, or that take long.
SETTINGS = {
    "TiedLogisticRegression": {"store_covariance": True},
    "TiedRidge": {"store_covariance": True},
    "TiedLogisticRegressionCV": {"store_covariance": True, "max_iter": 100},
    "TiedRidgeCV": {"store_covariance": True},
}


@dataclass(frozen=True)
class Subject:
    """Something public to call.

    Attributes
    ----------
    make : callable
        Returns an unfitted estimator; or None for functions.
    functions : dict
        What is called by each name; None stands for the method of the estimator.
    given : dict
        A valid value for each argument that has one.
    numbers : bool
        Whether y holds numbers, not labels.
    """

    name: str
    make: Callable[[], Any] | None
    functions: dict[str, Any]
    given: dict[str, Any] = field(default_factory=dict)
    numbers: bool = False

    def signature(self, method):
        """Return the parameters of a function or method, without self."""
        function = self.functions[method]
        if function is None:
            function = getattr(type(self.make()), method)
        found = inspect.signature(function).parameters.values()
        kinds = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
        return {p.name: p for p in found if p.name != "self" and p.kind not in kinds}

    def valid(self, method):
        """Return the arguments that a call needs, and those of its form."""
        always = {"sample_domain", "n_bootstrap"} & set(self.given)
        return {
            name: self.given[name]
            for name, parameter in self.signature(method).items()
            if name in self.given
            and (parameter.default is inspect.Parameter.empty or name in always)
        }


def methods_of(estimator):
    """Return the public methods of an estimator that it has itself."""
    kind = type(estimator)
    return [
        name
        for name in dir(kind)
        if not name.startswith(("_", *BOILERPLATE))
        and callable(getattr(kind, name))
        and not hasattr(BaseEstimator, name)
    ]


@cache
def fitted(name):
    """Return a subject's estimator, fitted to what is valid."""
    subject = SUBJECTS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return subject.make().fit(**subject.valid("fit"))


def _estimators():
    rng = np.random.default_rng(3)
    for label, kind in KINDS.items():
        for form in (form_of(name, kind) for name in kind.forms):
            settings = SETTINGS.get(label.split(",")[0], {})

            def make(form=form, settings=settings):
                return form.model(**settings)

            given = {
                "X": form.X,
                "y": kind.y,
                "classes": np.unique(kind.y),
                "label": 0,
                "domain": None if form.domains is None else 0,
                "pixel": (0, 1),
                "layer": 0,
                "unit": (0, 0),
                "stored": None,
                "sample_weight": np.ones(N),
                "sample_exposure": np.linspace(0.5, 2.0, N),
                "X_unlabeled": rng.normal(size=(10, form.X.shape[1])),
                "X_val": form.X[::2],
                "y_val": kind.y[::2],
            }
            if form.name == "sample_domain":
                given |= {
                    "sample_domain": SITE if kind.site is None else kind.site,
                }
                if label == "SharedConvClassifier":
                    given["sample_domain_val"] = given["sample_domain"][::2]
            yield Subject(
                f"{label}, {form.name}",
                make,
                dict.fromkeys(methods_of(make())),
                given,
                "classifier" not in kind.traits,
            )


def _images():
    rng = np.random.default_rng(4)
    images = rng.normal(size=(20, 6, 5, 2))
    given = {
        "X": images,
        "y": np.arange(20) % 3,
        "classes": np.arange(3),
        "pixel": (2, 2),
        "layer": 0,
        "unit": (1, 1),
        "sample_weight": np.ones(20),
        "X_val": images[::2],
        "y_val": np.arange(20)[::2] % 3,
        "sample_domain": None,
        "sample_domain_val": None,
    }

    def make():
        return sktie.SharedConvClassifier(
            (2, 3),
            tie=(1.0, np.inf),
            hidden_layer_sizes=(4,),
            max_iter=2,
            n_jobs=1,
            random_state=0,
        )

    return Subject(
        "SharedConvClassifier, images", make, dict.fromkeys(methods_of(make())), given
    )


def _priors():
    given = {
        "X": X,
        "y": Y,
        "y_index": Y,
        "n_classes": 2,
        "sample_weight": np.ones(N),
        "input_features": ["age", "bp", "chol"],
    }
    makers = {
        "KMeansPrior": lambda: sktie.KMeansPrior(3, n_init=1, random_state=0),
        "KMeansPrior, soft": lambda: sktie.KMeansPrior(
            3, n_init=1, random_state=0, code="soft"
        ),
        "AutoencoderPrior": lambda: sktie.AutoencoderPrior(
            3, max_iter=3, random_state=0
        ),
    }
    for name, make in makers.items():
        own = dict.fromkeys(methods_of(make()))
        yield Subject(name, make, own, given)


def _report_methods():
    """Return functions that ask a report or display of a model, and draw it."""

    def shared():
        return inspection.sharing_report(fitted("SharedConvClassifier, images"))

    def total(network):
        return shared().total(network)

    def draw_kernels(kernels, title, cmap):
        return inspection.KernelDisplay(kernels, title).plot(cmap=cmap)

    def draw_maps(images, maps, cmap):
        return inspection.FeatureMapDisplay(images, maps).plot(cmap=cmap)

    def draw_field(mask, image):
        return inspection.ReceptiveFieldDisplay(mask, image=image).plot()

    def draw_relatedness(covariance, domains):
        return inspection.RelatednessDisplay(covariance, domains).plot()

    return total, draw_kernels, draw_maps, draw_field, draw_relatedness


def _functions():
    yield Subject(
        "tying_penalty",
        None,
        {"tying_penalty": sktie.tying_penalty},
        {"w_a": np.ones(3), "w_b": np.zeros(3)},
    )
    yield Subject("load_heart_sites", None, {"load_heart_sites": load_heart_sites})
    yield Subject(
        "FeatureTie",
        None,
        {"FeatureTie": sktie.FeatureTie},
        {"features": [0, 1], "strength": 1.0},
    )

    def split(cv, unlabeled, X, y, groups):
        return list(LabeledSplit(cv, unlabeled=unlabeled).split(X, y, groups))

    def count(cv, unlabeled, X, y, groups):
        return LabeledSplit(cv, unlabeled=unlabeled).get_n_splits(X, y, groups)

    marked = np.where(np.arange(N) % 4 == 0, -1, Y)
    given = {"cv": 3, "unlabeled": -1, "X": X, "y": marked, "groups": None}
    yield Subject("LabeledSplit", None, {"split": split, "get_n_splits": count}, given)

    tables = {
        "logistic": ("TiedLogisticRegression, sample_domain", False),
        "logistic, column": ("TiedLogisticRegression, column", False),
        "logistic, model": ("TiedLogisticRegression, model", False),
        "ridge": ("TiedRidge, sample_domain", True),
        "Poisson": ("TiedPoissonRegressor, sample_domain", True),
    }
    models = {
        "coef_summary": inspection.coef_summary,
        "compatibility_test": inspection.compatibility_test,
        "tying_path": inspection.tying_path,
        "tying_report": inspection.tying_report,
        "TyingPathDisplay": inspection.TyingPathDisplay.from_estimator,
    }
    for name, (subject, numbers) in tables.items():
        of = SUBJECTS[subject]
        given = {
            **{
                key: of.given[key]
                for key in ("X", "y", "sample_domain")
                if key in of.given
            },
            "sample_weight": np.ones(N),
            "sample_exposure": np.ones(N),
            "estimator": subject,
            "n_bootstrap": 3,
        }
        yield Subject(f"inspection, {name}", None, models, given, numbers)

    of = SUBJECTS["SharedConvClassifier, images"]
    images = {
        "sharing_report": inspection.sharing_report,
        "receptive_field": inspection.receptive_field,
        "influence": inspection.influence,
        "shift_invariance": inspection.shift_invariance,
        "KernelDisplay": inspection.KernelDisplay.from_estimator,
        "FeatureMapDisplay": inspection.FeatureMapDisplay.from_estimator,
        "ReceptiveFieldDisplay": inspection.ReceptiveFieldDisplay.from_estimator,
    }
    given = {
        "estimator": of.name,
        "X": of.given["X"],
        "max_shift": 1,
        "layer": 0,
        "unit": (1, 1),
        "pixel": (2, 2),
    }
    yield Subject("inspection, images", None, images, given)
    total, kernels, maps, field_of, relatedness = _report_methods()
    yield Subject(
        "displays",
        None,
        {
            "SharingReport.total": total,
            "KernelDisplay.plot": kernels,
            "FeatureMapDisplay.plot": maps,
            "ReceptiveFieldDisplay.plot": field_of,
            "RelatednessDisplay.plot": relatedness,
            "RelatednessDisplay": inspection.RelatednessDisplay.from_estimator,
        },
        {
            "network": "this network",
            "kernels": np.ones((2, 3, 3)),
            "title": "",
            "cmap": "cividis",
            "images": np.ones((2, 4, 4)),
            "maps": np.ones((2, 4, 4, 3)),
            "mask": np.ones((4, 4), dtype=bool),
            "image": np.ones((4, 4)),
            "covariance": np.eye(3),
            "domains": ["a", "b", "c"],
            "estimator": "TiedLogisticRegression, sample_domain",
        },
    )


SUBJECTS: dict[str, Subject] = {}
for _more in (_estimators, lambda: [_images()], _priors, _functions):
    SUBJECTS |= {subject.name: subject for subject in _more()}
