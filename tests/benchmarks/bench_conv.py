"""One training step of `SharedConvClassifier` beside the same network in PyTorch.

Rules, fixed before anything is timed:

1. The network is a convolution of 5 x 5 (signals: 5), one of 3 x 3 (3), each with a
   bias, pooling by 2 and ReLU, and a dense output of ten classes, without decay. At
   the parameters that sktie starts from, both sides have to find the same loss of all
   rows and, for every array of parameters, a gradient of the same norm, within 1e-3
   relatively; else the case fails. (Adam then goes different ways in the output, where
   sktie has nine numbers for ten classes.)
2. A step of sktie is one of its own training loop, on the objective that `fit` hands to
   it: it draws the rows, puts their pixels on their scale, takes value and gradient,
   and updates. PyTorch draws the rows from tensors that are on their scale already.
3. PyTorch pools before ReLU, as sktie does, which is less work. It runs in the default
   layout and with channels last (signals: as Conv1d, and as flat Conv2d images with
   channels last), each with Adam as it comes and fused, on two threads; the fastest is
   then tried on one thread, and with `torch.compile`. All race; the fastest is the
   peer. What failed says why.
4. Two threads for sktie; BLAS has one in its passes, as in `fit`. Before a turn is
   timed it takes one step, so that no thread of the other side still spins. On a busy
   machine PyTorch's threads wait for one another: a timing next to other work says
   nothing, and `--null` tells.
5. Turns are epochs of 1024 rows, as many as fill 0.1 s; A, B, A, B, ...; the ratio is
   the median over 15 pairs.
6. Predictions start from a NumPy array and end in labels. PyTorch does so in inference
   mode, in batches of 128 or all rows at once, in either layout.
7. The peak memory is that of a process which imports, makes 8192 rows, trains an epoch
   of 256, then one of all, and predicts. It is read as a whole, and beyond the level
   before the second epoch; PyTorch's copy of the rows in its layout counts, and so does
   what `fit` makes of them. The kernel's own count (VmHWM) is read: `getrusage`
   starts a process at the peak of the one that started it. Linux alone has it.

`share of sgemm` in the facts: the multiplications and additions of matrix products
that a step needs, by its time, over the rate of a product of two 1024 x 1024 matrices
on two threads, measured beside it.

skorch runs as it comes, with the same network, Adam, batches and rows. Where PyTorch or
skorch is absent, sktie is measured alone.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
from _harness import Case, main
from _results import goal, ratios, row, spread
from threadpoolctl import threadpool_limits

QUESTION = (
    "Microseconds per image of a training step and of a prediction, and peak memory; "
    "the peer is the fastest form of the same network in PyTorch, or skorch."
)
INPUTS = {
    "8x8": (8, 8, 1),
    "28x28": (28, 28, 1),
    "32x32x3": (32, 32, 3),
    "signal 1000": (1, 1000, 1),
}
SIZES = ((8, 16), (16, 32), (32, 64))
KERNELS = (5, 3)
BATCHES = (32, 128)
THREADS = 2
N_ROWS, N_CLASSES = 1024, 10
RATE = 1e-3
#: Seconds of a turn, and pairs of turns.
TURN, PAIRS = 0.1, 15
MEMORY_ROWS = 8192
UNIT = "us/image"
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Net:
    """A network: the shape of its images, its filters, and the rows of a batch."""

    shape: tuple[int, int, int]
    filters: tuple[int, int]
    batch: int = 128

    @property
    def flat(self):
        """Whether its images are signals."""
        return self.shape[0] == 1

    @cached_property
    def multiplications(self):
        """Of one image: forward, in the gradient of the weights, and of the inputs."""
        height, width, channels = self.shape
        total = 0
        for k, (n_filters, size) in enumerate(zip(self.filters, KERNELS, strict=True)):
            taps = channels * size * (1 if self.flat else size)
            total += (2 if k == 0 else 3) * height * width * taps * n_filters
            height, width = max(height // 2, 1), width // 2
            channels = n_filters
        return total + 3 * height * width * channels * N_CLASSES

    def rows(self, n, seed=0):
        """Random images, as rows, and labels."""
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((n * self.shape[0] * self.shape[1], self.shape[2]))
        # sktie pads with what a pixel of 0 is on its scale: where the mean is 0, 0.
        X = (X - X.mean(axis=0)).astype(np.float32)
        return X.reshape(n, -1), rng.integers(N_CLASSES, size=n)

    def model(self, **parameters):
        """The network as an unfitted classifier."""
        from sktie import SharedConvClassifier

        height, width, channels = self.shape
        shape = (width, channels) if self.flat else (height, width, channels)
        return SharedConvClassifier(
            self.filters,
            kernel_size=KERNELS,
            image_shape=shape,
            signals=self.flat,
            alpha=0,
            dropout=0,
            batch_size=self.batch,
            learning_rate="constant",
            learning_rate_init=RATE,
            n_iter_no_change=10**6,
            random_state=0,
            n_jobs=THREADS,
            **parameters,
        )


# sktie -------------------------------------------------------------------------------


class HandedOverError(Exception):
    """Carries what `fit` hands to its optimiser."""


def training_problem(model, X, y):
    """The objective and the start that `fit` makes of rows."""
    from sktie.nn import OPTIMIZERS

    def take(objective, theta, **_):
        raise HandedOverError(objective, theta)

    kept = OPTIMIZERS[model.solver]
    OPTIMIZERS[model.solver] = take
    try:
        model.fit(X, y)
    except HandedOverError as handed:
        return handed.args
    finally:
        OPTIMIZERS[model.solver] = kept
    raise AssertionError("fit did not come to its optimiser")


class Own:
    """sktie's training; `epochs(k)` trains for k epochs."""

    name = "sktie"

    def __init__(self, net, problem, theta, crew):
        from sktie.nn._adam import Adam

        self.problem = replace(problem, workers=crew)
        self.theta, self.n_rows, self.batch = theta.copy(), len(problem.y), net.batch
        self.adam = Adam([self.theta], RATE)

    def at_start(self):
        """The loss of all rows, and the norms of its gradients."""
        value, gradient = self.problem(self.theta, None)
        return [value, *map(np.linalg.norm, self.problem.split(gradient))]

    def epochs(self, n, n_rows=None):
        """Train for n epochs of the first rows."""
        from sktie.nn import OPTIMIZERS

        self.theta = OPTIMIZERS["adam"](
            self.problem,
            self.theta,
            tol=0.0,
            max_iter=n,
            after_step=lambda *_: False,
            n_rows=n_rows or self.n_rows,
            batch_size=self.batch,
            learning_rate=RATE,
            patience=np.inf,
            rng=np.random.RandomState(0),
            shuffle=n_rows is None,
            optimizer=self.adam,
        ).theta


