"""How often a model was asked: the fair axis of a comparison."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.distributions import Distribution

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
        evaluations.encoder += model.training * rows.numel()

    def decoded(result: Distribution) -> None:
        evaluations.decoder += model.training * result.batch_shape.numel()

    encoder = "variational_parameters" if model.inference_parameters() else "posterior"
    watched = {encoder: encoded, "likelihood": decoded}
    for name, count in watched.items():
        vars(model)[name] = _then(getattr(model, name), count)
    try:
        yield
    finally:
        for name in watched:
            del vars(model)[name]


def _then(function: Callable[..., Any], count: Callable[[Any], None]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        count(result)
        return result

    return wrapper
