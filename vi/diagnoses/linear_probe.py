"""How well a linear classifier reads labels from E_q[z]."""

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vi.config.schema import validate
from vi.data.base import Batch, LoadedData
from vi.diagnoses.base import Diagnosis, Diagnostic, Subject
from vi.errors import ConfigurationError, DataError, require_positive
from vi.files.numbers import Number
from vi.models.base import LatentVariableModel
from vi.progress import watched

_BATCH = 1000
_UNIT = "share of data"


class LinearProbe(Diagnostic):
    """Accuracy of multinomial logistic regression from E_q[z] to the labels.

    The classifier is trained on the means of training data, scaled to unit variance, with an L2
    penalty, and tested on those of the split. Beside it stand the accuracy of the same classifier
    on x itself and the share of the most frequent label. Labels are what the data set gives as
    ``context=label``; the model need not have seen them.

    Args:
        max_data: Largest number of training data, and of test data.
        penalty: Weight of |w|^2 / 2 beside the summed cross-entropy in nats.

    Raises:
        ConfigurationError: A number is not positive.

    Reference: Alain and Bengio, 2017, https://arxiv.org/abs/1610.01644
    """

    def __init__(self, max_data: int = 5000, penalty: float = 1.0) -> None:
        require_positive("max_data", max_data, 1)
        require_positive("penalty", penalty)
        self.max_data, self.penalty = max_data, penalty

    def examine(self, subject: Subject) -> Diagnosis:
        """Train and test the classifier.

        Raises:
            ConfigurationError: The data have no labels, or q has no mean.
            DataError: The training data have a single label.
        """
        own = subject.data
        labelled = with_labels(own, subject.seed)
        parts = []
        for name in ("train", subject.split):
            split, labels = getattr(own, name).frozen(subject.seed), getattr(labelled, name)
            index = split.spread(min(self.max_data, len(split)))
            batch = split.batch(index)
            told = labels.given["context"].argmax(-1).to(index.device)[index]
            parts.append((_codes(subject.model, batch), batch.x.flatten(1), told))
        (z, x, y), (z_test, x_test, y_test) = ([t.cpu().numpy() for t in p] for p in parts)
        found = {
            "accuracy": self._right((z, y), (z_test, y_test)),
            "accuracy_from_x": self._right((x, y), (x_test, y_test)),
            "most_frequent": y_test == np.bincount(y).argmax(),
        }
        numbers = [_share(name, right) for name, right in found.items()]
        return Diagnosis("linear probe", numbers, _said(numbers, subject), facts=_facts(y, y_test))

    def _right(
        self, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Return which test data are classified rightly."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if len(np.unique(train[1])) < 2:
            raise DataError("all training data have one label", hint="give data of several kinds")
        regression = LogisticRegression(C=1 / self.penalty, max_iter=1000)
        classifier = make_pipeline(StandardScaler(), regression)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit(*train)
        return classifier.predict(test[0]) == test[1]


def with_labels(data: LoadedData, seed: int) -> LoadedData:
    """Return the same data with their labels as ``given["context"]``, one-hot.

    Raises:
        ConfigurationError: The data set has no labels.
    """
    option = data.option
    if option is None or "context" not in option.arguments:
        raise ConfigurationError("the data have no labels", hint="data with context=label")
    try:
        validate(type(option), {"context": "label"}, "data")
        return type(option)(**option.arguments | {"context": "label"}).load(seed)
    except ConfigurationError as error:
        raise ConfigurationError(f"the data have no labels: {error}", hint=error.hint) from None


def _codes(model: LatentVariableModel, batch: Batch) -> Tensor:
    """Return E_q[z] of a batch, (N, Z)."""
    rows = torch.arange(len(batch.x), device=batch.x.device).split(_BATCH)
    given = batch.given.items()
    codes = [model.encode(batch.x[i], **{k: v[i] for k, v in given}) for i in watched(rows)]
    return torch.cat(codes).flatten(1).double()


def _share(name: str, right: np.ndarray) -> Number:
    share = float(right.mean())
    return Number(name, share, _UNIT, data_error=math.sqrt(share * (1 - share) / len(right)))


def _facts(y: np.ndarray, y_test: np.ndarray) -> dict[str, Any]:
    return {"count": len(y_test), "training data": len(y), "labels": int(y.max()) + 1}


def _said(numbers: list[Number], subject: Subject) -> list[str]:
    z, x, most = numbers
    told = (
        f"a linear classifier reads the label of {z.value:.1%} ± {z.data_error:.1%} of the data "
        f"from E_q[z], of {x.value:.1%} from x itself; {most.value:.1%} have the most frequent one"
    )
    if subject.split == "train":
        told += "; these are the data that the classifier was trained on"
    given = "context" in subject.rows.given
    return [told, *(["q(z|x) is given the context, so z need not tell it"] if given else [])]