# PyTorch -----------------------------------------------------------------------------


def installed(name):
    """The version of a package, None where it is absent."""
    try:
        return importlib.import_module(name).__version__
    except ImportError:
        return None


def torch_net(net, as_images):
    """The same network in PyTorch, on images (n, channels, height, width) or signals.

    With ``as_images=False`` signals are (n, channels, length).
    """
    from torch import nn

    height, width, channels = net.shape
    two = as_images or not net.flat
    convolution, pool = (nn.Conv2d, nn.MaxPool2d) if two else (nn.Conv1d, nn.MaxPool1d)
    layers = []
    for n_filters, size in zip(net.filters, KERNELS, strict=True):
        kernel, window = ((1, size), (1, 2)) if two and net.flat else (size, 2)
        layers.append(convolution(channels, n_filters, kernel, padding="same"))
        layers += [pool(window), nn.ReLU()]
        channels, height, width = n_filters, max(height // 2, 1), width // 2
    layers += [nn.Flatten(), nn.Linear(channels * height * width, N_CLASSES)]
    return nn.Sequential(*layers)


def copy_parameters(module, net, parameters):
    """Give the module sktie's parameters, as its layers have them."""
    import torch

    height, width, channels = net.shape
    wanted = []
    sizes = zip(net.filters, KERNELS, parameters[0:4:2], parameters[1:4:2], strict=True)
    for n_filters, size, kernels, bias in sizes:
        taps = (1 if net.flat else size, size, channels)
        wanted.append(kernels.reshape(n_filters, *taps).transpose(0, 3, 1, 2))
        wanted.append(bias.ravel())
        channels, height, width = n_filters, max(height // 2, 1), width // 2
    # sktie flattens by row, column, channel; PyTorch by channel, row, column.
    weights = parameters[4].reshape(-1, height, width, channels)
    weights = weights.transpose(0, 3, 1, 2).reshape(len(weights), -1)
    wanted += [weights, parameters[5].ravel()]
    with torch.no_grad():
        for own, value in zip(module.parameters(), wanted, strict=True):
            value = np.ascontiguousarray(value)
            own.copy_(torch.from_numpy(value).reshape(own.shape))


@dataclass(frozen=True)
class Form:
    """A way to run PyTorch; the batch is that of predictions, 0 all rows at once."""

    channels_last: bool
    fused: bool
    compiled: bool = False
    threads: int = THREADS
    batch: int | None = None

    @property
    def name(self):
        """Its name in a row."""
        layout = "channels last" if self.channels_last else "default layout"
        words = ["compiled"] * self.compiled + [layout] + ["fused Adam"] * self.fused
        words += [f"{self.threads} thread"] * (self.threads == 1)
        if self.batch is not None:
            words += [f"batches of {self.batch}" if self.batch else "all rows at once"]
        return "PyTorch " + ", ".join(words)


FORMS = [Form(last, fused) for last in (True, False) for fused in (False, True)]


PREDICTING = [
    Form(last, False, batch=batch) for last in (True, False) for batch in (128, 0)
]


def as_tensor(net, X, form):
    """Rows as the form takes them."""
    import torch

    height, width, channels = net.shape
    X = torch.from_numpy(X).reshape(len(X), height, width, channels)
    X = X.permute(0, 3, 1, 2)
    if form.channels_last:
        return X.contiguous(memory_format=torch.channels_last)
    X = X.contiguous()
    return X[:, :, 0] if net.flat else X


def further(forms, outcomes, quick):
    """The fastest form on one thread, and then the fastest one, compiled."""

    def fastest():
        ran = {f: outcomes.get(f.name) for f in forms}
        ran = {f: time for f, time in ran.items() if isinstance(time, float)}
        return min(ran, key=ran.get, default=None)

    if fastest() is not None and not quick:
        forms = [*forms, replace(fastest(), threads=1)]
        yield forms[-1]
        yield replace(fastest(), compiled=True)


class Torch:
    """PyTorch's training; the same interface as `Own`."""

    def __init__(self, net, form, X, y, parameters=None):
        import torch

        torch.set_num_threads(form.threads)
        self.torch, self.form, self.name = torch, form, form.name
        module = torch_net(net, form.channels_last)
        if parameters is not None:
            copy_parameters(module, net, parameters)
        if form.channels_last:
            module = module.to(memory_format=torch.channels_last)
        self.module = torch.compile(module) if form.compiled else module
        fused = {"fused": True} if form.fused else {}
        self.adam = torch.optim.Adam(module.parameters(), lr=RATE, **fused)
        self.X, self.y = as_tensor(net, X, form), torch.from_numpy(y)
        self.batch = net.batch

    def at_start(self):
        """The loss of all rows, and the norms of its gradients."""
        loss = self.torch.nn.functional.cross_entropy(self.module(self.X), self.y)
        loss.backward()
        gradients = [part.grad.numpy() for part in self.module.parameters()]
        return [loss.item(), *map(np.linalg.norm, gradients)]

    def epochs(self, n, n_rows=None):
        """Train for n epochs of the first rows."""
        torch, size = self.torch, n_rows or len(self.y)
        torch.set_num_threads(self.form.threads)
        loss_of = torch.nn.functional.cross_entropy
        for _ in range(n):
            order = torch.arange(size) if n_rows else torch.randperm(size)
            total = 0.0  # as a user would follow it
            for rows in order.split(self.batch):
                # The gathered batch keeps the layout.
                loss = loss_of(self.module(self.X[rows]), self.y[rows])
                self.adam.zero_grad()
                loss.backward()
                self.adam.step()
                total += loss.item() * len(rows)


class Skorch:
    """skorch's training, with nothing set but what makes it the same."""

    def __init__(self, net, X, y, parameters):
        import torch
        from skorch import NeuralNetClassifier

        module = torch_net(net, False)
        copy_parameters(module, net, parameters)
        self.name = "skorch"
        self.X, self.y = np.asarray(as_tensor(net, X, Form(False, False))), y
        self.model = NeuralNetClassifier(
            module,
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=RATE,
            batch_size=net.batch,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
        ).initialize()

    def epochs(self, n, n_rows=None):
        """Train for n epochs of the first rows."""
        self.model.partial_fit(self.X[:n_rows], self.y[:n_rows], epochs=n)


# Timing ------------------------------------------------------------------------------


def timed_turns(sides, calls, warm, n_turns):
    """Seconds (n_sides, n_turns) of the calls of the sides, in turns."""
    seconds = np.empty((len(sides), n_turns))
    for turn in range(n_turns):
        for i, side in enumerate(sides):
            gc.collect()
            warm(side)
            start = time.perf_counter()
            calls(side)
            seconds[i, turn] = time.perf_counter() - start
    return seconds


def race(sides, calls, warm, outcomes, scale):
    """The fastest side; `outcomes` gets the microseconds per image of all."""
    found = {}
    for side in sides:
        try:
            warm(side)
            seconds = timed_turns([side], calls, warm, 3)
        except Exception as error:
            # A form that this machine cannot run is out, whatever the reason.
            text = str(error).splitlines() or [""]
            outcomes[side.name] = f"{type(error).__name__}: {text[0][:80]}"
            continue
        found[side.name] = side, float(np.median(seconds))
        outcomes[side.name] = scale * found[side.name][1]
    return min(found.values(), key=lambda pair: pair[1])[0] if found else None


def sgemm_rate(n=1024):
    """Multiplications and additions per second of a product on two threads."""
    A, B = np.ones((2, n, n), np.float32)
    out = np.empty_like(A)
    with threadpool_limits(THREADS, "blas"):
        np.matmul(A, B, out=out)
        seconds = []
        for _ in range(9):
            start = time.perf_counter()
            np.matmul(A, B, out=out)
            seconds.append(time.perf_counter() - start)
    return 2 * n**3 / np.median(seconds)


def measured(case, facts, own, peers, calls, warm, scale, null, pairs):
    """The row of a side against the fastest of its peers."""
    outcomes = {}
    peer = race(peers(outcomes), calls, warm, outcomes, scale)
    if peer is None:
        seconds = scale * timed_turns([own], calls, warm, pairs)
        reason = "; ".join(f"{k}: {v}" for k, v in outcomes.items()) or "no PyTorch"
        side = spread(seconds[0])
        return row(case, facts, "no peer", reason, UNIT, sktie=side, repeats=pairs)
    outcomes.pop(peer.name)
    sides = [peer if null else own, peer]
    seconds = scale * timed_turns(sides, calls, warm, pairs)
    return row(
        case,
        facts,
        unit=UNIT,
        sktie=spread(seconds[0]),
        peer={"name": peer.name, **spread(seconds[1])},
        ratio=spread(seconds[1] / seconds[0]),
        repeats=pairs,
        other_peers=outcomes,
    )


def step(case, facts, net, quick, null):
    """Time steps of training against PyTorch, or against skorch."""
    from sktie._parallel import workers
    from sktie.neural_network._image_loss import N_LANES

    X, y = net.rows(256 if quick else N_ROWS)
    problem, theta = training_problem(net.model(), X, y)
    # The rows in the order, and on the scale, of the objective.
    images, y = problem.images, problem.y.astype(np.int64)
    X = images.raw(slice(None)).reshape(-1, net.shape[2])
    X = (X - images.scale.offset).astype("f4")
    X = (X / images.scale.scale.astype("f4")).reshape(len(y), -1)
    parameters = problem.parameters(theta)
    parameters[-2:] = map(problem.loss.expand, parameters[-2:])
    versions = {name: installed(name) for name in ("torch", "skorch")}
    facts = {**facts, **versions}
    with workers(THREADS, N_LANES) as crew:
        own = Own(net, problem, theta, crew)
        reference = own.at_start()
        start = time.perf_counter()
        own.epochs(1)
        n_epochs = max(round(TURN / (time.perf_counter() - start)), 1)

        def calls(side):
            side.epochs(1 if quick else n_epochs)

        def checked(side):
            found = side.at_start()
            assert np.allclose(found, reference, rtol=1e-3), (
                f"{side.name}: loss and gradients {found}, not {reference}"
            )
            return side

        def peers(outcomes):
            if not versions["torch"]:
                return
            if facts["kind"] == "skorch":
                if versions["skorch"]:
                    yield Skorch(net, X, y, parameters)
                return
            for form in FORMS:
                yield checked(Torch(net, form, X, y, parameters))
            for form in further(FORMS, outcomes, quick):
                yield Torch(net, form, X, y, parameters)

        scale = 1e6 / (len(y) * (1 if quick else n_epochs))
        found = measured(
            case,
            facts,
            own,
            peers,
            calls,
            lambda side: side.epochs(1, net.batch),
            scale,
            null,
            2 if quick else PAIRS,
        )
    rate = sgemm_rate(128 if quick else 1024)
    done = 2 * net.multiplications / (found["sktie"]["median"] * 1e-6)
    found["facts"]["sgemm GFLOP/s"] = round(rate / 1e9, 1)
    found["facts"]["share of sgemm"] = round(done / rate, 3)
    return found


@dataclass(frozen=True)
class Predictor:
    """Something that predicts labels of rows."""

    name: str
    predict: object


def torch_predictor(net, module, form):
    """PyTorch's predictions of rows, in one form."""
    import torch

    module = module(form.channels_last).eval()
    if form.channels_last:
        module = module.to(memory_format=torch.channels_last)
    run = torch.compile(module) if form.compiled else module

    def predict(X):
        torch.set_num_threads(form.threads)
        with torch.inference_mode():
            X = as_tensor(net, X, form)
            parts = [run(part).argmax(1) for part in X.split(form.batch or len(X))]
            return torch.cat(parts).numpy()

    return Predictor(form.name, predict)


def prediction(case, facts, net, quick, null):
    """Time predictions of labels."""
    X, y = net.rows(256 if quick else N_ROWS)
    model = net.model(max_iter=1)
    # A scale of 1, so that both sides get the same numbers.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    model.offset_[:], model.scale_[:] = 0, 1
    own = Predictor("sktie", model.predict)
    versions = {"torch": installed("torch")}
    labels = model.predict(X)

    def peers(outcomes):
        if not versions["torch"]:
            return
        problem, _ = training_problem(net.model(), X, y)
        parameters = parameters_of(problem, model)

        def module(as_images):
            made = torch_net(net, as_images)
            copy_parameters(made, net, parameters)
            return made

        for form in PREDICTING:
            side = torch_predictor(net, module, form)
            agreement = np.mean(side.predict(X) == labels)
            assert agreement > 0.99, f"{side.name}: {agreement} of labels agree"
            yield side
        for form in further(PREDICTING, outcomes, quick):
            yield torch_predictor(net, module, form)

    def repeated(side):
        for _ in range(n_calls):
            side.predict(X)

    start = time.perf_counter()
    own.predict(X)
    n_calls = 1 if quick else max(round(TURN / (time.perf_counter() - start)), 1)
    return measured(
        case,
        {**facts, **versions},
        own,
        peers,
        repeated,
        lambda side: side.predict(X[:128]),
        1e6 / (len(X) * n_calls),
        null,
        2 if quick else PAIRS,
    )


def parameters_of(problem, model):
    """A fitted model's parameters as its layers have them."""
    from sktie.neural_network._architecture import parameters_from

    return parameters_from(problem.network, model.coefs_, model.intercepts_)


# Memory ------------------------------------------------------------------------------


def memory(case, facts, net, n_rows, null):
    """Peak memory of processes that train an epoch, one side after the other."""
    if not installed("torch"):
        return row(case, facts, "left out", "no PyTorch", "B")
    if not CLEAR_REFS.exists():
        return row(case, facts, "left out", "needs Linux", "B")
    sides = ("sktie", "channels last", "default layout")
    answers = {
        side: [found[facts["kind"]] for found in children(net, side, n_rows)]
        for side in sides[null:]
    }
    if null:
        answers = {"the same": answers[sides[1]], **answers}
    own = answers.pop(next(iter(answers)))
    best = min(answers, key=lambda name: np.median(answers[name]))
    peer = answers.pop(best)
    return row(
        case,
        {**facts, "torch": installed("torch")},
        unit="B",
        sktie=spread(own),
        peer={"name": f"PyTorch {best}", **spread(peer)},
        ratio=spread(np.divide(peer, own)),
        repeats=3,
        other_peers={name: float(np.median(v)) for name, v in answers.items()},
    )


@cache
def children(net, side, n_rows):
    """The answers of three processes."""
    task = {"shape": net.shape, "filters": net.filters, "batch": net.batch}
    task |= {"side": side, "n_rows": n_rows}
    command = [sys.executable, __file__, "--child", json.dumps(task)]
    # Freed blocks go back to the system at once, so that none is reused unseen.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    answers = []
    for _ in range(3):
        answer = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE)
        answers.append(json.loads(answer.stdout))
    return answers


def child(task):
    """Bytes at the peak of a process, and beyond the level before training."""
    net = Net(tuple(task["shape"]), tuple(task["filters"]), task["batch"])
    X, y = net.rows(task["n_rows"])
    few = slice(0, 256)
    if task["side"] == "sktie":
        model = net.model(max_iter=1).fit(X[few], y[few])

        def train():
            model.fit(X, y).predict(X)
    else:
        first = Form(task["side"] == "channels last", False)
        Torch(net, first, X[few], y[few]).epochs(1)

        def train():
            side = Torch(net, first, X, y)
            side.epochs(1)
            # Where all that is kept for the way back is dropped, batch by batch.
            form = replace(first, batch=128)
            torch_predictor(net, lambda _: side.module, form).predict(X)

    gc.collect()
    earlier = _kilobytes("VmHWM")
    CLEAR_REFS.write_text("5")  # resets the peak
    before = _kilobytes("VmRSS")
    train()
    peak = _kilobytes("VmHWM")
    return {
        "memory": 1024 * max(earlier, peak),
        "memory beyond": 1024 * (peak - before),
    }


def _kilobytes(field):
    for line in STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"no {field} in {STATUS}")


