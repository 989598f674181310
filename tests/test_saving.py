"""Tests of save and load: files are the old or the new one, and make what is trusted.

What a process does that is killed, or has no room on the disk, is done by one.
"""

import ast
import contextlib
import io
import os
import pickle
import stat
import subprocess
import sys
import textwrap
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import loguniform
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sktie
from sktie import TiedLogisticRegression
from sktie._files import replacing
from sktie.exceptions import InconsistentVersionWarning
from tests.saved import UNFITTED, X, Y, answers, fitted

ROOT = Path(__file__).parents[1]
pytest.importorskip("skops.io")
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and limits")


def run(code, *args, prefix=()):
    """Run a program of its own; return what it says."""
    command = [*prefix, sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def only(path):
    """Whether the folder holds this file and no other."""
    return os.listdir(path.parent) == [path.name]


# What is saved


@pytest.mark.parametrize("name", UNFITTED)
def test_a_loaded_model_answers_as_the_saved_one(name, tmp_path):
    model, rows, given = fitted(name)
    sktie.save(model, tmp_path / "model.skops")
    again = sktie.load(tmp_path / "model.skops")
    assert type(again) is type(model)
    for method, array in answers(model, rows, given).items():
        assert_array_equal(answers(again, rows, given)[method], array)
    assert only(tmp_path / "model.skops")


TIED = TiedLogisticRegression(-1)
SCALED = make_pipeline(
    make_column_transformer((StandardScaler(), [0, 1, 2]), remainder="passthrough"),
    TIED,
)
GRID = {"tie": [0.1, 10.0]}
AROUND = {
    "pipeline": SCALED,
    "grid": GridSearchCV(TIED, GRID),
    "grid with folds": GridSearchCV(TIED, GRID, cv=StratifiedKFold(3)),
    "pipeline in a grid": GridSearchCV(SCALED, {"tiedlogisticregression__C": [1, 2]}),
    "calibrated": CalibratedClassifierCV(TIED),
    "bagged": BaggingClassifier(TIED, 3, random_state=0),
    "stacked": StackingClassifier([("tied", TIED)], LogisticRegression()),
    "voting": VotingClassifier([("tied", TIED), ("two", SCALED)]),
}


@pytest.mark.parametrize("name", AROUND)
def test_what_scikit_learn_puts_around_a_model_needs_no_more_trust(name, tmp_path):
    model = AROUND[name].fit(X, Y)
    sktie.save(model, tmp_path / "model.skops")
    again = sktie.load(tmp_path / "model.skops")
    assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (GridSearchCV(TIED, GRID, scoring="accuracy"), "accuracy_score"),
        (
            RandomizedSearchCV(TIED, {"tie": loguniform(1, 9)}, n_iter=2),
            "rv_continuous_frozen",
        ),
    ],
)
def test_other_types_are_named_with_the_way_out(model, named, tmp_path):
    sktie.save(model.fit(X, Y), tmp_path / "model.skops")
    with pytest.raises(TypeError, match=f"not trusted.*{named}") as caught:
        sktie.load(tmp_path / "model.skops")
    way_out = str(caught.value).partition("trusted=")[2].removesuffix(").")
    again = sktie.load(tmp_path / "model.skops", trusted=ast.literal_eval(way_out))
    assert_array_equal(again.predict(X), model.predict(X))


class Thing:
    """Of a type that nobody knows."""

    def __init__(self, number):
        self.number = number


class Unsaid(Thing):
    """Cannot be written."""

    def __getstate__(self):
        raise TypeError("not to be written")


def test_one_trusted_type_may_be_a_word(tmp_path):
    path, kind = tmp_path / "thing.skops", f"{Thing.__module__}.Thing"
    sktie.save({"thing": Thing(3)}, path)
    with pytest.raises(TypeError, match=rf"trusted=\['{kind}'\]"):
        sktie.load(path)
    assert sktie.load(path, trusted=kind)["thing"].number == 3


def test_a_file_that_names_a_command_runs_none(tmp_path):
    """What a pickle would do: os.system, called while it is loaded."""

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'touched'}",)

    import skops.io

    sktie.save(TIED, tmp_path / "model.skops")
    with zipfile.ZipFile(tmp_path / "model.skops") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = parts["schema.json"]
    evil = schema.replace(b'"TiedLogisticRegression"', b'"system"').replace(
        b'"sktie.linear_model._logistic"', b'"os"'
    )
    assert evil != schema
    with zipfile.ZipFile(tmp_path / "evil.skops", "w") as archive:
        for name, part in {**parts, "schema.json": evil}.items():
            archive.writestr(name, part)
    with pytest.raises(TypeError, match=r"os\.system"):
        sktie.load(tmp_path / "evil.skops")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="no file of skops"):
        sktie.load(tmp_path / "evil.pkl")
    # Trust in more is as skops has it, not more.
    with pytest.raises(TypeError):
        skops.io.load(tmp_path / "evil.skops", trusted=sktie.SKOPS_TRUSTED_TYPES)
    assert not (tmp_path / "touched").exists()


