"""A network with one hidden layer that is tied to a model trained without labels."""

from __future__ import annotations

import os
import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from sktie._compat import (
    WRAPPER_FRAMES,
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    fit_callbacks,
    with_callbacks,
)
from sktie._files import PathLike
from sktie._labels import Sample, append_unlabeled, encode_sample
from sktie._loss import ClassLoss, classification_loss
from sktie._prior import (
    Encoder,
    check_unlabeled,
    find_prior,
    fitted_prior,
    takes_sparse,
)
from sktie._rows import canonical_rows, drop_zero_weight
from sktie._typing import Auto, ClassWeight, FloatArray, RandomState
from sktie._validation import check_parameters, unchanged_on_error
from sktie.linear_model._pair import one_scale
from sktie.neural_network._mlp_fitted import FittedMLP
from sktie.neural_network._objective import (
    NetworkLoss,
    hold_back,
    tied_layer,
)
from sktie.neural_network._trainer import train
from sktie.nn import ACTIVATIONS, Trained, check_checkpoint, glorot_uniform
from sktie.streams._apply import check_at_hand

REMEDIES = {
    "pair": "Use None, KMeansPrior(...), AutoencoderPrior(...), or "
    "FrozenEstimator(fitted_prior).",
    "tie": "Use tie=0 for a free network, tie=np.inf to keep the hidden layer as it "
    "is, and anything between for a tied one.",
    "tie_output": "Use 0 (free), np.inf, or anything between.",
    "alpha": "Use 0 for no decay, or a positive number.",
    "activation": "Use 'relu', 'tanh', 'logistic', 'identity' or 'softmax'.",
}