# The table ---------------------------------------------------------------------------


def cases(quick):
    """Steps against PyTorch and skorch, predictions, memory."""
    inputs = {"8x8": INPUTS["8x8"]} if quick else INPUTS
    found = []

    def add(kind, name, net, run, *more):
        label = f"{kind}, {name}, {net.filters}"
        if kind in ("step", "skorch"):
            label += f", batch {net.batch}"
        facts = {"kind": kind, "input": name, "filters": str(net.filters)}
        facts |= {"batch": net.batch}
        found.append(Case(label, facts, partial(run, label, facts, net, *more)))

    for kind in ("step", "skorch"):
        for name, shape in inputs.items():
            for filters in SIZES[:1] if quick else SIZES:
                for batch in BATCHES[:1] if quick else BATCHES:
                    add(kind, name, Net(shape, filters, batch), step, quick)
    for name, shape in inputs.items():
        for filters in SIZES[:1] if quick else SIZES:
            add("predict", name, Net(shape, filters), prediction, quick)
    if not quick:
        for kind in ("memory", "memory beyond"):
            for name, shape in inputs.items():
                add(kind, name, Net(shape, SIZES[1]), memory, MEMORY_ROWS)
    return found


def summarise(rows):
    """The goals, and what is accepted, of the issue."""
    steps = ratios(rows, kind="step")
    shares = [
        r["facts"]["share of sgemm"] for r in rows if r["facts"]["kind"] == "step"
    ]
    remembered = ratios(rows, kind="memory") + ratios(rows, kind="memory beyond")
    lines = [
        ("step, worst ratio to PyTorch: goal 1.0", steps, 1.0, min),
        ("step, worst ratio to PyTorch: accepted 0.9", steps, 0.9, min),
        ("step, median ratio to PyTorch: goal 1.3", steps, 1.3, np.median),
        ("step, median ratio to PyTorch: accepted 1.0", steps, 1.0, np.median),
        ("step, worst ratio to skorch: 2", ratios(rows, kind="skorch"), 2.0, min),
        ("predict, worst ratio: 1.5", ratios(rows, kind="predict"), 1.5, min),
        ("memory, worst ratio: 1", remembered, 1.0, min),
    ]
    found = [
        goal(text, values, lambda value, least=least: value >= least, reduce)
        for text, values, least, reduce in lines
    ]
    # No goal: the number is reported.
    return [*found, goal("step, median share of sgemm", shares, lambda value: True)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
        warnings.simplefilter("ignore")
        print(json.dumps(child(json.loads(sys.argv[2]))))
    else:
        sys.exit(main("conv", QUESTION, cases, summarise))
