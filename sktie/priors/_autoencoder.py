"""An autoencoder with one hidden layer, whose decoder may be its encoder transposed."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.cluster import kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sktie._compat import (
    WRAPPER_FRAMES,
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_callbacks,
    with_callbacks,
)
from sktie._files import PathLike
from sktie._labels import check_weight
from sktie._rows import canonical_rows, drop_zero_weight
from sktie._typing import Auto, FloatArray, RandomState
from sktie._validation import check_parameters, unchanged_on_error
from sktie.nn import (
    OPTIMIZERS,
    Trained,
    check_checkpoint,
    checkpoint_for,
    glorot_uniform,
    progress,
)
from sktie.priors._encoder import EncoderPrior
from sktie.priors._reconstruction import Reconstruction
from sktie.priors._temperature import (
    FLOOR,
    auto_temperature,
    cooling,
    sample_rows,
)
from sktie.streams._apply import by_blocks, check_at_hand

#: Multiplications of one evaluation of the objective up to which L-BFGS is used.
LBFGS_WORK = 1e9

REMEDIES = {
    "n_components": "Use a positive number of hidden units.",
    "activation": "Use 'softmax', 'relu', 'tanh' or 'identity'.",
    "share": "Use 'decoder' (the decoder is the transposed encoder) or None.",
    "temperature": "Use 'auto', 0 for hard codes, or a variance in squared units of X.",
    "alpha": "Use 0 for no decay, or a positive number.",
}


class AutoencoderPrior(CallbackSupportMixin, EncoderPrior):
    r"""An autoencoder as a transformer and as a model that classifiers can be tied to.

    Minimises the share of the variance of the rows that is lost, and weight decay::

        sum_i s_i |x_i - decode(encode(x_i))|^2 / sum_i s_i |x_i - m|^2
            + alpha / (2n) |W|^2

    with m the weighted mean of the rows, n the sum of their weights ``s_i``, and W the
    weights as they are stored, of encoder and decoder, or of both in one:

    .. math::

        \mathrm{encode}(x) = \sigma(E x + b), \quad
        \mathrm{decode}(h) = D^\top h + d .

    With ``share="decoder"`` the decoder is the transposed encoder, ``D = E``, and
    stored once. With softmax units too, the encoder of `KMeansPrior` takes that role:
    D holds the centres :math:`c_h - m`, ``d = m``, the weights of the encoder are
    :math:`(c_h - m) / t` and its intercepts follow from them, so that the centres are
    all that is learned. With the temperature t at 0 this is k-means.

    Parameters
    ----------
    n_components : int, default=8
        Number k of hidden units.
    activation : {"softmax", "relu", "tanh", "identity"}, default="softmax"
        Activation :math:`\sigma` of the units. For "tanh" scale the features to
        variance 1.
    share : {"decoder"} or None, default="decoder"
        What is shared: the decoder is the transposed encoder, or (None) has weights of
        its own.
    temperature : "auto" or float, default="auto"
        For softmax units: their temperature t, a variance in squared units of X.
        "auto" is where the units of a row are spread over :math:`\sqrt k` of the
        starting centres, as in `KMeansPrior`; a lower one is reached from there by
        annealing, in steps of a factor 4. 0 ends with hard codes, which is k-means.
        Without sharing it is only that of the start, and positive.
    alpha : float, default=0.0
        Weight decay.
    solver : {"auto", "lbfgs", "adam"}, default="auto"
        How to train. "auto" is L-BFGS where one evaluation of the objective,
        ``n_samples * n_features * n_components``, takes less than 1e9
        multiplications, and otherwise Adam on minibatches.
    batch_size : "auto" or int, default="auto"
        Rows of a minibatch; "auto" is 200.
    learning_rate_init : float, default=1e-3
        Step size of Adam, in units of the spread of the features.
    tol : float, default=1e-4
        L-BFGS: largest entry of the gradient at the end, with the features measured in
        units of their spread. Adam: what one epoch of ten must lower the loss by.
    max_iter : int, default=1000
        Most iterations of L-BFGS, or epochs; of each temperature.
    checkpoint : str, os.PathLike or None, default=None
        Folder for the state of a training while it runs, with ``solver="adam"`` and a
        ``random_state``: one that was killed goes on from there when `fit` is called
        again, and ends with the same bits. A file is written after an epoch, at most
        every 10 seconds, and removed when `fit` has ended well.
    verbose : int, default=0
        Print the loss of every iteration if positive.
    random_state : int, RandomState or None, default=None
        Seed of the start and of the minibatches; an integer makes results repeatable.

    Attributes
    ----------
    coef_ : ndarray of shape (n_components, n_features)
        Weights of the encoder, with the dtype of X.
    intercept_ : ndarray of shape (n_components,)
        Intercepts of the encoder.
    decoder_coef_ : ndarray of shape (n_components, n_features)
        Weights of the decoder. With sharing, those of the encoder (softmax units:
        times the temperature), not stored again.
    decoder_intercept_ : ndarray of shape (n_features,)
        Intercepts of the decoder.
    temperature_ : float
        The temperature t in use, at least 1e-6 of the mean squared distance to the
        mean. Only with softmax units.
    loss_ : float
        The objective at the end.
    loss_curve_ : list of float
        The objective after every iteration, or its mean over an epoch.
    n_iter_ : int
        Iterations or epochs.
    n_stored_parameters_ : int
        Distinct numbers that the fitted model consists of.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of these columns, where X had string names.

    Raises
    ------
    ValueError
        For input that cannot be fitted.

    See Also
    --------
    KMeansPrior : Clusters in the same roles.
    sklearn.decomposition.PCA : What identity units with sharing find.

    Notes
    -----
    With identity units, sharing and no decay, the minimum spans the principal subspace
    of the rows [1]_. With softmax units and sharing, training starts from the seeds of
    k-means++, and anneals the temperature as [2]_ does. Annealed to 0 the centres end
    at a fixed point of k-means: each is the mean of the rows that it is nearest to. At
    a low positive temperature they need not. The sum of squares is smaller for a row
    that is held between two centres and reconstructed from both, and L-BFGS finds
    centres that do so for some rows.

    As ``pair`` of a classifier, softmax units are clusters, and `class_targets` works
    as in `KMeansPrior`. Other units make no clusters: there a softmax regression of
    the labelled rows on their (standardised) units labels all rows.

    Rows of weight zero are dropped, equal ones merged, and the rest ordered by value
    before training, up to 16 million numbers in X.

    References
    ----------
    .. [1] P. Baldi, K. Hornik (1989). Neural networks and principal component analysis:
       learning from examples without local minima. Neural Networks 2, 53-58.
    .. [2] K. Rose (1998). Deterministic annealing for clustering, compression,
       classification, regression, and related optimization problems. Proceedings of
       the IEEE 86, 2210-2239.

    Examples
    --------
    Half the numbers for the same reconstruction: linear units, and what they share.

    >>> from sklearn.datasets import load_iris
    >>> from sktie import AutoencoderPrior
    >>> X, _ = load_iris(return_X_y=True)
    >>> for share in ["decoder", None]:
    ...     prior = AutoencoderPrior(
    ...         2, activation="identity", share=share, random_state=0
    ...     ).fit(X)
    ...     print(f"{prior.loss_:.3f} of the variance, {prior.n_stored_parameters_}")
    0.022 of the variance, 14
    0.022 of the variance, 22
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"softmax", "relu", "tanh", "identity"})],
        "share": [StrOptions({"decoder"}), None],
        "temperature": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions({"adam", "auto", "lbfgs"})],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "checkpoint": [None, str, os.PathLike],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 8,
        *,
        activation: Literal["softmax", "relu", "tanh", "identity"] = "softmax",
        share: Literal["decoder"] | None = "decoder",
        temperature: float | Auto = "auto",
        alpha: float = 0.0,
        solver: Literal["auto", "lbfgs", "adam"] = "auto",
        batch_size: int | Auto = "auto",
        learning_rate_init: float = 1e-3,
        tol: float = 1e-4,
        max_iter: int = 1000,
        checkpoint: PathLike | None = None,
        verbose: int = 0,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.activation = activation
        self.share = share
        self.temperature = temperature
        self.alpha = alpha
        self.solver = solver
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.tol = tol
        self.max_iter = max_iter
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    @with_callbacks
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> AutoencoderPrior:
        """Train the autoencoder.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : None, default=None
            Ignored; for pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        AutoencoderPrior
            The fitted prior itself.
        """
        check_parameters(self, REMEDIES)
        check_at_hand(X, type(self).__name__)
        with unchanged_on_error(self):
            X = validate_data(self, X, dtype=[np.float64, np.float32])
            weight = check_weight(sample_weight, X)
            rows, weight, _ = canonical_rows(
                *drop_zero_weight(X, weight),
                at_least=self.n_components if self.activation == "softmax" else 0,
            )
            rng = check_random_state(self.random_state)
            # In float64, as a long sum of float32 loses the mean of far-off rows.
            wide = weight.astype(np.float64)
            mean = np.average(rows, axis=0, weights=wide).astype(X.dtype)
            rows = rows - mean
            problem, theta, temperatures = self._start(rows, weight, rng)
            trained: list[Trained] = []
            with fit_callbacks(
                self, X, y, self.max_iter * len(temperatures)
            ) as callback:
                for temperature in temperatures:
                    problem = replace(problem, temperature=temperature)
                    trained.append(self._train(problem, theta, rng, callback))
                    theta = trained[-1].theta
            self._store(problem, trained, mean)
            self._warn(trained)
        for part in trained:
            part.forget()
        return self

    @by_blocks(lambda self: np.empty((0, len(self.coef_)), self.coef_.dtype))
    def transform(self, X: Any) -> FloatArray:
        """Return the outputs of the hidden units.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Codes, with the dtype of X.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return self._units(X).astype(X.dtype, copy=False)

    def inverse_transform(self, X: Any) -> FloatArray:
        """Return what the decoder makes of codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Points in the space of the rows.
        """
        check_is_fitted(self)
        code = check_array(X, dtype=[np.float64, np.float32])
        if code.shape[1] != len(self.decoder_coef_):
            raise ValueError(
                f"The code has {code.shape[1]} columns; expected "
                f"{len(self.decoder_coef_)}, one for each unit, as transform returns."
            )
        return np.asarray(code @ self.decoder_coef_ + self.decoder_intercept_)

    def reconstruct(self, X: Any) -> FloatArray:
        """Return what is left of rows that were encoded and decoded.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Their reconstructions.
        """
        return self.inverse_transform(self.transform(X))

    @property
    def coef_(self) -> FloatArray:  # type: ignore[override]
        """Weights of the encoder."""
        if self._centred:
            return self._weights / self._weights.dtype.type(self.temperature_)
        return self._weights

    @property
    def decoder_coef_(self) -> FloatArray:
        """Weights of the decoder; with sharing, those of the encoder."""
        return self._weights if self._own_decoder is None else self._own_decoder

    @property
    def _n_features_out(self) -> int:
        return len(self._weights)

    def _start(
        self, rows: FloatArray, weight: FloatArray, rng: np.random.RandomState
    ) -> tuple[Reconstruction, FloatArray, list[float]]:
        """Return the objective, where to start, and the temperatures to go through."""
        k = self.n_components
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        total = float(squares @ weight)
        problem = Reconstruction(
            rows,
            weight,
            # Rows that are all alike: nothing to lose, and 0 / 0 otherwise.
            total if total > 0 else 1.0,
            k,
            self.activation,
            self.share == "decoder",
            1.0,
            float(self.alpha),
        )
        if self.activation == "softmax":
            return self._start_at_centres(problem, total, rng)
        p = rows.shape[1]
        parts = [glorot_uniform(rng, (k, p)), np.zeros(k), np.zeros(p)]
        if not problem.share:
            parts.append(glorot_uniform(rng, (k, p)))
        theta = np.concatenate([part.ravel() for part in parts]) * problem.units()
        return problem, theta, [1.0]

    def _start_at_centres(
        self, problem: Reconstruction, total: float, rng: np.random.RandomState
    ) -> tuple[Reconstruction, FloatArray, list[float]]:
        rows, weight, k = problem.X, problem.weight, problem.n_units
        if len(rows) < k:
            raise ValueError(
                f"n_components={k} softmax units start at as many different rows, but "
                f"X has n_samples={len(rows)} of them with a positive weight. Lower "
                "n_components, or add rows."
            )
        seeds, _ = kmeans_plusplus(rows, k, sample_weight=weight, random_state=rng)
        chosen = sample_rows(len(rows))
        squared = euclidean_distances(rows[chosen], seeds, squared=True)
        scale = total / float(weight.sum())
        start = auto_temperature(squared, weight[chosen], scale)
        final = start if self.temperature == "auto" else float(self.temperature)
        seeds = seeds.astype(np.float64)
        if problem.centred:
            return problem, seeds.ravel(), cooling(start, final)
        if final == 0:
            raise ValueError(
                "temperature=0 (hard codes) with share=None: an encoder of its own "
                "cannot be trained through hard codes. Use share='decoder', or a "
                "positive temperature."
            )
        intercepts = -0.5 * np.square(seeds).sum(axis=1) / final
        parts = [seeds / final, intercepts, np.zeros(rows.shape[1]), seeds]
        return problem, np.concatenate([part.ravel() for part in parts]), [final]

    def _train(
        self,
        problem: Reconstruction,
        theta: FloatArray,
        rng: np.random.RandomState,
        callback: Any,
    ) -> Trained:
        solver, n_rows = self.solver, len(problem.X)
        if solver == "auto":
            work = float(problem.X.size) * problem.n_units
            solver = "lbfgs" if work < LBFGS_WORK else "adam"
        check_checkpoint(self, solver)
        unit = problem.units()

        def scaled(place: FloatArray, rows: Any) -> tuple[float, FloatArray]:
            value, gradient = problem(place * unit, rows)
            return value, gradient * unit

        trained = OPTIMIZERS[solver](
            scaled,
            theta / unit,
            tol=self.tol,
            max_iter=self.max_iter,
            after_step=progress(self.verbose, callback),
            n_rows=n_rows,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate_init,
            patience=10,
            rng=rng,
            checkpoint=checkpoint_for(self, rng, theta, problem.contents()),
        )
        return replace(trained, theta=trained.theta * unit)

    def _store(
        self, problem: Reconstruction, trained: list[Trained], mean: FloatArray
    ) -> None:
        """Set the fitted attributes, for rows that are not measured from their mean."""
        parts = problem.split(trained[-1].theta)
        self._weights = parts[0].copy()
        self._centred = problem.centred
        self._own_decoder = None if problem.share else parts[3].copy()
        self.__dict__.pop("temperature_", None)
        if self.activation == "softmax":
            # Hard codes as a softmax encoder: at the floor of the temperatures.
            floor = FLOOR * problem.total / float(problem.weight.sum())
            self.temperature_ = max(problem.temperature, floor)
        self._variance = np.inf
        if problem.centred:
            self._variance = problem.variance_within(self._weights)
            squares = np.square(self._weights).sum(axis=1)
            inner = -0.5 * squares / self.temperature_
            self.decoder_intercept_ = mean
        else:
            inner = parts[1]
            self.decoder_intercept_ = mean + parts[2]
        self.intercept_ = (inner - self.coef_ @ mean).astype(mean.dtype)
        self.loss_curve_ = [loss for part in trained for loss in part.loss_curve]
        self.loss_ = problem(trained[-1].theta, None)[0]
        self.n_iter_ = len(self.loss_curve_)
        # Centres: their intercepts follow from them, the mean and the temperature.
        self.n_stored_parameters_ = sum(int(np.prod(s)) for s in problem.shapes) + (
            len(mean) + 1 if problem.centred else 0
        )

    def _warn(self, trained: list[Trained]) -> None:
        if all(part.converged for part in trained):
            return
        warnings.warn(
            f"{type(self).__name__} stopped after max_iter={self.max_iter} iterations, "
            f"at a loss of {self.loss_:.3g}. Increase max_iter, or tol (now "
            f"{self.tol}).",
            ConvergenceWarning,
            stacklevel=3 + WRAPPER_FRAMES,
        )