class TiedMLPClassifier(CallbackSupportMixin, FittedMLP):
    r"""A network with one hidden layer, tied to an encoder trained without labels.

    Minimises the mean log-loss of the labelled rows, decay, and ties::

        1/n sum_i s_i loss(y_i, V h(x_i) + c),    h(x) = activation(W x + b)
            + alpha/(2n) (|W|^2 + |V|^2)
            + tie/(2n) |(W, b) - (W_A, b_A)|^2
            + tie_output/(2n) |(V, c) - (V_A, c_A)|^2

    with n the sum of the weights ``s_i``. Without ``pair`` it is the objective of
    scikit-learn's `MLPClassifier`. With a prior, ``(W_A, b_A)`` is its encoder, the
    hidden units are its units, one to one, with its activation, and the output layer
    is free (``tie_output=0``). ``tie=inf`` keeps the encoder as it is: a
    `LogisticRegression` with ``C = 1/alpha`` on the prior's codes. ``tie=0`` is a free
    network that starts at the encoder.

    Parameters
    ----------
    pair : estimator or None, default=None
        What the hidden layer is tied to.

        - None: nothing.
        - a prior, such as `KMeansPrior` or `AutoencoderPrior`: cloned and fitted in
          `fit`, on all rows, with a label or without.
        - ``FrozenEstimator(prior)``: a prior fitted elsewhere, used as it is.
    hidden_units : int, default=100
        Number of hidden units, without ``pair``. A prior has a number of its own.
    tie : float, default=1.0
        Strength of the tie of the hidden layer in [0, inf], on the scale of ``alpha``.
    tie_output : float, default=0.0
        Strength of a tie of the output layer in [0, inf]: to the softmax regression of
        the prior's units on what the labels and the clusters say of all rows
        (`KMeansPrior.readout_anchor`). 0 leaves the output layer free. With few labels
        this is what makes the most of rows without one.
    alpha : float, default=1e-4
        Weight decay of both layers; intercepts are not decayed.
    activation : {"relu", "tanh", "logistic", "identity", "softmax"}, default="relu"
        Activation of the hidden units, without ``pair``. A prior has its own.
    solver : {"lbfgs", "adam"}, default="lbfgs"
        L-BFGS on all rows, or Adam on minibatches.
    batch_size : "auto" or int, default="auto"
        Rows of a minibatch; "auto" is 200.
    learning_rate_init : float, default=1e-3
        Step size of Adam, in units of ``(1 + tie)^(-1/2)`` of a weight.
    tol : float, default=1e-6
        L-BFGS: largest entry of the gradient at the end. Adam: what an epoch must
        lower the loss by, or early stopping an iteration raise the best score by, to
        count as an improvement.
    max_iter : int, default=1000
        Most iterations of L-BFGS, or epochs.
    early_stopping : bool, default=False
        Whether to hold back a stratified part of the labelled rows, stop when its
        accuracy rises no more, and return the parameters that were best on it. Ending
        at ``max_iter`` is no reason for a warning then.
    validation_fraction : float, default=0.1
        The part of the distinct labelled rows that is held back; at least as many as
        there are classes.
    n_iter_no_change : int, default=10
        Iterations without improvement at which to stop (L-BFGS: with early stopping).
    class_weight : dict, "balanced" or None, default=None
        Factors for the classes, as in scikit-learn.
    unlabeled : int, str or None, default=None
        The label in y of rows that have none, such as -1. Only a prior as ``pair``
        learns from these rows. In a search or cross-validation, use
        ``cv=LabeledSplit()`` of `sktie.model_selection`, or these rows are scored as
        mistakes. None: every label is a class.
    warm_start : bool, default=False
        Whether to start from the last fit, where it had the same classes and layers.
    checkpoint : str, os.PathLike or None, default=None
        Folder for the state of a training while it runs, with ``solver="adam"`` and a
        ``random_state``: one that was killed goes on from there when `fit` is called
        again, and ends with the same bits. See Notes.
    verbose : int, default=0
        Print the loss of every iteration if positive.
    random_state : int, RandomState or None, default=None
        Seed of the start, the minibatches and the validation rows. A prior has its own.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels. Rows of weight zero count as absent.
    coefs_ : list of two ndarrays
        Weights of the layers, (n_features, n_units) and (n_units, 1 or n_classes), with
        the dtype of X; one output for two classes, centred ones for more.
    intercepts_ : list of two ndarrays
        Intercepts of the layers, (n_units,) and (1 or n_classes,).
    activation_ : str
        Activation of the hidden units.
    prior_ : estimator
        The fitted prior. Only with ``pair``.
    tie_gap_ : float
        Largest absolute deviation of a parameter of the hidden layer from the encoder;
        0 without ``pair``.
    loss_ : float
        The objective at the end, on the rows used for training.
    loss_curve_ : list of float
        The objective after every iteration, or its mean over an epoch.
    validation_scores_ : list of float
        Accuracy on the rows held back, after every iteration. Only with early stopping.
    best_validation_score_ : float
        The highest of these. Only with early stopping.
    n_iter_ : int
        Iterations or epochs.
    n_stored_parameters_ : int
        Distinct numbers that the network consists of.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of these columns, where X had string names.

    Raises
    ------
    ValueError
        For input that cannot be fitted. A failed `fit` leaves a fitted model as it was.

    See Also
    --------
    KMeansPrior : Hidden units that are clusters.
    AutoencoderPrior : Hidden units that reconstruct the rows.
    TiedLogisticRegression : A linear classifier tied to the same priors.
    sklearn.neural_network.MLPClassifier : Networks without ties.

    Notes
    -----
    The parameters are stored as ``(W_A, b_A) + (1 + tie)^(-1/2) U``, where no strength
    makes the steps of an optimiser too long.

    Decay and tie add up: the hidden weights are pulled to
    ``W_A tie / (tie + alpha)``. Weights are compared on the scale of the features; a
    scaler before this model must be the one before a frozen prior.

    Rows of weight zero are dropped, equal rows merged, and the rest ordered by value
    before training, up to 16 million numbers in X (65536 rows of a sparse X): so the
    order of rows does not matter, nor whether one is given twice or with weight 2.

    A ``checkpoint`` is written after an epoch, at most every 10 seconds, and removed
    when `fit` has ended well. Its name is made from the rows and the parameters: fits
    of clones and of searches may share the folder, and others never go on from it. A
    prior is fitted again, and needs a ``random_state`` of its own to be the same.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio, A. Courville (2016). Deep Learning, section 7.9.
    .. [2] J. Lasserre, C. Bishop, T. Minka (2006). Principled hybrids of generative
       and discriminative models. CVPR.

    Examples
    --------
    Two moons and four labels: the clusters know the moons.

    >>> import numpy as np
    >>> from sklearn.datasets import make_moons
    >>> from sktie import KMeansPrior, TiedMLPClassifier
    >>> X, y = make_moons(300, noise=0.08, random_state=0)
    >>> y_seen = np.full(300, -1)
    >>> for label in (0, 1):
    ...     two = np.flatnonzero(y == label)[:2]
    ...     y_seen[two] = label
    >>> prior = KMeansPrior(30, random_state=0)
    >>> for tie_output in [0, 1]:
    ...     model = TiedMLPClassifier(
    ...         prior, tie=np.inf, tie_output=tie_output, unlabeled=-1
    ...     )
    ...     print(f"{model.fit(X, y_seen).score(X, y):.1f}")
    0.9
    1.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "pair": [None, HasMethods("fit")],
        "hidden_units": [Interval(Integral, 1, None, closed="left")],
        "tie": [Interval(Real, 0, None, closed="both")],
        "tie_output": [Interval(Real, 0, None, closed="both")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "solver": [StrOptions({"adam", "lbfgs"})],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [None, dict, StrOptions({"balanced"})],
        "unlabeled": [None, Integral, str],
        "warm_start": ["boolean"],
        "checkpoint": [None, str, os.PathLike],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        pair: Any = None,
        *,
        hidden_units: int = 100,
        tie: float = 1.0,
        tie_output: float = 0.0,
        alpha: float = 1e-4,
        activation: Literal["relu", "tanh", "logistic", "identity", "softmax"] = "relu",
        solver: Literal["lbfgs", "adam"] = "lbfgs",
        batch_size: int | Auto = "auto",
        learning_rate_init: float = 1e-3,
        tol: float = 1e-6,
        max_iter: int = 1000,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        class_weight: ClassWeight = None,
        unlabeled: int | str | None = None,
        warm_start: bool = False,
        checkpoint: PathLike | None = None,
        verbose: int = 0,
        random_state: RandomState = None,
    ) -> None:
        self.pair = pair
        self.hidden_units = hidden_units
        self.tie = tie
        self.tie_output = tie_output
        self.alpha = alpha
        self.activation = activation
        self.solver = solver
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.tol = tol
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.unlabeled = unlabeled
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = takes_sparse(self.pair)
        return tags

    @with_callbacks
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_unlabeled: Any = None
    ) -> TiedMLPClassifier:
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Class labels, at least two different ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a weight of 2 is a row twice, 0 no row.
        X_unlabeled : {array-like, sparse matrix} of shape (n_unlabeled, n_features), \
                default=None
            More rows without labels, each of weight 1, for a prior as ``pair``. Steps
            of a pipeline before this model do not transform them; ``unlabeled`` serves
            there.

        Returns
        -------
        TiedMLPClassifier
            The fitted model itself.
        """
        check_parameters(self, REMEDIES)
        check_checkpoint(self, self.solver)
        check_at_hand(X, type(self).__name__)
        with unchanged_on_error(self):
            previous = self._previous() if self.warm_start else None
            everything = self._read(X, y, sample_weight, X_unlabeled)
            rng = check_random_state(self.random_state)
            loss = classification_loss(len(self.classes_))
            problem, held_back = self._problem(everything, loss, rng)
            theta = self._start(problem, previous, rng)
            with fit_callbacks(self, X, y, self.max_iter) as callback:
                trained = train(
                    self,
                    problem,
                    held_back,
                    theta,
                    callback=callback,
                    max_iter=self.max_iter,
                    batch_size=self.batch_size,
                    rng=rng,
                )
            self._warn(trained)
            self._store(problem, trained)
        trained.forget()
        return self

    def _read(self, X: Any, y: Any, sample_weight: Any, X_unlabeled: Any) -> Sample:
        """Validate and encode all rows, labelled or not."""
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32]
        )
        if self.pair is not None and not isinstance(find_prior(self.pair), Encoder):
            raise ValueError(
                f"pair={self.pair!r} is no encoder that hidden units can be tied to. "
                + REMEDIES["pair"]
            )
        check_unlabeled(self.pair, self.unlabeled, X_unlabeled, y)
        self.classes_, sample = encode_sample(
            X, y, sample_weight, self.class_weight, self.unlabeled
        )
        return append_unlabeled(self, sample, X_unlabeled)

    def _problem(
        self, everything: Sample, loss: ClassLoss, rng: np.random.RandomState
    ) -> tuple[NetworkLoss, NetworkLoss | None]:
        """Return the objective, and that of the rows held back."""
        self.__dict__.pop("prior_", None)
        alpha, n_features = float(self.alpha), everything.X.shape[1]
        if self.pair is None:
            self.activation_ = self.activation
            hidden = np.zeros((self.hidden_units, n_features + 1))
            strengths = 0.0, 0.0
        else:
            names = getattr(self, "feature_names_in_", None)
            self.prior_ = fitted_prior(self.pair, everything, names)
            self.activation_ = self.prior_.activation
            hidden = np.column_stack([self.prior_.coef_, self.prior_.intercept_])
            strengths = float(self.tie), float(self.tie_output)
        silent = np.zeros((loss.n_outputs, len(hidden) + 1))
        tied = strengths[1] > 0
        output = self._readout(everything, loss) if tied else silent
        sample = everything.labelled()
        X, weight, y_index = canonical_rows(
            *drop_zero_weight(sample.X, sample.weight, sample.y_index)
        )
        problem = NetworkLoss(
            X,
            loss.encode(y_index, X.dtype),
            weight,
            loss,
            self.activation_,
            tied_layer(hidden, strengths[0], alpha),
            tied_layer(output, strengths[1], alpha),
        )
        if not self.early_stopping:
            return problem, None
        return hold_back(problem, self.validation_fraction, rng)

    def _readout(self, everything: Sample, loss: ClassLoss) -> FloatArray:
        """Return the anchor of the output layer, as the rows that the loss takes."""
        n_classes = len(self.classes_)
        coef, intercept = self.prior_.readout_anchor(
            everything.X,
            everything.y_index,
            n_classes,
            sample_weight=everything.weight,
        )
        return loss.reduce(np.column_stack(one_scale(coef, intercept, n_classes)))

    def _start(
        self, problem: NetworkLoss, previous: Any, rng: np.random.RandomState
    ) -> FloatArray:
        """Return the last fit, the encoder and a silent output layer, or a draw."""
        shapes = problem.hidden.shape, problem.output.shape
        if previous is not None:
            classes, activation, hidden, output, units = previous
            if (
                np.array_equal(classes, self.classes_)
                and activation == self.activation_
                and hidden.shape == shapes[0]
            ):
                rows = problem.loss.reduce(output)
                return problem.join(
                    problem.hidden.locate(hidden, units[0]),
                    problem.output.locate(rows, units[1]),
                )
        if self.pair is not None:
            return problem.join(np.zeros(shapes[0]), np.zeros(shapes[1]))
        layers = []
        for n_out, n_in in shapes:
            layer = glorot_uniform(rng, (n_out, n_in - 1))
            layers.append(np.column_stack([layer, np.zeros(n_out)]))
        return problem.join(*layers)

    def _warn(self, trained: Trained) -> None:
        if trained.converged or self.early_stopping:
            return
        warnings.warn(
            f"{type(self).__name__} stopped after max_iter={self.max_iter} iterations, "
            f"at a loss of {trained.loss_curve[-1]:.3g}. Increase max_iter or tol (now "
            f"{self.tol}), scale the features (StandardScaler), or raise alpha.",
            ConvergenceWarning,
            stacklevel=3 + WRAPPER_FRAMES,
        )

    def _store(self, problem: NetworkLoss, trained: Trained) -> None:
        """Set the fitted attributes."""
        dtype = problem.X.dtype
        hidden, output = problem.parameters(trained.theta)
        output = problem.loss.expand(output)
        layers = [layer.astype(dtype) for layer in (hidden, output)]
        self.coefs_ = [layer[:, :-1].T.copy() for layer in layers]
        self.intercepts_ = [layer[:, -1].copy() for layer in layers]
        anchor = problem.hidden.weights(np.zeros(problem.hidden.shape))
        gap = np.abs(hidden - anchor).max()
        self._units = np.array([problem.hidden.units, problem.output.units])
        self.tie_gap_ = 0.0 if self.pair is None else float(gap)
        self.loss_ = problem(trained.theta, None)[0]
        self.loss_curve_ = trained.loss_curve
        self.n_iter_ = len(trained.loss_curve)
        self.n_stored_parameters_ = sum(layer.size for layer in layers)

    def _previous(self) -> Any:
        """Return classes, activation and layers of the last fit, if there is one."""
        if not hasattr(self, "coefs_"):
            return None
        hidden, output = (
            np.column_stack([weights.T, intercepts]).astype(np.float64)
            for weights, intercepts in zip(self.coefs_, self.intercepts_, strict=True)
        )
        return self.classes_, self.activation_, hidden, output, self._units
