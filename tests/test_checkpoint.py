"""Tests of checkpoints: a training that was killed ends as if it had not been.

Most kills are an exception after some epochs, which leaves on the disk what a killed
process does; some are real.
"""

import os
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sktie import (
    AutoencoderPrior,
    KMeansPrior,
    SharedConvClassifier,
    TiedMLPClassifier,
)
from sktie.nn import Checkpoint, _checkpoint, checkpoint_for
from sktie.nn._training import Trained

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N = 90
_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(N, 16)).astype(np.float32)
Y = np.digitize(X[:, :4].sum(axis=1), [-1, 1])
SOME = np.where(np.arange(N) < 40, Y, -1)
SITE = np.arange(N) % 2
EPOCHS = 6


def noise(pixels, rng):
    return pixels + rng.normal(size=pixels.shape).astype(pixels.dtype)


def conv(*args, **params):
    settings = {"batch_size": 20, "max_iter": EPOCHS, "n_jobs": 1, "random_state": 0}
    return SharedConvClassifier(*(args or (3,)), **(settings | params))


def mlp(*args, **params):
    settings = {"hidden_units": 4, "solver": "adam", "batch_size": 20}
    settings |= {"max_iter": EPOCHS, "random_state": 0}
    return TiedMLPClassifier(*args, **(settings | params))


PRIOR = KMeansPrior(3, random_state=0)
PAIR = FrozenEstimator(conv(max_iter=2).fit(X[::-1], Y[::-1]))
CODES = {"solver": "adam", "batch_size": 20, "max_iter": EPOCHS, "random_state": 0}
#: name: (network, what `fit` gets besides X)
NETWORKS = {
    "adam": (conv(), {"y": Y}),
    "sgd": (conv(solver="sgd"), {"y": Y}),
    "constant": (conv(learning_rate="constant"), {"y": Y}),
    "plateau": (conv(learning_rate="constant", n_iter_no_change=3, tol=9), {"y": Y}),
    "dropout": (conv(dropout=0.5), {"y": Y}),
    "augment": (conv(augment={"shift": 1}, dropout=0.0), {"y": Y}),
    "callable": (conv(augment=noise), {"y": Y}),
    "in order": (conv(shuffle=False), {"y": Y}),
    "stopping": (conv(early_stopping=True, n_iter_no_change=2), {"y": Y}),
    "validation": (conv(solver="sgd"), {"y": Y, "X_val": X[:30], "y_val": Y[:30]}),
    "domains": (conv(), {"y": Y, "sample_domain": SITE}),
    "local": (conv(tie=1.0, hidden_layer_sizes=5), {"y": Y}),
    "pair": (conv(pair=PAIR), {"y": Y}),
    "float64": (conv(dtype="float64"), {"y": Y}),
    "generator": (conv(random_state=np.random.RandomState(3)), {"y": Y}),
    "hidden": (mlp(), {"y": Y}),
    "hidden stopping": (mlp(early_stopping=True, n_iter_no_change=2), {"y": Y}),
    "prior": (mlp(PRIOR, unlabeled=-1, tie_output=1.0), {"y": SOME}),
    "held": (mlp(PRIOR, unlabeled=-1, tie=np.inf), {"y": SOME}),
    "codes": (AutoencoderPrior(2, **CODES), {}),
    "annealed": (AutoencoderPrior(2, temperature=0.0, **CODES), {}),
    "tanh": (AutoencoderPrior(2, activation="tanh", share=None, **CODES), {}),
}
networks = pytest.mark.parametrize("name", NETWORKS)


class Killed(BaseException):
    """Ends a process."""


