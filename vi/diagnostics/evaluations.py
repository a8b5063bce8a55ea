"""How often a model was asked: the fair axis of a comparison."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.distributions import Distribution

from vi.inference.base import Parametric
from vi.models.base import LatentVariableModel


@dataclass
class Evaluations:
    """Rows that went through the encoder, and rows that went through the decoder.

    One datum with K draws is one row of the encoder and K rows of the decoder; for an exact model
    the posterior of a datum is a row of the encoder.
    """

    encoder: int = 0
    decoder: int = 0


@contextmanager
def counted(model: LatentVariableModel, evaluations: Evaluations) -> Iterator[None]:
    """Within this block every evaluation of the model is added up.

    Not what is asked of it in evaluation mode: to look on costs a training nothing.
    """

    def encoded(result: Tensor | Distribution) -> None:
        rows = result.batch_shape if isinstance(result, Distribution) else result.shape[:1]
        evaluations.encoder += model.training * model.inference.passes * rows.numel()

    def decoded(result: Distribution) -> None:
        evaluations.decoder += model.training * result.batch_shape.numel()

    asked = [(model, "posterior", encoded), (model, "likelihood", decoded)]
    if isinstance(model.inference, Parametric):
        asked[0] = (model.inference.family, "parameters_of", encoded)
    for part, name, count in asked:
        vars(part)[name] = _then(getattr(part, name), count)
    try:
        yield
    finally:
        for part, name, _ in asked:
            del vars(part)[name]


def _then(function: Callable[..., Any], count: Callable[[Any], None]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        count(result)
        return result

    return wrapper
