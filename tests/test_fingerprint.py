"""Tests of sktie._fingerprint: equal things agree in every process, others do not."""

import functools
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sktie import KMeansPrior, TiedLogisticRegression
from sktie._fingerprint import fingerprint


def adder(number):
    return lambda x: x + number


def with_default(number=1):
    return number


def other_default(number=2):
    return number


other_default.__name__ = other_default.__qualname__ = "with_default"


class Mover:
    def __init__(self, shift):
        self.shift = shift

    def move(self, x):
        return x + self.shift


ring = [1]
ring.append(ring)
X = np.arange(12.0).reshape(3, 4)
#: Things that are all different from one another.
DIFFERENT = [
    None,
    "None",
    0,
    0.0,
    -0.0,
    False,
    "0",
    b"0",
    1,
    float("nan"),
    float("inf"),
    np.float32(1),
    np.float64(1),
    (),
    [],
    {},
    set(),
    (1,),
    ((1,),),
    [1],
    [1, 2],
    [[1], 2],
    [12],
    {1: 2},
    {2: 1},
    {1, 2},
    frozenset((1, 2)),
    ring,
    X,
    X.T,
    X.reshape(4, 3),
    X.astype(np.float32),
    X.astype(">f8"),
    X.view(np.int64),
    X[:0],
    X[:, :0],
    np.array(1.0),
    np.array(["a", "b"]),
    np.array(["a", "b"], dtype=object),
    np.array([("a", 1)], dtype=object),
    sp.csr_array(X),
    sp.csr_array(2 * X),
    len,
    max,
    int,
    float,
    np.mean,
    np.add,
    functools.partial(max, 1),
    functools.partial(max, 2),
    adder(1),
    adder(2),
    lambda x: x,
    lambda x: x + 1,
    lambda x: x - 1,
    lambda x: [x for _ in range(2)],
    lambda x: [-x for _ in range(2)],
    with_default,
    other_default,
    Mover(1),
    Mover(2),
    Mover(1).move,
    Mover(2).move,
    np.random.RandomState(0),
    np.random.RandomState(1),
    KMeansPrior(3),
    KMeansPrior(4),
    FrozenEstimator(KMeansPrior(2, random_state=0).fit(X)),
    FrozenEstimator(KMeansPrior(2, random_state=0).fit(-X)),
    TiedLogisticRegression(graph={("a", "b"): 1.0}),
    TiedLogisticRegression(graph={("a", "b"): 2.0}),
]


def test_different_things_differ():
    words = [fingerprint(thing) for thing in DIFFERENT]
    assert len(set(words)) == len(words)
    assert {len(word) for word in words} == {32}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (set("abcdef"), set("fedcba")),
        (X, np.asfortranarray(X)),
        (X, X.repeat(2, axis=0)[::2]),
        (sp.csr_array(X), sp.csr_array(X.copy())),
        (adder(1), adder(1)),
        (functools.partial(max, 1), functools.partial(max, 1)),
        (Mover(1).move, Mover(1).move),
        (np.random.RandomState(0), np.random.RandomState(0)),
        (KMeansPrior(3), clone(KMeansPrior(3))),
        (iter([1, 2]), iter([1, 2])),
    ],
)
def test_equal_things_agree(one, other):
    assert fingerprint(one) == fingerprint(other)


def test_things_are_not_run_together():
    assert fingerprint("ab", "c") != fingerprint("a", "bc") != fingerprint("abc")
    assert fingerprint([1], [2]) != fingerprint([1, 2])


def test_the_word_is_the_same_in_every_process():
    code = """
    import numpy as np
    from sktie import KMeansPrior
    from sktie._fingerprint import fingerprint
    half = lambda x: x / 2
    things = {"a": {"x", "y", "z"}, "b": KMeansPrior(3), "f": half, "X": np.eye(3)}
    print(fingerprint(things))
    """
    words = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": ":".join(filter(None, sys.path)),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(words) == 1


def test_what_cannot_be_known_again_is_named():
    with pytest.raises(TypeError, match=r"lock.*cannot be told.*checkpoint=None"):
        fingerprint({"lock": threading.Lock()})
