"""The interface of diagnostics: a trained model and its data in, a diagnosis out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from matplotlib.figure import Figure

from vi.data.base import Batch, LoadedData, Split
from vi.errors import ConfigurationError
from vi.fast import session
from vi.figures.shown import undisturbed
from vi.files.numbers import Number
from vi.inputs import as_it_is
from vi.models.base import LatentVariableModel
from vi.options import Configurable

__all__ = ["Diagnosis", "Subject"]


@dataclass(frozen=True)
class Subject:
    """What is examined: a model, and one split of the data that it was trained on.

    Args:
        model: The trained model.
        data: The data, in the shape and on the device of the model.
        split: Name of the split: train, val or test.
        seed: Seed of the noise and of the bits of dynamically binarised data.
    """

    model: LatentVariableModel
    data: LoadedData
    split: str = "test"
    seed: int = 0

    @property
    def rows(self) -> Split:
        """The split, with the same data at every visit.

        Raises:
            ConfigurationError: The data have no such split.
        """
        found = getattr(self.data, self.split)
        if found is None:
            raise ConfigurationError(
                f"the data have no {self.split} split", hint="choose split=test or split=train"
            )
        return found.frozen(self.seed)

    def batch(self, most: int) -> Batch:
        """Return at most so many data, spread evenly over the split."""
        return self.rows.batch(self.rows.spread(min(most, len(self.rows))))


@dataclass(frozen=True)
class Diagnosis:
    """What a diagnostic found.

    Args:
        title: What was examined, in a few words; a finding of a run has it as its title.
        numbers: The numbers with units and errors.
        said: Sentences of the verdict.
        figures: Pictures by name.
        facts: How it was measured: numbers of data, draws and simulations.
    """

    title: str
    numbers: Sequence[Number] = ()
    said: Sequence[str] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)


class Diagnostic(Configurable, ABC):
    """A check of a trained model that ends in a verdict.

    An implementer writes ``examine``. Comes for free: the model is in evaluation mode, nothing
    asks for gradients, the noise is a function of the seed, and networks use the fast kernels.

    >>> import vi
    >>> class Size(Diagnostic):
    ...     def examine(self, subject):
    ...         return Diagnosis("size", said=[f"{len(subject.rows)} data"])
    >>> model, data = vi.PPCA((4,), latent_dim=2), vi.data.Values(torch.zeros(3, 4))
    >>> Size()(Subject(model, LoadedData(data, None, data, (4,)))).said
    ['3 data']
    """

    def __call__(self, subject: Subject) -> Diagnosis:
        """Examine a model; its modes and the random state are restored afterwards."""
        model = subject.model
        with undisturbed(model, subject.seed), session(None, model), as_it_is():
            return self.examine(subject)

    @abstractmethod
    def examine(self, subject: Subject) -> Diagnosis:
        """Return the diagnosis.

        Raises:
            ConfigurationError: The diagnostic is not defined for this model or these data.
            DataError: There are too few data.
        """


def blocks(batch: Batch, size: int) -> Iterator[Batch]:
    """Iterate over a batch in parts of at most so many data.

    >>> batch = Batch(torch.zeros(5, 2), {"context": torch.zeros(5, 3)})
    >>> [len(part.given["context"]) for part in blocks(batch, 2)]
    [2, 2, 1]
    """
    for rows in torch.arange(len(batch.x), device=batch.x.device).split(size):
        yield Batch(batch.x[rows], {k: v[rows] for k, v in batch.given.items()})
