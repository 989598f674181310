"""sktie.nn: activations against finite differences, optimisers against formulas."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax

from sktie.nn import (
    ACTIVATIONS,
    OPTIMIZERS,
    EarlyStopping,
    Plateau,
    glorot_uniform,
    progress,
)

#: What each name stands for, by other means than the package's.
FORMULAS = {
    "identity": lambda z: z,
    "relu": lambda z: np.where(z > 0, z, 0),
    "tanh": np.tanh,
    "logistic": expit,
    "softmax": lambda z: softmax(z, axis=1),
}
names = pytest.mark.parametrize("name", FORMULAS)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def raw_inputs(seed=0, shape=(7, 4)):
    """Numbers of both signs, none so close to 0 that a difference steps over it."""
    rng = np.random.default_rng(seed)
    return rng.choice([-1, 1], shape) * rng.uniform(0.1, 3.0, shape)


def five_point(f, x, h=1e-3):
    """The gradient of f at x, with an error in the order of h^4."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = h
        near = f(x + step) - f(x - step)
        far = f(x + 2 * step) - f(x - 2 * step)
        gradient[place] = (8 * near - far) / (12 * h)
    return gradient


# ---- activations ---------------------------------------------------------------------


def test_every_activation_is_tested():
    assert set(ACTIVATIONS) == set(FORMULAS)


@names
@dtypes
def test_an_activation_is_its_formula(name, dtype):
    raw = raw_inputs().astype(dtype)
    expected = FORMULAS[name](raw.astype(np.float64))
    out, _ = ACTIVATIONS[name](raw.copy())
    assert out.dtype == dtype
    assert_allclose(out, expected, rtol=20 * np.finfo(dtype).eps)


@names
def test_backprop_is_the_derivative(name):
    raw = raw_inputs()
    outward = np.random.default_rng(1).normal(size=raw.shape)
    _, backprop = ACTIVATIONS[name](raw.copy())
    expected = five_point(lambda z: np.sum(outward * FORMULAS[name](z)), raw)
    assert_allclose(backprop(outward.copy()), expected, atol=1e-9)


@names
@dtypes
def test_backprop_keeps_the_dtype(name, dtype):
    _, backprop = ACTIVATIONS[name](raw_inputs().astype(dtype))
    assert backprop(np.ones((7, 4), dtype)).dtype == dtype


@names
def test_backprop_may_be_asked_twice(name):
    raw, outward = raw_inputs(), raw_inputs(1)
    _, backprop = ACTIVATIONS[name](raw)
    first = backprop(outward.copy()).copy()
    assert_array_equal(backprop(outward.copy()), first)


@names
@dtypes
def test_large_inputs_make_no_nan(name, dtype):
    raw = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], dtype)
    expected = FORMULAS[name](raw.astype(np.float64))
    out, backprop = ACTIVATIONS[name](raw.copy())
    assert_allclose(out, expected, rtol=1e-6)
    assert np.isfinite(backprop(np.ones_like(raw))).all()


def test_relu_has_derivative_zero_at_zero():
    _, backprop = ACTIVATIONS["relu"](np.array([[0.0, -0.0, 1.0]]))
    assert_array_equal(backprop(np.ones((1, 3))), [[0, 0, 1]])


# ---- an objective whose minimum is known ---------------------------------------------


class LeastSquares:
    """mean_i (a_i'theta - b_i)^2 / 2 over the rows asked for; remembers them."""

    def __init__(self, n=50, p=3, noise=0.0, seed=0):
        rng = np.random.default_rng(seed)
        self.A, self.truth = rng.normal(size=(n, p)), rng.normal(size=p)
        self.b = self.A @ self.truth + noise * rng.normal(size=n)
        self.asked = []

    def __call__(self, theta, rows):
        self.asked.append(rows)
        A, b = (self.A, self.b) if rows is None else (self.A[rows], self.b[rows])
        error = A @ theta - b
        return 0.5 * float(np.mean(error**2)), A.T @ error / len(b)


def keep_going(n_iter, loss, theta):
    return False


class Diary:
    """Notes what it is called with; ends training at iteration `stop`."""

    def __init__(self, stop=None):
        self.stop, self.entries = stop, []

    def __call__(self, n_iter, loss, theta):
        self.entries.append((n_iter, loss, theta.copy()))
        return n_iter == self.stop


def train(solver, objective, after_step=keep_going, **settings):
    p = objective.A.shape[1]
    settings = {
        "tol": 1e-9,
        "max_iter": 500,
        "n_rows": len(objective.A),
        "batch_size": 20,
        "learning_rate": 0.05,
        "patience": 10,
        "rng": np.random.RandomState(0),
    } | settings
    return OPTIMIZERS[solver](objective, np.zeros(p), after_step=after_step, **settings)