def test_another_version_is_told(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("sktie._persistence.__version__", "0.0.1")
        sktie.save(TIED, tmp_path / "model.skops")
    with pytest.warns(InconsistentVersionWarning, match=r"sktie 0\.0\.1"):
        sktie.load(tmp_path / "model.skops")
    # A warning that was made an error stays what it is.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InconsistentVersionWarning):
            sktie.load(tmp_path / "model.skops")


@pytest.mark.parametrize("content", [b"", b"words", pickle.dumps(TIED), None])
def test_no_file_of_skops(content, tmp_path):
    path = tmp_path / "model.skops"
    if content is None:
        file = io.BytesIO()
        np.savez(file, a=np.arange(3))
        content = file.getvalue()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.skops' is no file of skops, or is d"):
        sktie.load(path)


def test_a_damaged_file_is_never_a_model(tmp_path):
    model, rows, given = fitted("domains")
    path = tmp_path / "model.skops"
    sktie.save(model, path)
    whole, expected = path.read_bytes(), answers(model, rows, given)["predict_proba"]
    rng = np.random.default_rng(0)
    for length in rng.integers(len(whole), size=40):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is no file of skops"):
            sktie.load(path)
    for place in rng.integers(len(whole), size=100):
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with contextlib.suppress(ValueError, TypeError):
            # Where a date of the archive was hit, for example.
            again = answers(sktie.load(path), rows, given)
            assert_array_equal(again["predict_proba"], expected)


def test_there_is_no_file():
    with pytest.raises(FileNotFoundError):
        sktie.load("nowhere/model.skops")
    with pytest.raises(FileNotFoundError):
        sktie.save(TIED, "nowhere/model.skops")


@pytest.mark.parametrize("name", ["save", "load"])
def test_without_skops_the_error_says_how_to_install_it(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    (tmp_path / "model.skops").write_bytes(b"")
    args = [TIED] * (name == "save")
    with pytest.raises(ImportError, match=rf'sktie\.{name}.*install "sktie\[skops\]"'):
        getattr(sktie, name)(*args, tmp_path / "model.skops")


# Where it is saved


def test_the_file_has_the_mode_that_any_file_would_have(tmp_path):
    for name in ("plain", "model"):
        if name == "plain":
            (tmp_path / name).write_text("")
        else:
            sktie.save(TIED, tmp_path / name)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert len(modes) == 1


@posix
def test_a_file_that_is_replaced_keeps_its_mode_and_its_links(tmp_path):
    path, link = tmp_path / "model", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    sktie.save(TIED, str(link))
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sktie.load(path).pair == -1


@posix
@pytest.mark.parametrize("path", ["/dev/null", "/dev", "/dev/full"])
def test_what_is_no_file_is_never_replaced(path):
    before = os.stat(path)
    with pytest.raises(OSError, match="no file"):
        sktie.save(TIED, path)
    assert os.stat(path).st_ino == before.st_ino


# What fails


class Full:
    """A file that the disk has room for some bytes of."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        self.file.write(data[: self.room])
        raise OSError(28, "No space left on device")

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 1, 1000])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_write_that_fails_leaves_what_was_there(room, before, tmp_path, monkeypatch):
    path = tmp_path / "model"
    if before is not None:
        path.write_bytes(before)

    @contextlib.contextmanager
    def too_small(where):
        with replacing(where) as file:
            yield Full(file, room)

    monkeypatch.setattr("sktie._persistence.replacing", too_small)
    with pytest.raises(OSError, match="No space left"):
        sktie.save(TIED, path)
    assert os.listdir(tmp_path) == ([] if before is None else ["model"])
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_of_the_system_leaves_what_was_there(
    error, call, tmp_path, monkeypatch
):
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def fail(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(f"sktie._files.os.{call}", fail)
        with pytest.raises(error):
            sktie.save(TIED, path)
    assert path.read_bytes() == b"old"
    assert only(path)


# A file that was opened, and that nobody knew yet, is closed by Python.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_ctrl_c_at_any_line_leaves_the_old_file_or_the_new(tmp_path):
    """An interrupt at every line that `replacing` runs."""
    path = tmp_path / "model"
    seen = set()
    for line in range(100):
        path.write_bytes(b"old")
        left = line

        def trace(frame, event, _):
            nonlocal left
            if "_files.py" not in frame.f_code.co_filename:
                return None
            left -= event == "line"
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace

        tracing = sys.gettrace()
        sys.settrace(trace)
        try:
            with replacing(path) as file:
                file.write(b"new")
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(tracing)
        content = path.read_bytes()
        seen.add(content)
        assert content in (b"old", b"new")
        assert only(path), line
        if left >= 0:
            break
    assert 10 < line < 99
    assert seen == {b"old", b"new"}


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "model"
    sktie.save(TIED, path)
    with pytest.raises(TypeError, match="not to be written"):
        sktie.save(TiedLogisticRegression(graph=Unsaid(3)), path)
    assert sktie.load(path).pair == -1
    assert only(path)


#: Saves a small and a large model in turn to argv[1], where the small one is at first.
MODELS = """
    import os, random, signal, sys, time
    import numpy as np
    import sktie
    path = sys.argv[1]
    large = np.random.default_rng(0).normal(size=100_000), 0.0
    models = [sktie.TiedRidge(None, alpha=1.0), sktie.TiedRidge(large, alpha=2.0)]
    sktie.save(models[0], path)
"""


@posix
def test_a_full_file_system_for_real(tmp_path):
    """A file system of 64 KiB, which ends with the process that mounts it."""
    mount = "mount -t tmpfs -o size=64k tmpfs $0 && exec $@"
    inside = ["unshare", "--mount", "sh", "-c", mount, str(tmp_path)]
    try:
        subprocess.run([*inside, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount")
    code = """
    try:
        sktie.save(models[1], path)
    except OSError as error:
        print(error.errno, os.listdir(os.path.dirname(path)))
    print(sktie.load(path).alpha)
    """
    mount = 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"'
    inside[4] = mount
    assert run(MODELS + code, tmp_path / "model", prefix=inside) == (
        "28 ['model']\n1.0"
    )
    assert os.listdir(tmp_path) == []


@posix
def test_a_process_killed_or_without_room_leaves_the_old_file_or_the_new(tmp_path):
    """Sixty processes, each killed at a moment of its own; then small files only."""
    code = """
    import resource
    import skops.io
    from sktie._files import replacing
    data = [skops.io.dumps(model) for model in models]
    random.seed(0)
    found, left = [], 0
    for _ in range(60):
        child = os.fork()
        if child == 0:
            while True:
                for one in data:
                    with replacing(path) as file:
                        file.write(one)
        time.sleep(random.uniform(0.002, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found.append(sktie.load(path).alpha)
        names = set(os.listdir(os.path.dirname(path))) - {"model"}
        assert all(name.startswith(".model.") for name in names), names
        left += len(names)
        for name in names:
            os.unlink(os.path.join(os.path.dirname(path), name))
    print(sorted(set(found)), left > 0)

    sktie.save(models[0], path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    try:
        sktie.save(models[1], path)
    except OSError as error:
        print(error.strerror, os.listdir(os.path.dirname(path)))
    print(sktie.load(path).alpha)
    """
    found = run(MODELS + code, tmp_path / "model").splitlines()
    # Both were found, and some were killed in the middle.
    assert found == ["[1.0, 2.0] True", "File too large ['model']", "1.0"]


# What is read


def test_the_package_loads_no_pickle():
    """Neither by its name, nor by another library, nor within arrays."""
    modules = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "torch"}
    calls = {"joblib.load", "pd.read_pickle", "pandas.read_pickle"}
    bad, seen = [], 0
    for file in (ROOT / "sktie").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            seen += 1
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            elif isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name == "import_module" and isinstance(node.args[0], ast.Constant):
                    names = [node.args[0].value]
                elif name in calls or name.endswith("read_pickle"):
                    bad.append((file.name, name))
                elif name in {"np.load", "numpy.load"}:
                    given = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    if given.get("allow_pickle") != "False":
                        bad.append((file.name, ast.unparse(node)))
                elif name in {"eval", "exec", "marshal.loads", "__import__"}:
                    bad.append((file.name, name))
            bad += [
                (file.name, name)
                for name in names
                if name.partition(".")[0] in modules or name in calls
            ]
    assert seen > 10_000
    assert bad == []
