"""A location-scale distribution in other units."""

from torch import Tensor
from torch.distributions import Distribution, Independent

from vi.errors import ConfigurationError


def affine(distribution: Distribution, loc: Tensor, scale: Tensor) -> Distribution:
    """The distribution of loc + scale * x, for x from a location-scale family.

    Raises:
        ConfigurationError: The distribution has no ``loc`` and ``scale``.

    >>> import torch
    >>> from torch.distributions import Normal
    >>> wide = affine(Normal(torch.tensor(1.0), 2.0), torch.tensor(5.0), torch.tensor(3.0))
    >>> wide.mean, wide.stddev
    (tensor(8.), tensor(6.))
    """
    if isinstance(distribution, Independent):
        base = affine(distribution.base_dist, loc, scale)
        return Independent(base, distribution.reinterpreted_batch_ndims)
    if not {"loc", "scale"} <= distribution.arg_constraints.keys():
        raise ConfigurationError(
            f"{type(distribution).__name__} is not a location-scale family, so data in other "
            "units cannot be standardised for it",
            hint="set model.standardize=false, or choose likelihood=gaussian_shared_scale",
        )
    parameters = {k: getattr(distribution, k) for k in distribution.arg_constraints}
    parameters["loc"] = loc + scale * parameters["loc"]
    parameters["scale"] = scale * parameters["scale"]
    return type(distribution)(**parameters, validate_args=False)