solvers = pytest.mark.parametrize("solver", OPTIMIZERS)


@solvers
def test_training_finds_a_known_minimum(solver):
    objective = LeastSquares()
    trained = train(solver, objective)
    assert trained.converged
    assert_allclose(trained.theta, objective.truth, atol=1e-3)


@solvers
def test_the_start_is_not_changed(solver):
    start = np.zeros(3)
    OPTIMIZERS[solver](
        LeastSquares(),
        start,
        tol=1e-9,
        max_iter=3,
        after_step=keep_going,
        n_rows=50,
        batch_size=20,
        learning_rate=0.1,
        patience=10,
        rng=np.random.RandomState(0),
    )
    assert_array_equal(start, 0)


@solvers
def test_max_iter_ends_training_unconverged(solver):
    trained = train(solver, LeastSquares(p=6), max_iter=2)
    assert not trained.converged
    assert len(trained.loss_curve) == 2


@solvers
def test_after_step_sees_every_iteration_and_its_loss(solver):
    diary = Diary()
    trained = train(solver, LeastSquares(noise=0.3), diary, max_iter=30, tol=1e-6)
    numbers, losses, _ = zip(*diary.entries, strict=True)
    assert list(numbers) == list(range(1, len(trained.loss_curve) + 1))
    assert list(losses) == trained.loss_curve


@solvers
def test_after_step_can_end_training(solver):
    diary = Diary(stop=3)
    trained = train(solver, LeastSquares(p=8), diary)
    assert trained.converged
    assert len(trained.loss_curve) == len(diary.entries) == 3
    assert_array_equal(trained.theta, diary.entries[-1][2])


# ---- L-BFGS --------------------------------------------------------------------------


@pytest.mark.parametrize("tol", [1e-2, 1e-5, 1e-8])
def test_lbfgs_ends_where_no_entry_of_the_gradient_is_above_tol(tol):
    objective = LeastSquares(p=8, noise=1.0)
    trained = train("lbfgs", objective, tol=tol)
    _, gradient = objective(trained.theta, None)
    assert trained.converged
    assert np.abs(gradient).max() <= tol


def test_lbfgs_stops_no_later_than_tol_asks():
    loose = train("lbfgs", LeastSquares(p=8, noise=1.0), tol=1e-2)
    tight = train("lbfgs", LeastSquares(p=8, noise=1.0), tol=1e-10)
    assert len(loose.loss_curve) < len(tight.loss_curve)


def test_lbfgs_asks_for_all_rows():
    objective = LeastSquares()
    train("lbfgs", objective)
    assert all(rows is None for rows in objective.asked)


def test_the_loss_curve_of_lbfgs_is_the_objective_at_the_iterates():
    objective, diary = LeastSquares(p=8, noise=1.0), Diary()
    curve = train("lbfgs", objective, diary).loss_curve
    at_iterates = [objective(theta, None)[0] for _, _, theta in diary.entries]
    assert_allclose(curve, at_iterates, rtol=1e-14)
    assert (np.diff(curve) <= 0).all()


# ---- Adam ----------------------------------------------------------------------------


def test_an_epoch_of_adam_sees_every_row_once():
    objective = LeastSquares(n=50)
    train("adam", objective, max_iter=3, batch_size=20)
    assert [len(rows) for rows in objective.asked] == [20, 20, 10] * 3
    epochs = [np.concatenate(objective.asked[i : i + 3]) for i in (0, 3, 6)]
    for epoch in epochs:
        assert_array_equal(np.sort(epoch), np.arange(50))
    for one, other in itertools.combinations(epochs, 2):
        assert (one != other).any(), "each epoch has an order of its own"


def adam_by_the_paper(objective, batches, learning_rate, p):
    """Kingma and Ba's algorithm 1, over the given batches; the loss of each batch."""
    theta, first, second, losses = np.zeros(p), np.zeros(p), np.zeros(p), []
    for t, rows in enumerate(batches, start=1):
        loss, gradient = objective(theta, rows)
        losses.append(loss)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - 0.9**t), second / (1 - 0.999**t)
        theta = theta - learning_rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    return theta, losses


def test_adam_is_the_algorithm_of_the_paper():
    objective = LeastSquares(n=45, noise=0.3)
    trained = train("adam", objective, max_iter=4, batch_size=20)
    theta, losses = adam_by_the_paper(objective, objective.asked[:], 0.05, 3)
    assert_allclose(trained.theta, theta, rtol=1e-5)
    # Means over the rows: the last batch of an epoch has 5, the others 20.
    by_epoch = np.reshape(losses, (4, 3)) @ np.array([20, 20, 5]) / 45
    assert_allclose(trained.loss_curve, by_epoch, rtol=1e-5)


