"""Several encoders, whose answers are one q."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.distributions.stratified import StratifiedMixture
from vi.errors import require_positive
from vi.inference.amortized import bring_within_reach, some
from vi.inference.base import Generative
from vi.inference.headed import Headed
from vi.networks.base import NetworkFactory, conditioned, precision_of


class Ensemble(Headed):
    """q(z|x) = 1/M sum_m q(z; encoder_m(x)): what one encoder misses another may find.

    A bound takes its K draws from each of the encoders, so that none is left to chance, and log q
    of the whole. The KL has no closed form; with M = 1 all is as of one encoder.

    Args:
        encoder: Makes each of the networks before the posterior.
        posterior: The head that they share.
        num_encoders: M.

    Raises:
        ConfigurationError: No encoders.

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
        """See ``Inference``."""
        return self.num_encoders

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """See ``Inference``."""
        super().set_up(model, prior)
        self.encoder = nn.ModuleList(self.made(model) for _ in range(self.num_encoders))

    def parameters_of(
        self,
        model: Generative,
        x: Tensor,
        context: Tensor | None = None,
        observed: Tensor | None = None,
        **given: Tensor,
    ) -> Tensor:
        """What each encoder says of x, (B, M, *P)."""
        del given
        seen = model.encoder_input(x, precision_of(self.encoder), observed)
        said = [conditioned(one, seen, context, self.context_dim) for one in self._encoders()]
        return torch.stack(said, 1)

    def at(self, model: Generative, parameters: Tensor) -> Distribution:
        """The mixture of the q of all encoders; of one, its q."""
        if parameters.shape[1] == 1:
            return super().at(model, parameters.squeeze(1))
        q = super().at(model, parameters)
        return StratifiedMixture(
            parameters.new_zeros(parameters.shape[:2], dtype=self.latent_dtype), q
        )

    def start(self, like: Tensor) -> Tensor:
        """What the head says, for each encoder alike."""
        return super().start(like.flatten(0, 1)).unflatten(0, like.shape[:2])

    @torch.no_grad()
    def initialize(self, model: Generative, x: Tensor, **given: Tensor) -> None:
        """Start each encoder within reach of p(z), see ``Amortized``."""
        x, given = some(x, given)
        said = self.parameters_of(model, x, observed=~x.isnan(), **given)
        for number, encoder in enumerate(self._encoders()):
            bring_within_reach(encoder, said[:, number], self.head.out_shape)

    def _encoders(self) -> Iterator[nn.Module]:
        yield from self.encoder.children()
