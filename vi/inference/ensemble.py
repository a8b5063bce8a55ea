"""An ensemble of encoders, whose outputs form one mixture q."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.distributions.stratified import StratifiedMixture
from vi.errors import ConfigurationError, require_positive
from vi.inference.amortized import bring_within_reach, some
from vi.inference.base import Generative
from vi.inference.headed import Headed
from vi.networks.base import NetworkFactory, conditioned, precision_of


class Ensemble(Headed):
    """q(z|x) = 1/M sum_m q(z; encoder_m(x)), a mixture of M encoders with one head.

    Several encoders can cover modes of p(z|x) that a single one misses. A bound takes K draws from
    each encoder (stratified sampling), and evaluates log q of the whole mixture. The KL has no
    closed form for M > 1. M = 1 is the same as ``Amortized``.

    Args:
        encoder: Makes each of the networks x -> lambda.
        posterior: The head that all encoders share.
        num_encoders: M.

    Raises:
        ConfigurationError: No encoders, or a finished one.

    Reference: Kviman, Molen, Hotti, Kurt, Elvira and Lagergren, 2023,
    https://arxiv.org/abs/2209.15514
    """

    def __init__(
        self, encoder: NetworkFactory, posterior: ConditionalDistribution, num_encoders: int = 4
    ) -> None:
        super().__init__(encoder, posterior)
        require_positive("num_encoders", num_encoders)
        self.num_encoders = num_encoders

    @property
    def passes(self) -> int:
        """M: every datum passes through every encoder."""
        return self.num_encoders

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """Check that q and p(z) have the same support and shape, and make the M encoders."""
        super().set_up(model, prior)
        if isinstance(self.recipe, nn.Module):
            raise ConfigurationError(
                f"an ensemble makes its encoders, and was given one {type(self.recipe).__name__}",
                hint="give what makes one: encoder=lambda in_shape, out_shape: MyModule()",
            )
        self.encoder = nn.ModuleList(self.made(model) for _ in range(self.num_encoders))

    def parameters_of(
        self,
        model: Generative,
        x: Tensor,
        context: Tensor | None = None,
        observed: Tensor | None = None,
        **given: Tensor,
    ) -> Tensor:
        """Return lambda_m(x) of every encoder, (B, M, *P)."""
        del given
        seen = model.encoder_input(x, precision_of(self.encoder), observed)
        said = [conditioned(one, seen, context, self.context_dim) for one in self._encoders()]
        return torch.stack(said, 1)

    def at(self, model: Generative, parameters: Tensor) -> Distribution:
        """Return the mixture of the M q's; for M = 1 the only q."""
        if parameters.shape[1] == 1:
            return super().at(model, parameters.squeeze(1))
        q = super().at(model, parameters)
        return StratifiedMixture(
            parameters.new_zeros(parameters.shape[:2], dtype=self.latent_dtype), q
        )

    def start(self, like: Tensor) -> Tensor:
        """Return the head's start for each encoder, (B, M, *P)."""
        return super().start(like.flatten(0, 1)).unflatten(0, like.shape[:2])

    @torch.no_grad()
    def initialize(self, model: Generative, x: Tensor, **given: Tensor) -> None:
        """Scale the last layer of each encoder so that its q starts close to p(z)."""
        x, given = some(x, given)
        said = self.parameters_of(model, x, observed=~x.isnan(), **given)
        for number, encoder in enumerate(self._encoders()):
            bring_within_reach(encoder, said[:, number], self.head.out_shape)

    def _encoders(self) -> Iterator[nn.Module]:
        yield from self.encoder.children()