def test_adam_repeats_itself_by_its_generator():
    one, same, other = (
        train("adam", LeastSquares(), max_iter=5, rng=np.random.RandomState(seed)).theta
        for seed in (0, 0, 1)
    )
    assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0


def test_adam_waits_for_patience_epochs_without_a_fall_of_tol():
    # No fall at all is enough for this tol: the first epoch sets the mark.
    trained = train("adam", LeastSquares(), tol=1e9, patience=4)
    assert trained.converged
    assert len(trained.loss_curve) == 5


# ---- when to stop --------------------------------------------------------------------


def test_a_plateau_is_patience_values_without_a_fall_by_tol():
    plateau = Plateau(tol=0.1, patience=3)
    values = [5.0, 4.0, 3.95, 3.92, 3.5, 3.45, 3.49, 3.6]
    assert [plateau(value) for value in values] == [False] * 7 + [True]


def test_a_plateau_falls_from_its_best_value_not_its_last():
    plateau = Plateau(tol=0.0, patience=2)
    assert [plateau(value) for value in [1.0, 3.0, 2.0]] == [False, False, True]


def test_a_plateau_that_falls_by_less_than_tol_each_time_is_one():
    plateau = Plateau(tol=0.1, patience=3)
    assert [plateau(1.0 - 0.01 * i) for i in range(4)] == [False, False, False, True]


def test_a_plateau_of_infinite_patience_never_comes():
    plateau = Plateau(tol=0.0, patience=np.inf)
    assert not any(plateau(1.0) for _ in range(100))


def test_early_stopping_keeps_the_best_parameters():
    stopping = EarlyStopping(lambda theta: float(theta[0]), tol=0.0, patience=3)
    theta, answers = np.zeros(1), []
    for score in [0.1, 0.5, 0.9, 0.2, 0.9, 0.3]:
        theta[:] = score + 0.0
        answers.append(stopping(theta))
    assert answers == [False] * 5 + [True]
    assert stopping.scores == [0.1, 0.5, 0.9, 0.2, 0.9, 0.3]
    assert_array_equal(stopping.theta, [0.9])


def test_early_stopping_keeps_the_first_of_equal_scores():
    stopping = EarlyStopping(lambda theta: 1.0, tol=0.0, patience=5)
    for value in (1.0, 2.0, 3.0):
        stopping(np.array([value]))
    assert_array_equal(stopping.theta, [1.0])


def test_early_stopping_keeps_a_rise_below_tol_but_stops():
    stopping = EarlyStopping(lambda theta: float(theta[0]), tol=0.5, patience=2)
    assert [stopping(np.array([s])) for s in (1.0, 1.1, 1.2)] == [False, False, True]
    assert_array_equal(stopping.theta, [1.2])


@solvers
def test_early_stopping_ends_training(solver):
    falling = iter([0.5, 0.6, 0.4, 0.3, 0.2, 0.1])
    stopping = EarlyStopping(lambda theta: next(falling), tol=0.0, patience=2)
    trained = train(solver, LeastSquares(p=8), progress(0, None, stopping))
    assert trained.converged
    assert stopping.scores == [0.5, 0.6, 0.4, 0.3]
    assert len(trained.loss_curve) == 4


# ---- the rest ------------------------------------------------------------------------


def test_progress_prints_the_loss_if_asked(capsys):
    assert not progress(0, None)(1, 0.5, np.zeros(1))
    assert capsys.readouterr().out == ""
    assert not progress(1, None)(12, 0.625, np.zeros(1))
    (line,) = capsys.readouterr().out.splitlines()
    assert "12" in line
    assert "0.625" in line


def test_progress_tells_the_callback_each_iteration():
    seen = []
    after_step = progress(0, lambda n_iter, value, gap: seen.append((n_iter, value)))
    for n_iter in (1, 2):
        after_step(n_iter, 1.0 / n_iter, np.zeros(1))
    assert seen == [(1, 1.0), (2, 0.5)]


def test_glorot_weights_fill_their_interval():
    weights = glorot_uniform(np.random.RandomState(0), (300, 100))
    bound = np.sqrt(6 / 400)
    assert weights.shape == (300, 100)
    assert np.abs(weights).max() <= bound
    assert_allclose([weights.min(), weights.max()], [-bound, bound], rtol=1e-3)
    assert_allclose(weights.var(), bound**2 / 3, rtol=0.03)