@pytest.fixture
def always(monkeypatch):
    """A checkpoint after every epoch."""
    monkeypatch.setattr(_checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(_checkpoint, "SHARE", np.inf)


class Keeping:
    """Counts the epochs that trainings write down, and kills after some."""

    def __init__(self, monkeypatch):
        self.count, self.last = 0, np.inf
        write = Checkpoint.keep

        def keep(checkpoint, **moving):
            write(checkpoint, **moving)
            self.count += 1
            if self.count == self.last:
                raise Killed

        monkeypatch.setattr(Checkpoint, "keep", keep)

    def kill(self, model, after, **given):
        """Fit a clone; end it after so many epochs."""
        self.count, self.last = 0, after
        with pytest.raises(Killed):
            clone(model).fit(X, **given)
        self.count, self.last = 0, np.inf


@pytest.fixture
def keeping(always, monkeypatch):
    return Keeping(monkeypatch)


def assert_same_state(model, other):
    """Compare all that was learned, bit for bit."""
    assert vars(model).keys() == vars(other).keys()
    for name, value in vars(model).items():
        if name in ("checkpoint", "pair", "random_state", "prior_"):
            continue
        theirs = vars(other)[name]
        if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
            for one, two in zip(value, theirs, strict=True):
                assert one.dtype == two.dtype
                assert_array_equal(one, two)
        elif isinstance(value, np.ndarray):
            assert value.dtype == theirs.dtype
            assert_array_equal(value, theirs, strict=True)
        else:
            assert value == theirs or value is theirs, name
            assert type(value) is type(theirs)
            if isinstance(value, list):
                assert list(map(type, value)) == list(map(type, theirs))


def uninterrupted(name):
    model, given = NETWORKS[name]
    return clone(model).fit(X, **given), given


# Going on


@pytest.mark.parametrize("after", [1, 3, "last"])
@networks
def test_a_killed_training_goes_on_to_the_same_bits(name, after, tmp_path, keeping):
    whole, given = uninterrupted(name)
    # Not a clone of the other one, whose random_state may have moved.
    model = clone(NETWORKS[name][0]).set_params(checkpoint=tmp_path / "new" / "folder")
    assert keeping.count == 0
    same = clone(model).fit(X, **given)  # To write makes no difference.
    assert_same_state(same, whole)
    epochs = keeping.count
    assert epochs >= 2
    after = epochs if after == "last" else min(after, epochs - 1)
    keeping.kill(model, after, **given)
    assert len(os.listdir(model.checkpoint)) >= 1
    again = clone(model).fit(X, **given)
    assert keeping.count == epochs - after
    assert_same_state(again, whole)
    assert os.listdir(model.checkpoint) == []


def test_a_training_may_be_killed_again_and_again(tmp_path, keeping):
    whole, given = uninterrupted("dropout")
    model = clone(whole).set_params(checkpoint=str(tmp_path))
    for _ in range(3):
        keeping.kill(model, 1, **given)
    assert_same_state(clone(model).fit(X, **given), whole)


def test_a_warm_start_goes_on_too(tmp_path, keeping):
    def before():
        return conv(warm_start=True).fit(X[:50], Y[:50])

    whole = before().fit(X, Y)
    keeping.count, keeping.last = 0, 2
    with pytest.raises(Killed):
        before().set_params(checkpoint=tmp_path).fit(X, Y)
    keeping.count, keeping.last = 0, np.inf
    again = before().set_params(checkpoint=tmp_path).fit(X, Y)
    assert keeping.count < EPOCHS
    assert_same_state(again, whole)


def test_a_fitted_model_is_left_as_it_was_and_can_go_on(tmp_path, keeping):
    model = conv(checkpoint=tmp_path).fit(X, Y)
    before = clone(model).fit(X, Y)
    whole, given = uninterrupted("domains")
    keeping.count, keeping.last = 0, 2
    with pytest.raises(Killed):
        model.fit(X, **given)
    assert_same_state(model, before)
    keeping.last = np.inf
    assert_same_state(model.fit(X, **given), whole)


def test_ctrl_c_keeps_the_parameters_and_the_checkpoint(tmp_path, always, monkeypatch):
    whole, given = uninterrupted("adam")
    model = clone(whole).set_params(checkpoint=tmp_path)
    write, count = Checkpoint.keep, []

    def keep(checkpoint, **moving):
        write(checkpoint, **moving)
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "keep", keep)
        with pytest.warns(ConvergenceWarning, match="interrupted after 2 epochs"):
            model.fit(X, **given)
    assert model.n_iter_ == 2
    assert len(os.listdir(tmp_path)) == 1
    assert_same_state(model.fit(X, **given), whole)
    assert os.listdir(tmp_path) == []


def test_partial_fit_writes_nothing(tmp_path, keeping):
    model = conv(checkpoint=tmp_path / "new").partial_fit(X, Y, classes=[0, 1, 2])
    model.partial_fit(X, Y)
    assert keeping.count == 0
    assert not (tmp_path / "new").exists()


