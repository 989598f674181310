"""A classifier of images and signals by kernels that all locations share."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.utils import check_random_state

from sktie._compat import available_if, fit_callbacks, with_callbacks
from sktie._files import PathLike
from sktie._parallel import workers
from sktie._typing import Auto, ClassWeight, HandleUnknown, RandomState
from sktie._validation import check_parameters, unchanged_on_error
from sktie.neural_network._conv_parameters import CONSTRAINTS, REMEDIES
from sktie.neural_network._conv_training import TrainedConvolutions
from sktie.neural_network._image_loss import N_LANES
from sktie.nn import check_checkpoint
from sktie.streams._apply import check_at_hand, in_batches


def _steps_by_batches(estimator: Any) -> bool:
    """Whether the solver can go on with some rows at a time."""
    return bool(estimator.solver != "lbfgs")


class SharedConvClassifier(TrainedConvolutions):
    r"""A convolutional classifier of images and signals, with a dial for its sharing.

    A convolution looks for the same patterns, its kernels, at every location of an
    image. It is a layer in which the parameters of all locations are shared. Here that
    is the end of a dial: ``tie=inf`` is a convolution, which stores each kernel once;
    ``tie=0`` is a locally connected layer, which has kernels of its own at every
    location; in between these are pulled to their mean. Minimises::

        1/n sum_i s_i loss(y_i, raw(x_i))
            + 1/(2n) sum over layers, and locations l, of
                alpha |W_l|^2 + tie |W_l - mean W|^2 + tie_pair |(W_l, b_l) - pair|^2

    with n the sum of the weights ``s_i``: the objective of scikit-learn's
    `MLPClassifier`, and ties on the scale of its decay. A shared kernel counts at each
    of its locations, as it would with a large finite tie.

    Domains, named by a column of X as ``pair`` or by ``sample_domain``, share all
    layers but the output. The heads ``v_t = (W_t, b_t)`` of T domains are tied to one
    another: with them the sum in the second line has, in place of the pair's term and
    the output layer's decay::

        sum_t alpha |W_t|^2 + tie_pair (2/T) sum_{s<t} |v_s - v_t|^2

    as in `TiedLogisticRegression`: ``tie_pair |v_A - v_B|^2`` for two domains.

    Parameters
    ----------
    filters : int or tuple of int, default=(16, 32)
        Kernels of each convolution. ``()`` has none.
    kernel_size : int or tuple of int, default=3
        Rows and columns of the kernels, for all convolutions or each. Kernels of
        signals have one row.
    stride : int or tuple of int, default=1
        Pixels from one location to the next.
    pool_size : int or tuple of int, default=2
        Rows and columns of the windows of locations of which the largest output is
        kept; 1 is no pooling. Windows are side by side; never larger than what there
        is to pool; outputs that fill no window are not computed.
    padding : {"same", "valid"} or tuple of these, default="same"
        ``"same"`` gives ``ceil(n / stride)`` locations along an axis of n pixels, and
        pads what is missing, the odd pixel at the right and the bottom; ``"valid"``
        takes the locations at which the kernel sees pixels alone. Images are padded
        with what is nearest to 0 in the training pixels, the outputs of layers with 0.
    tie : float or tuple of float, default=np.inf
        Strength in [0, inf] of the tie of the kernels of all locations.
    bias : {"auto", "shared", "location"} or tuple of these, default="auto"
        Whether all locations share a bias. ``"auto"`` does where they share kernels.
    hidden_layer_sizes : int or tuple of int, default=()
        Units of layers between the last convolution and the output, as in
        `MLPClassifier`.
    global_pool : bool or {"mean", "max"}, default=False
        Whether to keep one number of every kernel after the last convolution, the mean
        (True) or the maximum of its outputs: whether a pattern is there, not where.
    activation : str or tuple of str, default="relu"
        Activation function: "relu", "tanh", "logistic" or "identity". Hidden layers
        have that of the last convolution.
    pair : str, int, SharedConvClassifier or None, default=None
        What parameters are tied to.

        - None: nothing; or, where `fit` gets ``sample_domain``, the heads of domains
          to one another.
        - str or int: the name of a column of a data frame, or the position of a
          column of a 2-D X (-1 is the last). It holds the domain of each row
          (strings, integers, integral floats or categories) and is no pixel.
        - a fitted network with the same layers, inside `FrozenEstimator` where
          searches or pipelines clone. All parameters are tied to its own, and start
          there; the output layer is new where the classes differ. Pixels are put on
          its scale. Of a network with domains the mean head counts.
    tie_pair : float or sequence of float, default=1.0
        Strength in [0, inf] of that tie. With a network as pair for all layers, or
        for each that has parameters, the output layer last; 0 starts at the pair, and
        is free. With domains one number; 0 has separate heads, ``np.inf`` one head,
        which is stored once, and decayed as that of every domain.
    handle_unknown : {"error", "shared"}, default="error"
        For domains in prediction that `fit` did not see: raise, or use the mean head.
    image_shape : tuple of int or None, default=None
        ``(height, width)``, ``(height, width, channels)``, ``(length,)`` or ``(length,
        channels)`` of what a row of X holds, ordered as NumPy does. None: X has these
        axes; or rows are squares where that is possible, else signals.
    signals : bool or None, default=None
        Whether two numbers are the length and the channels of signals (True), or the
        height and the width of images (False). None: signals where the first is more
        than 4 times the second. Without a shape, True takes rows of X for signals of
        one channel. ``image_shape_`` tells what was made of it.
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        Adam or momentum SGD on batches, or L-BFGS on all rows, which has no
        `partial_fit`.
    alpha : float, default=1e-4
        Weight decay; biases are not decayed.
    batch_size : "auto" or int, default="auto"
        Rows of a batch; "auto" is all up to 256 rows, else 128.
    learning_rate : {"one-cycle", "constant"}, default="one-cycle"
        The size of the steps rises to ``learning_rate_init`` in the first quarter of
        the training and falls to almost nothing at its end, or is constant.
    learning_rate_init : float, default=1e-2
        The largest size.
    max_iter : "auto" or int, default="auto"
        Epochs, all of which a one-cycle training takes. "auto" takes about 1500 steps,
        in 15 to 200 epochs. L-BFGS: most iterations, "auto" 200.
    tol : float, default=1e-4
        What an epoch must lower the loss by, or early stopping raise the score by, to
        count as an improvement. L-BFGS: largest entry of the gradient at the end.
    n_iter_no_change : int, default=10
        Epochs without improvement at which to stop, with a constant learning rate or
        early stopping.
    early_stopping : bool, default=False
        Whether to hold back a stratified part of the rows, stop when its accuracy
        rises no more, and return the parameters that were best on it.
    validation_fraction : float, default=0.1
        The part that is held back.
    shuffle : bool, default=True
        Whether to draw the batches anew in every epoch.
    dropout : "auto" or float, default="auto"
        Share of the inputs of hidden layers and output that is silenced in training.
        "auto" is 0.25; but 0 where steps take all rows, and after ``global_pool``,
        which leaves few inputs. Not with L-BFGS.
    augment : dict, callable or None, default=None
        How to change images at random in training: ``{"shift": 2}`` moves them by up
        to 2 pixels; ``{"flip": "horizontal"}``, "vertical" or "both" mirrors half of
        them; a callable takes pixels (n, height, width, channels) and a
        `numpy.random.Generator` and returns pixels like them. Not with L-BFGS.
    class_weight : dict, "balanced" or None, default=None
        Factors for the classes, as in scikit-learn.
    dtype : {"auto", "float32", "float64"}, default="auto"
        What is computed in: "auto" takes float64 where X in `fit` is, else float32.
    warm_start : bool, default=False
        Whether to start from the last fit, where it had the same classes and layers.
    checkpoint : str, os.PathLike or None, default=None
        Folder for the state of a training while it runs, with batches and a
        ``random_state``: one that was killed goes on from there when `fit` is called
        again, and ends with the same bits. See Notes. Not used by `partial_fit`.
    n_jobs : int or None, default=None
        Threads; None takes the cores that BLAS may use. It does not change the result.
    random_state : int, RandomState or None, default=None
        Seed of the start, the batches, and all else that is random.
    verbose : int, default=0
        Print the loss of every epoch if positive.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels. Rows of weight zero count as absent.
    image_shape_ : tuple of int
        Height, width and channels; signals have height 1.
    layers_ : list of dict
        What each layer is.
    coefs_ : list of ndarray
        Kernels (rows, columns, channels, filters) of each convolution, with two axes
        before them, height and width, where locations have their own; then weights
        (inputs, outputs) of hidden layers and output. One output for two classes.
        With domains the output layer is the mean head.
    intercepts_ : list of ndarray
        Biases (filters,), or (height, width, filters) by location; then (outputs,).
    domains_ : ndarray of shape (n_domains,)
        Sorted labels of the domains. Only with domains.
    domain_coef_ : ndarray of shape (n_domains, n_inputs, 1 or n_classes)
        Output weights of each domain; stored once where ``tie_pair=inf``. Only with
        domains.
    domain_intercept_ : ndarray of shape (n_domains, 1 or n_classes)
        Output biases of each domain. Only with domains.
    offset_, scale_, margin_ : ndarray of shape (n_channels,)
        Mean and standard deviation of the training pixels, weighted as their rows are,
        by which all pixels are put on one scale; and what they are padded with.
    loss_ : float
        The loss of the last epoch, its mean over the batches.
    best_loss_ : float
        The lowest of all epochs.
    loss_curve_ : list of float
        The loss of all epochs.
    validation_scores_ : list of float
        Accuracy on the rows held back, after every epoch. Only with early stopping.
    best_validation_score_ : float
        The highest of these. Only with early stopping.
    n_iter_ : int
        Epochs.
    t_ : int
        Rows that training has seen, each distinct one counted in every epoch.
    n_stored_parameters_ : int
        Numbers that the network consists of.
    n_features_in_ : int
        Numbers of a row, a domain included where a column of X holds it.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, where they were strings.

    Raises
    ------
    ValueError
        For input that cannot be fitted. A failed `fit` leaves a fitted model as it was.

    See Also
    --------
    TiedMLPClassifier : A network tied to a model that was trained without labels.
    sklearn.neural_network.MLPClassifier : Networks that share nothing.

    Notes
    -----
    The convolution is a cross-correlation, as everywhere in this field: kernels are
    not flipped.

    Without strides and pools, moving an image by a pixel moves the outputs of shared
    kernels by a pixel; in general moving it by the product of strides and pools moves
    them by one. Where that product is 1, ``global_pool`` makes a decision that does
    not change while the object keeps a margin, of the value ``margin_``, that is as
    wide as what the last kernels see. Local kernels and biases promise nothing of the
    kind; `sktie.inspection.shift_invariance` measures it.

    With a finite tie the optimiser moves V, the kernels being ``m + (1 + tie)^(-1/2)
    (V - m)`` with m the mean of V: there no strength makes its steps too long. A
    stronger tie than that of a pair, or of the fit that a warm start goes on from,
    starts nearer to the mean than these were.

    Domains may miss classes where ``tie_pair`` is positive. They are stratified
    neither in batches nor by early stopping. In a pipeline or search prefer the
    column: scikit-learn passes ``sample_domain`` to few places (see the page "Domains
    in pipelines").

    Ctrl-C ends the training with the parameters of that moment, and a warning. A
    ``checkpoint`` is written after an epoch, at most every 10 seconds, and removed
    when `fit` has ended by itself. Its name is made from the rows and the parameters,
    and the code of a callable ``augment``, which must draw from the generator alone:
    fits of clones and of searches may share the folder, and others never go on from
    it.

    Rows of weight zero are dropped, equal rows merged, and the rest ordered by value
    before training, up to 16 million numbers in X: so the order of rows does not
    matter, nor whether one is given twice or with weight 2.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio, A. Courville (2016). Deep Learning, chapter 9.
    .. [2] Y. LeCun (1989). Generalization and network design strategies.
    .. [3] X. Li, Y. Grandvalet, F. Davoine (2018). Explicit inductive bias for
       transfer learning with convolutional networks. ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktie import SharedConvClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SharedConvClassifier((8, 16), max_iter=20, random_state=0)
    >>> print(f"{model.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]):.1f}")
    0.9
    >>> [kernels.shape for kernels in model.coefs_]
    [(3, 3, 1, 8), (3, 3, 8, 16), (64, 10)]
    """

    __metadata_request__fit: ClassVar = {"sample_domain": True}
    __metadata_request__partial_fit: ClassVar = {"sample_domain": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS

    def __init__(
        self,
        filters: Any = (16, 32),
        *,
        kernel_size: Any = 3,
        stride: Any = 1,
        pool_size: Any = 2,
        padding: Any = "same",
        tie: Any = np.inf,
        bias: Any = "auto",
        hidden_layer_sizes: Any = (),
        global_pool: bool | Literal["mean", "max"] = False,
        activation: Any = "relu",
        pair: Any = None,
        tie_pair: Any = 1.0,
        handle_unknown: HandleUnknown = "error",
        image_shape: Any = None,
        signals: bool | None = None,
        solver: Literal["adam", "sgd", "lbfgs"] = "adam",
        alpha: float = 1e-4,
        batch_size: int | Auto = "auto",
        learning_rate: Literal["one-cycle", "constant"] = "one-cycle",
        learning_rate_init: float = 1e-2,
        max_iter: int | Auto = "auto",
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        shuffle: bool = True,
        dropout: float | Auto = "auto",
        augment: Any = None,
        class_weight: ClassWeight = None,
        dtype: Literal["auto", "float32", "float64"] = "auto",
        warm_start: bool = False,
        checkpoint: PathLike | None = None,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.filters = filters
        self.kernel_size = kernel_size
        self.stride = stride
        self.pool_size = pool_size
        self.padding = padding
        self.tie = tie
        self.bias = bias
        self.hidden_layer_sizes = hidden_layer_sizes
        self.global_pool = global_pool
        self.activation = activation
        self.pair = pair
        self.tie_pair = tie_pair
        self.handle_unknown = handle_unknown
        self.image_shape = image_shape
        self.signals = signals
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.shuffle = shuffle
        self.dropout = dropout
        self.augment = augment
        self.class_weight = class_weight
        self.dtype = dtype
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        sample_domain: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_domain_val: Any = None,
    ) -> SharedConvClassifier:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ``*image_shape``)
            Images or signals, of any numeric dtype; rows with a domain column where
            ``pair`` names one.
        y : array-like of shape (n_samples,)
            Class labels, at least two different ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a weight of 2 is a row twice, 0 no row. Every domain
            needs some row of positive weight.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row: the other way to name domains, for ``pair=None``.
        X_val : array-like like X, default=None
            Rows to stop by. Given, they do what ``early_stopping=True`` does with
            rows held back. Steps of a pipeline before this model do not transform
            them.
        y_val : array-like of shape (n_validation,), default=None
            Their labels.
        sample_domain_val : array-like of shape (n_validation,), default=None
            Their domains, where ``sample_domain`` has those of X.

        Returns
        -------
        SharedConvClassifier
            The fitted model itself.
        """
        check_parameters(self, REMEDIES)
        check_checkpoint(self, self.solver)
        check_at_hand(
            X,
            "SharedConvClassifier.fit",
            "Call partial_fit(X, y, classes=...) once for each epoch: it trains on "
            "block after block.",
        )
        with unchanged_on_error(self):
            previous = self._previous() if self.warm_start else None
            for name in ("_optimizer", "_rng"):  # Of partial_fit.
                self.__dict__.pop(name, None)
            rows = self._read(X, y, sample_weight, sample_domain)
            self.layers_ = self._plan(self._share_to_drop(len(rows.index)))
            previous = self._still_fits(previous)
            rng = check_random_state(self.random_state)
            self._measure(rows, previous)
            with workers(self.n_jobs, N_LANES) as crew:
                problem = self._problem(rows, rng, crew)
                problem, held_back = self._held_back(
                    problem, X_val, y_val, sample_domain_val, rng
                )
                theta = self._start(problem, previous, rng)
                epochs = self._epochs(len(problem.y))
                with fit_callbacks(self, X, y, epochs) as callback:
                    trained = self._train(
                        problem, held_back, theta, rng, callback, epochs
                    )
                self._store(problem, trained)
            self._warn(trained)
            self.t_ = self.n_iter_ * len(problem.y)
        trained.forget()
        return self

    @available_if(_steps_by_batches)
    @in_batches
    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: Any = None,
        sample_weight: Any = None,
        *,
        sample_domain: Any = None,
    ) -> SharedConvClassifier:
        """Train the network by one pass over some rows.

        The scale of the pixels is that of the rows of the first call. Steps are of
        the constant size ``learning_rate_init``. Streams and dask collections (see
        `sktie.streams`) are a call for each of their blocks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ``*image_shape``)
            Images or signals.
        y : array-like of shape (n_samples,)
            Their labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur. Needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for ``pair=None``. The first call has to hold rows of
            all domains.

        Returns
        -------
        SharedConvClassifier
            The model itself.
        """
        check_parameters(self, REMEDIES)
        self._check_partial(classes)
        first = not hasattr(self, "coefs_")
        with unchanged_on_error(self):
            previous = None if first else self._previous()
            rows = self._read_more(X, y, classes, sample_weight, sample_domain, first)
            self.layers_ = self._plan(self._share_to_drop(len(rows.index)))
            if not first and self._still_fits(previous) is None:
                raise ValueError(
                    "The layers differ from those of the calls of partial_fit before. "
                    "Give the model its parameters back, or start with a new one."
                )
            # Copies: what fails leaves those of the calls before as they were.
            seed = deepcopy(getattr(self, "_rng", None)) or self.random_state
            rng = self._rng = check_random_state(seed)
            if first:
                self._measure(rows, None)
                self.loss_curve_ = []
            with workers(self.n_jobs, N_LANES) as crew:
                problem = self._problem(rows, rng, crew)
                theta = self._start(problem, previous, rng)
                # Of no use to another solver.
                moments = deepcopy(getattr(self, "_optimizer", {}).get(self.solver))
                trained = self._train(
                    problem,
                    None,
                    theta,
                    rng,
                    None,
                    1,
                    schedule=None,
                    optimizer=moments,
                    kept=False,
                )
                seen = 0 if first else self.t_
                curve = [*self.loss_curve_, *trained.loss_curve]
                self._store(problem, replace(trained, loss_curve=curve))
            if trained.interrupted:
                self._warn(trained)
            self._optimizer = {self.solver: trained.optimizer}
            self.t_ = seen + len(problem.y)
        return self
