"""The VampPrior: a mixture of posteriors at learned pseudo-inputs."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vi.distributions.mixture import FiniteMixture
from vi.distributions.prior import Prior
from vi.errors import ConfigurationError, DataError, require_positive
from vi.inputs import as_it_is

Posterior = Callable[..., Distribution]

_DIGITS = 0.01  # share of the mean absolute deviation of the data that rounding may move


class VampPrior(Prior):
    """VampPrior p(z) = sum_c w_c q(z|u_c) with learned pseudo-inputs u_c.

    With all the data as pseudo-inputs and equal weights it is the aggregate posterior, the prior
    that maximises the ELBO. The posterior is passed in at every call and belongs to the model. If
    the model conditions on a context, each pseudo-input has a learned pseudo-context.

    Args:
        data_shape: Event shape of x, and of u_c.
        latent_dim: Z, the number of latent dimensions.
        num_pseudo_inputs: C, the number of pseudo-inputs.
        context_dim: Width of the ``context`` on which the posterior conditions; 0 for none.
        learn_weights: Whether w is learned; else w_c = 1/C.
        from_data: Whether pseudo-inputs start at random training data and their contexts, with a
            missing entry at the mean of that entry; else at standard normal numbers.

    Raises:
        ConfigurationError: A number is not positive.

    Reference: Tomczak and Welling, 2018, https://arxiv.org/abs/1705.07120

    >>> from torch.distributions import Independent, Normal
    >>> prior = VampPrior(data_shape=(3,), latent_dim=3, num_pseudo_inputs=10)
    >>> p = prior(lambda x: Independent(Normal(x, 1.0), 1))
    >>> p.batch_shape, p.event_shape, p.sample((5,)).shape
    (torch.Size([]), torch.Size([3]), torch.Size([5, 3]))
    """

    renamed = {"num_components": "num_pseudo_inputs"}
    support = constraints.real
    logits: Tensor

    def __init__(
        self,
        data_shape: Sequence[int],
        latent_dim: int,
        num_pseudo_inputs: int,
        context_dim: int = 0,
        *,
        learn_weights: bool = False,
        from_data: bool = True,
    ) -> None:
        require_positive("latent_dim", latent_dim)
        require_positive("num_pseudo_inputs", num_pseudo_inputs)
        super().__init__((latent_dim,))
        self.from_data = from_data
        self.inputs = nn.Parameter(torch.randn(num_pseudo_inputs, *data_shape))
        if context_dim:
            self.contexts = nn.Parameter(torch.randn(num_pseudo_inputs, context_dim))
        if learn_weights:
            self.logits = nn.Parameter(torch.zeros(num_pseudo_inputs))
        else:
            self.register_buffer("logits", torch.zeros(num_pseudo_inputs), persistent=False)

    def forward(self, posterior: Posterior | None = None) -> Distribution:
        """Return the mixture with batch_shape () and event_shape (Z,).

        Args:
            posterior: Function (x, context=...) -> q(z|x) of the model.

        Raises:
            ConfigurationError: No posterior is given.
        """
        if posterior is None:
            raise ConfigurationError(
                "VampPrior is a mixture of posteriors q(z|u), but no posterior was given",
                hint="call it as a model does, prior(model.posterior)",
            )
        given = {"context": self.contexts} if hasattr(self, "contexts") else {}
        of_pseudo_inputs = as_it_is()(posterior)  # pseudo-inputs are not checked as data are
        return _Posteriors(self.logits, self.inputs, given, of_pseudo_inputs)

    @torch.no_grad()
    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Start the pseudo-inputs at random data and their contexts, if ``from_data`` is true.

        Args:
            x: Training data, (N, *event), NaN where an entry is missing.
            **given: ``context``, (N, context_dim), if the model has one.

        Raises:
            DataError: There are more pseudo-inputs than data, or the data differ by less than the
                precision of the pseudo-inputs.
        """
        if not self.from_data:
            return
        count = len(self.inputs)
        if count > len(x):
            raise DataError(
                f"{count} pseudo-inputs are more than the {len(x)} training data to start from",
                hint=f"prior.num_pseudo_inputs={len(x)} or less, or prior.from_data=false",
            )
        chosen = torch.randperm(len(x))[:count]
        items = x[chosen]
        self._require_digits(items, x)
        self.inputs.copy_(items.where(~items.isnan(), x.nanmean(0).nan_to_num()))
        if hasattr(self, "contexts") and "context" in given:
            self.contexts.copy_(given["context"][chosen])

    def _require_digits(self, items: Tensor, x: Tensor) -> None:
        """Reject data that the precision of the pseudo-inputs cannot represent."""
        if items.dtype == self.inputs.dtype:
            return
        spread = (x - x.nanmean(0)).abs().nanmean(0)
        lost = ((items.to(self.inputs.dtype) - items).abs() > _DIGITS * spread).flatten(1).any(0)
        if lost.any():
            raise DataError(
                f"pseudo-inputs of {self.inputs.dtype} cannot distinguish the data in entry "
                f"{int(lost.nonzero()[0])}",
                hint="subtract a constant from it, or choose another prior",
            )


class _Posteriors(FiniteMixture):
    """Mixture sum_c w_c q(z|u_c), whose draws evaluate q only at the chosen pseudo-inputs."""

    def __init__(
        self, logits: Tensor, inputs: Tensor, given: Mapping[str, Tensor], posterior: Posterior
    ) -> None:
        super().__init__(logits, posterior(inputs, **given))
        self.inputs, self.given, self.posterior = inputs, given, posterior

    def draw_from(self, index: Tensor) -> Tensor:
        """Draw one z from each of the given components (..): (.., Z)."""
        rows = index.flatten()
        given = {name: value[rows] for name, value in self.given.items()}
        z = self.posterior(self.inputs[rows], **given).sample()
        return z.reshape(*index.shape, *self.event_shape)