def test_searches_share_a_folder(tmp_path, always):
    grid = {"alpha": [1e-4, 1.0], "solver": ["adam", "sgd"]}
    expected = GridSearchCV(conv(), grid, cv=2).fit(X, Y)
    shared = GridSearchCV(conv(checkpoint=tmp_path), grid, cv=2, n_jobs=2)
    shared.fit(X, Y)
    for name in ("mean_test_score", "split0_test_score"):
        assert_array_equal(shared.cv_results_[name], expected.cv_results_[name])
    assert os.listdir(tmp_path) == []


def test_two_trainings_at_once_share_a_folder(tmp_path, always):
    """Even where they are the same training."""
    whole, _ = uninterrupted("dropout")
    models = [clone(whole).set_params(checkpoint=tmp_path) for _ in range(4)]
    models += [conv(checkpoint=tmp_path, random_state=k) for k in (1, 2)]
    threads = [threading.Thread(target=one.fit, args=(X, Y)) for one in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model in models[:4]:
        assert_same_state(model, whole)
    assert_array_equal(models[5].coefs_[0], conv(random_state=2).fit(X, Y).coefs_[0])
    assert os.listdir(tmp_path) == []


# Which training it is


OTHER = {
    "filters": 4,
    "kernel_size": 2,
    "stride": 2,
    "pool_size": 1,
    "padding": "valid",
    "tie": 1.0,
    "bias": "location",
    "hidden_layer_sizes": 3,
    "global_pool": "max",
    "activation": "tanh",
    "pair": PAIR,
    "tie_pair": 2.0,
    "handle_unknown": "shared",
    "image_shape": (2, 8),
    "signals": True,
    "solver": "sgd",
    "alpha": 1.0,
    "batch_size": 30,
    "learning_rate": "constant",
    "learning_rate_init": 0.1,
    "max_iter": 7,
    "tol": 1.0,
    "n_iter_no_change": 3,
    "early_stopping": True,
    "validation_fraction": 0.2,
    "shuffle": False,
    "dropout": 0.1,
    "augment": noise,
    "class_weight": "balanced",
    "dtype": "float64",
    "random_state": 1,
}
NO_MATTER = {"warm_start": True, "n_jobs": 2, "verbose": 1, "checkpoint": None}


@pytest.fixture
def names(monkeypatch):
    """The files of trainings, which end before they begin."""
    found = []

    def read(checkpoint):
        found.append(checkpoint.file.name)
        raise Killed

    monkeypatch.setattr(Checkpoint, "_read", read)

    def name_of(model, folder, X=X, **given):
        with pytest.raises(Killed):
            model.set_params(checkpoint=folder).fit(X, **{"y": Y, **given})
        return found[-1]

    return name_of


def test_other_parameters_are_another_training(names, tmp_path):
    assert {*OTHER, *NO_MATTER} == {*conv().get_params(deep=False)}
    found = [names(conv(), tmp_path)]
    found += [names(conv().set_params(**{key: OTHER[key]}), tmp_path) for key in OTHER]
    assert len(set(found)) == len(found)
    again = [names(conv(**{key: NO_MATTER[key]}), tmp_path) for key in NO_MATTER]
    assert set(again) == {found[0]}


def test_other_data_are_another_training(names, tmp_path):
    changed, other = X.copy(), Y.copy()
    changed[-1, -1] += 1e-6
    other[0] = (other[0] + 1) % 3
    validation = {"X_val": X[:9], "y_val": Y[:9]}
    given = [
        {},
        {"X": X[:-1], "y": Y[:-1]},
        {"X": changed},
        {"y": other},
        {"sample_weight": 1 + (np.arange(N) == 5)},
        {"sample_domain": SITE},
        {"sample_domain": 1 - SITE},
        {"sample_domain": np.arange(N) % 3},
        validation,
        validation | {"X_val": X[1:10]},
        validation | {"y_val": Y[1:10]},
    ]
    for model in (conv(), conv(augment=noise)):
        found = [names(model, tmp_path, **more) for more in given]
        # Domains by other names are the same training, whose heads are in other order.
        assert len(set(found)) == len(found)
        # The order of rows makes no difference to the training, nor does it here.
        assert names(model, tmp_path, X=X[::-1], y=Y[::-1]) == found[0]
    given = [{}, {"X": X[:-1], "y": Y[:-1]}, {"X": changed}, {"y": other}]
    for model in (mlp(), mlp(PRIOR), mlp(KMeansPrior(3, random_state=1))):
        found += [names(model, tmp_path, **more) for more in given]
    assert len(set(found)) == len(found)
    model = AutoencoderPrior(2, **CODES)
    found = [names(model, tmp_path, **more) for more in given[:3]]
    assert len(set(found)) == 3


def test_other_code_of_a_function_is_another_training(names, tmp_path):
    functions = [noise, lambda p, rng: p, lambda p, rng: p + 0, lambda p, rng: p + 1]
    found = {names(conv(augment=function), tmp_path) for function in functions}
    assert len(found) == 4


def test_others_of_the_folder_are_left_alone(tmp_path, keeping):
    keeping.kill(conv(checkpoint=tmp_path), 2, y=Y)
    (kept,) = tmp_path.iterdir()
    before = kept.read_bytes()
    whole = conv(alpha=0.1).fit(X, Y)
    other = conv(alpha=0.1, checkpoint=tmp_path).fit(X, Y)
    assert_same_state(other, whole)
    assert os.listdir(tmp_path) == [kept.name]
    assert kept.read_bytes() == before


# Files that are no use


@pytest.fixture
def left(tmp_path, keeping):
    """A file that a killed training left."""
    keeping.kill(conv(checkpoint=tmp_path), 3, y=Y)
    (file,) = tmp_path.iterdir()
    return file


def begin_anew(left, match):
    with pytest.warns(UserWarning, match=match) as caught:
        model = conv(checkpoint=left.parent).fit(X, Y)
    assert [str(one.message) for one in caught if left.name in str(one.message)]
    assert_same_state(model, uninterrupted("adam")[0])
    assert os.listdir(left.parent) == []


@pytest.mark.parametrize("package", ["sktie", "numpy", "scikit-learn"])
def test_a_file_of_another_version_is_told_and_ignored(package, left, monkeypatch):
    now = _checkpoint.VERSIONS[package]
    later = _checkpoint.VERSIONS | {package: "99.0"}
    monkeypatch.setattr(_checkpoint, "VERSIONS", later)
    begin_anew(left, rf"is ignored, as it is of .*{package} {now}.*{package} 99\.0")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x80\x04N."])
def test_a_file_of_something_else_is_told_and_ignored(content, left):
    left.write_bytes(content)
    begin_anew(left, "is ignored, as it is damaged")


def test_a_damaged_file_is_told_and_ignored(left):
    """Cut anywhere, or with another bit anywhere, it makes no other training."""
    whole, rng = left.read_bytes(), np.random.default_rng(0)
    checkpoint = Checkpoint(left)
    expected = repr(checkpoint._read())
    damaged = [whole[:length] for length in rng.integers(len(whole), size=30)]
    for place in rng.integers(len(whole), size=200):
        bits = bytearray(whole)
        bits[place] ^= 1 << rng.integers(8)
        damaged.append(bytes(bits))
    n_refused = 0
    for content in damaged:
        left.write_bytes(content)
        try:
            found = checkpoint._read()
        except _checkpoint.DAMAGED:
            n_refused += 1
        else:  # In the date of an entry, for example.
            assert repr(found) == expected
    assert n_refused > 150
    left.write_bytes(whole[: len(whole) // 2])
    begin_anew(left, "is ignored, as it is damaged")


def test_a_file_with_code_runs_none(left, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'touched'}",)

    with open(left, "wb") as file:
        np.savez(file, tree=np.array([Evil()], dtype=object))
    begin_anew(left, "damaged.*allow_pickle=False")
    assert not (tmp_path / "touched").exists()


def test_what_killed_processes_left_half_written_goes_with_the_rest(left):
    half = left.parent / f".{left.name}.0123.tmp"
    young = left.parent / f".{left.name}.4567.tmp"
    other = left.parent / ".another.npz.0123.tmp"
    for file in (half, young, other):
        file.write_bytes(b"half")
    for file in (half, other):
        os.utime(file, (0, 0))
    conv(checkpoint=left.parent).fit(X, Y)
    assert {*left.parent.iterdir()} == {young, other}


# What it costs, and what can go wrong


def test_a_full_disk_is_told_and_the_training_goes_on(tmp_path, always, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_checkpoint, "replacing", full)
    with pytest.warns(UserWarning, match="No checkpoint could be written.*No space"):
        model = conv(checkpoint=tmp_path).fit(X, Y)
    assert_same_state(model, uninterrupted("adam")[0])


def test_a_file_that_cannot_be_removed_spoils_no_training(
    tmp_path, always, monkeypatch
):
    def refuse(path):
        raise PermissionError(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        model = conv(checkpoint=tmp_path).fit(X, Y)
    assert len(os.listdir(tmp_path)) == 1
    whole, _ = uninterrupted("adam")
    assert_same_state(model, whole)
    # The next fit goes on from its last epoch.
    assert_same_state(conv(checkpoint=tmp_path).fit(X, Y), whole)
    assert os.listdir(tmp_path) == []


def test_a_short_training_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "replacing", None)
    conv(checkpoint=tmp_path).fit(X, Y)


def test_files_are_written_as_seldom_as_they_take_long(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(_checkpoint.time, "monotonic", lambda: clock[0])
    times = []

    def slow(path):
        times.append(clock[0])
        clock[0] += 3.0
        raise OSError

    monkeypatch.setattr(_checkpoint, "replacing", slow)
    checkpoint = Checkpoint(tmp_path / "file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while clock[0] < 400:
            checkpoint.keep(theta=np.zeros(3))
            clock[0] += 1.0
    # The first after the interval, others when it has been 2 % of the time.
    assert times == [10.0, 163.0, 316.0]


@pytest.mark.parametrize("make", [conv, mlp])
def test_a_run_without_a_seed_cannot_go_on(make, tmp_path):
    model = make(random_state=None, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"random_state=None.*Set random_state"):
        model.fit(X, Y)


@pytest.mark.parametrize(
    "model",
    [conv(solver="lbfgs"), mlp(solver="lbfgs"), AutoencoderPrior(random_state=0)],
)
def test_l_bfgs_cannot_go_on(model, tmp_path):
    model.set_params(checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"L-BFGS \(solver=.*Set solver='adam'"):
        model.fit(X, Y)


def test_a_folder_that_cannot_be_is_told_before_the_training(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(OSError, match="file"):
            conv(checkpoint=folder).fit(X, Y)


def test_what_is_no_folder_is_a_wrong_parameter():
    for network in (conv(checkpoint=3), mlp(checkpoint=3)):
        with pytest.raises(ValueError, match="'checkpoint' parameter"):
            network.fit(X, Y)


def test_no_checkpoint_no_work(monkeypatch):
    monkeypatch.setattr(_checkpoint, "fingerprint", None)
    assert checkpoint_for(conv(), None) is None
    Trained(np.zeros(1), [], True).forget()


# Real processes


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_a_process_that_is_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    """Every process trains on from where the one before was killed."""
    code = """
    import os, random, signal, sys, time, warnings
    import numpy as np
    from sktie import SharedConvClassifier
    from sktie.nn import _checkpoint
    folder, end = sys.argv[1], sys.argv[2]
    _checkpoint.INTERVAL, _checkpoint.SHARE, _checkpoint.STALE = 0.0, np.inf, 0.0
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 64)).astype(np.float32), rng.integers(3, size=400)

    def fit(checkpoint):
        model = SharedConvClassifier(
            4, max_iter=60, batch_size=32, n_jobs=1, random_state=0,
            augment={"shift": 1}, learning_rate="constant", n_iter_no_change=60,
            checkpoint=checkpoint,
        )
        warnings.simplefilter("ignore")
        return model.fit(X, y)

    start = time.monotonic()
    whole = fit(None)
    took = time.monotonic() - start
    random.seed(0)
    kills = 0
    while not os.path.exists(end):
        child = os.fork()
        if child == 0:
            model = fit(folder)
            np.savez(end + ".npz", *model.coefs_, curve=model.loss_curve_)
            os.rename(end + ".npz", end)
            os._exit(0)
        # Longer and longer: on a busy machine a life is short for an epoch.
        time.sleep(random.uniform(0.1, 0.5) * took * (1 + kills / 5))
        os.kill(child, signal.SIGKILL)
        kills += os.waitpid(child, 0)[1] == signal.SIGKILL
        assert kills < 100
    found = np.load(end)
    for k, part in enumerate(whole.coefs_):
        assert np.array_equal(found[f"arr_{k}"], part)
    assert found["curve"].tolist() == whole.loss_curve_
    print(kills > 1, os.listdir(folder))
    """
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(code),
            tmp_path / "new",
            tmp_path / "end",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True []"
