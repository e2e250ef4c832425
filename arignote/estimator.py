"""A scikit-learn estimator, for pipelines and model selection. Requires ``pip install arignote[sklearn]``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data
except ImportError as error:
    raise ImportError(
        f"got {error}; need scikit-learn for the estimator; try: pip install 'arignote[sklearn]'"
    ) from error

from arignote.data.frames import require_same_order
from arignote.data.reader import refuse_masked
from arignote.nnets.nets import NNClassifier, define_mlp


class ArignoteClassifier(ClassifierMixin, BaseEstimator):
    """A feed-forward network as a scikit-learn classifier, with labels of any type.

    Parameters
    ----------
    hidden : sequence of int or int, optional
        Number of units of each hidden layer, by default (100,); of the only one, if it is a number. If empty, the model
        is a logistic regression.
    activation : str, optional
        Activation of the hidden layers, by default "relu".
    dropout_p : float, optional
        Fraction of units to drop after each hidden layer, by default 0.
    l2 : float, optional
        Factor of the squared weights in the loss, by default 0.
    layer_defs : list, optional
        Definition of any network, as for :class:`~arignote.nnets.nets.NNClassifier`, to use instead of the arguments
        above. The number of classes of the last layer can be omitted.
    n_epochs, batch_size, sgd_type, lr_rule, momentum_rule : optional
        As for `NNClassifier.fit`. The batch size is reduced to the number of examples if it is larger.
    valid : float, optional
        Fraction of each class to hold out for validation; the parameters with the best validation loss are used. By
        default 0, no validation.
    augmentation, callbacks : optional
        As for `NNClassifier.fit`.
    random_state : int, RandomState or None, optional
        Seed of everything random.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The class labels.
    classifier_ : NNClassifier
        The trained network.
    n_features_in_ : int
    n_iter_ : int
        Number of epochs trained.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_iris(return_X_y=True)
    >>> network = ArignoteClassifier(hidden=[20], n_epochs=150, batch_size=10, random_state=0)
    >>> bool(cross_val_score(make_pipeline(StandardScaler(), network), X, y, cv=3).mean() > 0.9)
    True
    """

    def __init__(
        self,
        hidden: Sequence[int] | int = (100,),
        activation: str = "relu",
        dropout_p: float = 0.0,
        l2: float = 0.0,
        layer_defs: Sequence | None = None,
        n_epochs: int = 100,
        batch_size: int = 32,
        sgd_type: str = "adam",
        lr_rule: Mapping[str, Any] | float | None = None,
        momentum_rule: Mapping[str, Any] | float | None = None,
        valid: float = 0.0,
        augmentation: Any = None,
        callbacks: Sequence = (),
        random_state: Any = None,
    ):
        self.hidden = hidden
        self.activation = activation
        self.dropout_p = dropout_p
        self.l2 = l2
        self.layer_defs = layer_defs
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.sgd_type = sgd_type
        self.lr_rule = lr_rule
        self.momentum_rule = momentum_rule
        self.valid = valid
        self.augmentation = augmentation
        self.callbacks = callbacks
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "ArignoteClassifier":
        """Train a new network on features (n, n_features) and labels (n,)."""
        refuse_masked(X)  # scikit-learn ignores the mask
        refuse_masked(y)
        require_same_order(X, y)
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"got labels of 1 class, {self.classes_[0]!r}; need two classes or more; try data with other labels"
            )
        seed = check_random_state(self.random_state).randint(2**31)
        classifier = NNClassifier(self._definition(), n_in=X.shape[1], rng=seed)
        n_train = len(X)
        if self.valid:  # about: each class is rounded by itself
            n_train = int((1 - self.valid) * n_train) - len(self.classes_) // 2
        self.classifier_ = classifier.fit(
            X,
            labels,
            valid=self.valid or None,
            n_epochs=self.n_epochs,
            batch_size=min(self.batch_size, max(1, n_train)),
            sgd_type=self.sgd_type,
            lr_rule=self.lr_rule,
            momentum_rule=self.momentum_rule,
            augmentation=self.augmentation,
            callbacks=list(self.callbacks),
        )
        trainer = self.classifier_.trainer
        assert trainer is not None  # set by fit
        self.n_iter_ = trainer.progress.epoch
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, in the order of `classes_`: shape (n, n_classes)."""
        check_is_fitted(self)
        refuse_masked(X)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        return self.classifier_.predict_proba(X)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each row."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _definition(self) -> list:
        n_classes = len(self.classes_)
        if self.layer_defs is None:
            hidden = [self.hidden] if isinstance(self.hidden, int | np.integer) else list(self.hidden)
            dropout = [0.0, *[self.dropout_p] * len(hidden)]
            return define_mlp(n_classes, hidden, dropout, self.activation, l2_reg=self.l2)
        *layers, (kind, *params) = self.layer_defs
        return [*layers, [kind, {"n_classes": n_classes, **(params[0] if params else {})}]]
