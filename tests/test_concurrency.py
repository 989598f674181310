"""Many threads and processes at once: the same bits as one after the other."""

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone

from sktie import AutoencoderPrior, KMeansPrior
from tests.kinds import KINDS, X, form_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

THREADS, REPEATS = 8, 5
CELLS = [(label, form) for label, kind in KINDS.items() for form in kind.forms]
PRIORS = {
    "KMeansPrior": KMeansPrior(3, n_init=1, code="soft", random_state=0),
    "AutoencoderPrior": AutoencoderPrior(3, max_iter=5, random_state=0),
}


def bits(values):
    return np.ascontiguousarray(values).tobytes()


def at_once(calls):
    """Return what calls return that begin together, in a thread each."""
    gate = threading.Barrier(len(calls))

    def begin(call):
        gate.wait(timeout=60)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(begin, calls))


@pytest.mark.parametrize(("label", "form"), CELLS)
def test_threads_predict_with_one_model(label, form):
    form = form_of(form, KINDS[label])
    model = form.model().fit(form.X, form.kind.y, **form.metadata)

    def predict():
        found = []
        for _ in range(REPEATS):
            for name in {form.kind.values, "predict"}:
                found.append(bits(getattr(model, name)(form.X, **form.metadata)))
            found.append(model.score(form.X, form.kind.y, **form.metadata))
        return found

    expected = predict()
    assert all(found == expected for found in at_once([predict] * THREADS))


@pytest.mark.parametrize("label", PRIORS)
def test_threads_transform_with_one_prior(label):
    prior = clone(PRIORS[label]).fit(X)

    def transform():
        return [bits(prior.transform(X)) for _ in range(REPEATS)]

    expected = transform()
    assert all(found == expected for found in at_once([transform] * THREADS))


def fitted(form):
    model = form.model().fit(form.X, form.kind.y, **form.metadata)
    return bits(getattr(model, form.kind.values)(form.X, **form.metadata))


@pytest.mark.parametrize("label", KINDS)
def test_threads_fit_side_by_side(label):
    kind = KINDS[label]
    forms = [form_of(form, kind) for form in kind.forms]
    jobs = (forms * 4)[:4]
    expected = [fitted(form) for form in jobs]
    assert at_once([lambda form=form: fitted(form) for form in jobs]) == expected


def test_processes_fit_what_this_one_does():
    # Methods of estimators, for which workers need not know these tests.
    forms = [form_of(KINDS[label].forms[0], KINDS[label]) for label in KINDS]
    jobs = [(form.model(), form) for form in forms]
    there = Parallel(n_jobs=2, backend="loky")(
        delayed(model.fit)(form.X, form.kind.y, **form.metadata) for model, form in jobs
    )
    for model, form in zip(there, forms, strict=True):
        found = bits(getattr(model, form.kind.values)(form.X, **form.metadata))
        assert found == fitted(form), form


@pytest.mark.parametrize("label", [k for k in KINDS if "Conv" in k or "Logistic" in k])
def test_n_jobs_changes_no_bit(label):
    kind = KINDS[label]
    form = form_of(kind.forms[0], kind)

    def values(n_jobs):
        model = form.model(n_jobs=n_jobs)
        model.fit(form.X, form.kind.y, **form.metadata)
        return bits(getattr(model, kind.values)(form.X, **form.metadata))

    assert values(1) == values(2) == values(4) == values(None)


PROGRAM = textwrap.dedent("""
    import hashlib, warnings
    import numpy as np
    from sktie import SharedConvClassifier, TiedLogisticRegression
    from sktie import TiedPoissonRegressor, TiedRidge

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(16_000, 30))  # enough for several lanes
    raw = X[:, :3].sum(axis=1) + rng.normal(size=len(X))
    y, domain = (raw > 0).astype(int), np.arange(len(X)) % 5
    counts = rng.poisson(np.exp(np.clip(raw / 3, -3, 2)))
    found = hashlib.sha256()
    for solver in ("newton-cholesky", "lbfgs"):
        model = TiedLogisticRegression(solver=solver)
        model.fit(X, y, sample_domain=domain)
        found.update(model.domain_coef_.tobytes())
    for model, target in (TiedRidge(), raw), (TiedPoissonRegressor(), counts):
        model.fit(X, target, sample_domain=domain)
        found.update(model.domain_coef_.tobytes())
    net = SharedConvClassifier(4, max_iter=1, image_shape=(6, 5), random_state=0)
    found.update(net.fit(X[:2000], y[:2000]).predict_proba(X[:2000]).tobytes())
    print(found.hexdigest())
""")


def test_processes_with_any_number_of_threads_fit_the_same(root):
    def run(n_threads):
        names = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"
        own = dict.fromkeys(names, str(n_threads)) | {"PYTHONPATH": str(root)}
        found = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=True,
        )
        return found.stdout

    first = run(1)
    assert len(first) > 60
    assert run(2) == first
    assert run(4) == first
