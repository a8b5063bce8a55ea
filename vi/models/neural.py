"""Models with networks: data before the encoder, and distributions after the decoder."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.affine import affine
from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.counts import exposed
from vi.distributions.observed import Observed
from vi.distributions.prior import Prior
from vi.inference.base import Inference
from vi.models.base import LatentVariableModel
from vi.networks.base import precision_of
from vi.networks.last_layer import scale_last_layer, shift_last_layer

# An entry is constant up to rounding if its standard deviation is below this many units of the
# last place of its size: it is centred, but not scaled.
_CONSTANT = 8
_CALM = 0.3  # standard deviations by which the decoder first moves the parameters of p(x|z)
_MOMENTS = 1 << 13  # number of data whose moments the decoder starts with
_PROBES, _PARAMETERS = 256, 1 << 22  # most data, and most numbers, that scale the last layers


class NeuralModel(LatentVariableModel):
    """A model whose p(x|z) is a head after a decoder network, and whose q(z|x) uses an encoder.

    An implementer sets ``likelihood_head``, ``decoder`` and ``inference``.

    Args:
        data_shape: Event shape of x.
        likelihood: The head that gives p(x|z).
        standardize: Whether the networks read (x - mean) / sd of the training data. p(x|z) is
            mapped back, so that log p(x|z) remains a density in the units of the data. Mean and sd
            are in double precision, and x is converted to the precision of the networks only after
            it is centred. Entries that are not real numbers, such as bits and counts, are not
            changed.
    """

    takes_missing = True
    likelihood_head: ConditionalDistribution
    decoder: nn.Module
    data_loc: Tensor
    data_scale: Tensor

    def __init__(
        self,
        data_shape: Sequence[int],
        likelihood: ConditionalDistribution,
        *,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.data_shape = tuple(data_shape)
        self.standardize = standardize
        likelihood.set_event_shape(self.data_shape)
        self.takes_doubles = standardize and bool(likelihood.real_entries.any())
        if standardize:
            self.register_buffer("data_loc", torch.zeros(self.data_shape, dtype=torch.float64))
            self.register_buffer("data_scale", torch.ones(self.data_shape, dtype=torch.float64))

    @property
    def encoder(self) -> nn.Module:
        """The encoder network of the inference, if it has one."""
        return self.inference.get_submodule("encoder")

    def encoder_input(
        self, x: Tensor, precision: torch.dtype, observed: Tensor | None = None
    ) -> Tensor:
        """Return the standardised x that an encoder reads, with 0 at unobserved entries."""
        x = (x - self.data_loc) / self.data_scale if self.takes_doubles else x
        x = self.likelihood_head.encoder_input(x.to(precision))
        return x if observed is None else x.where(observed, x.new_zeros(()))

    def networks(self) -> Iterator[nn.Module]:
        """Iterate over the networks of the inference, then over those of p(x, z)."""
        yield from self.inference.networks()
        for child in self.children():
            if not isinstance(child, Inference | ConditionalDistribution | Prior):
                parts = child if isinstance(child, nn.ModuleList) else [child]
                yield from (part for part in parts if next(part.parameters(), None) is not None)

    def data_head(self) -> ConditionalDistribution:
        """Return the head that gives p(x|z), which has the support of x."""
        return self.likelihood_head

    def network_entries(self) -> Tensor:
        """Return the entries that can be standardised: those that are real numbers."""
        return self.likelihood_head.real_entries

    def calming(self) -> str:
        """Return the hint to standardise, or an empty one if the data are standardised already."""
        fits = self.takes_doubles
        return "" if fits else "standardize=true centres and scales every column first"

    def likelihood_from(
        self, params: Tensor, observed: Tensor | None, exposure: Tensor | None
    ) -> Distribution:
        """Return p(x|z) from the output of the decoder.

        Args:
            params: Output of the decoder, (..., *out_shape) of the likelihood's head.
            observed: Which entries of x are observed, (B, *event); None for all.
            exposure: Factor of the rates of counts; None for 1.
        """
        p = self.likelihood_head(params)
        p = p if exposure is None else exposed(p, exposure)
        if self.takes_doubles:
            p = affine(p, self.data_loc, self.data_scale, params.dtype)
        return p if observed is None else Observed(p, observed)

    @property
    def units(self) -> dict[str, list[float]]:
        """The map x = loc + scale * input as flat lists; empty without standardisation."""
        if not self.takes_doubles:
            return {}
        return {
            "loc": self.data_loc.flatten().tolist(),
            "scale": self.data_scale.flatten().tolist(),
        }

    @torch.no_grad()
    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Store mean and sd of the data, and let the decoder start from independent entries.

        The bias of the decoder's last layer is set to the moments of the data. The weights of that
        layer are reduced where log p(x|z) is steep, so that the first reconstructions are about as
        probable.

        Args:
            x: Training data (N, *event), with NaN at missing entries.
            **given: The variables that the model conditions on, with N rows each.
        """
        if self.takes_doubles:
            self._standardize_by(x)
        rows = slice(None, None, -(-len(x) // _MOMENTS))
        x, given = x[rows], {k: v[rows] for k, v in given.items()}
        self._start_decoder(x, given.get("exposure"))

    def _standardize_by(self, x: Tensor) -> None:
        """Store the mean and sd of each entry; a constant or discrete entry has scale 1."""
        rounding = torch.finfo(x.dtype).eps
        n = (~x.isnan()).sum(0)
        mean = x.double().nanmean(0).nan_to_num()  # of a column without data
        mean = mean + (x - mean).nanmean(0).nan_to_num()  # what a sum of large numbers lost
        scale = ((x - mean).square().nansum(0) / (n - 1).clamp_min(1)).sqrt()
        varies = scale > _CONSTANT * rounding * x.nan_to_num().abs().amax(0)
        real = self.likelihood_head.real_entries.to(x.device)
        self.data_loc.copy_(mean.where(real, torch.zeros_like(mean)))
        self.data_scale.copy_(scale.where(real & varies, torch.ones_like(scale)))

    def _start_decoder(self, x: Tensor, exposure: Tensor | None) -> None:
        """Set the bias and the scale of the decoder's last layer from the data."""
        within = (x - self.data_loc) / self.data_scale if self.takes_doubles else x
        head = self.likelihood_head
        params = head.start_at(within.double(), exposure)
        if not params:
            return
        bias = torch.cat([p.flatten() for p in params]).to(precision_of(self.decoder))
        probes = max(1, min(_PROBES, _PARAMETERS // len(bias)))
        rows = slice(None, None, -(-len(x) // probes))
        steepness = self._steepness(bias, x[rows], None if exposure is None else exposure[rows])
        shift_last_layer(self.decoder, head.out_shape, bias)
        scale_last_layer(self.decoder, head.out_shape, _CALM / steepness.sqrt())

    def _steepness(self, bias: Tensor, x: Tensor, exposure: Tensor | None) -> Tensor:
        """Return the mean square of the derivative of log p(x) by each parameter, at ``bias``."""
        head = self.likelihood_head
        training = head.training
        head.eval()
        with torch.enable_grad():
            params = bias.expand(len(x), -1).clone().requires_grad_()
            known = ~x.isnan()
            observed = None if known.all() else known
            p = self.likelihood_from(params.view(len(x), *head.out_shape), observed, exposure)
            (slope,) = torch.autograd.grad(p.log_prob(x.nan_to_num()).sum(), params)
        head.train(training)
        return slope.square().mean(0)
