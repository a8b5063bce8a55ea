"""Grey levels as probabilities of bits: drawn at every visit, drawn once, or left unchanged.

A grey level b of ``levels`` gives the probability b / levels that the pixel is on (Salakhutdinov
& Murray 2008, https://dl.acm.org/doi/10.1145/1390156.1390266; drawn at every visit: Burda, Grosse
& Salakhutdinov 2016, https://arxiv.org/abs/1509.00519).
"""

import torch
from jaxtyping import UInt8
from torch import Tensor

from vi.data.base import DynamicBits, Split, Values
from vi.data.partition import generator
from vi.errors import ConfigurationError

_STATIC, _EVALUATION = 0, 1  # purposes of streams of random numbers
_STATIC_SEED = 0  # not the run's seed: static bits are a data set, equal for all runs
_TRAIN = 0


def fixed_bits(
    grey: UInt8[Tensor, " N *event"], levels: int, random: torch.Generator
) -> UInt8[Tensor, " N *event"]:
    """Return bits with P(1) = grey / levels, drawn once for all items in their order.

    Args:
        grey: Grey levels, (N, *event).
        levels: The grey level at which a bit is always 1.
        random: The generator of the bits.

    >>> fixed_bits(torch.tensor([[0, 255]], dtype=torch.uint8), 255, torch.Generator())
    tensor([[0, 1]], dtype=torch.uint8)
    """
    u = torch.randint(0, levels, grey.shape, dtype=torch.uint8, generator=random)
    return (u < grey).to(torch.uint8)


def split_of(
    stored: Tensor,
    given: dict[str, Tensor],
    *,
    levels: int,
    binarize: str,
    number: int,
    seed: int,
) -> Split:
    """Return one split, binarised as configured.

    ``dynamic`` draws training bits at every visit. Validation and test bits are drawn once, as a
    function of (seed, split, datum), so that no number depends on the batch size.

    Args:
        stored: Values as their source gives them, (N, *event).
        given: What a model conditions on.
        levels: The grey level that stands for 1.
        binarize: dynamic, static or none.
        number: 0 for training, 1 for validation, 2 for test data.
        seed: The seed of the run.

    Raises:
        ConfigurationError: ``binarize`` is unknown, or the values to binarise are not bytes.
    """
    if binarize not in ("dynamic", "static", "none"):
        raise ConfigurationError(
            f"data.binarize must be dynamic, static or none, got {binarize!r}",
            hint="data.binarize=dynamic draws fresh bits at every visit",
        )
    if binarize == "none":
        return Values(stored, given, levels=levels)
    if stored.dtype != torch.uint8:
        raise ConfigurationError(
            f"data.binarize={binarize} needs grey levels stored as bytes, got {stored.dtype}",
            hint="data.binarize=none, or store bytes from 0 to 255",
        )
    if binarize == "dynamic" and number == _TRAIN:
        return DynamicBits(stored, given, levels=levels)
    key = (_STATIC_SEED, _STATIC) if binarize == "static" else (seed, _EVALUATION)
    return Values(fixed_bits(stored, levels, generator(*key, number)), given)
