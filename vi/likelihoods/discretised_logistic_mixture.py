"""The likelihood of grey levels and colours: a mixture of logistics rounded to a grid."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.nn.functional import softplus

from vi.distributions.binned_logistic import BinnedLogistic
from vi.distributions.channels import ChannelsFirst, LinkedChannels
from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.constraints import Grid
from vi.distributions.mixture import FiniteMixture
from vi.distributions.moments import before_softplus, mean_of, variance_of
from vi.distributions.stacked import restacked, stacked, unstacked
from vi.errors import require_positive
from vi.math import Shape


class DiscretisedLogisticMixture(ConditionalDistribution):
    """Mixture of discretised logistics for data on the grid 0, 1/levels, .., 1.

        p(x_d|z) = sum_c w_c P(logistic variable c, rounded to the grid, equals x_d)

    In images with three channels (3, H, W) a pixel chooses one component for all its channels, and
    the locations of green and blue depend on the channels before them (``LinkedChannels``).

    loc_c is (c + 1/2) / C + output of the decoder, so that the components start apart; scale_c is
    floor / levels + softplus(output of the decoder).

    Args:
        num_components: C.
        levels: Steps of the data between 0 and 1; 255 for bytes.
        floor: Lower limit of the scale, as a fraction of the width of a bin.

    Raises:
        ConfigurationError: A number is not positive.

    Reference: Salimans, Karpathy, Chen and Kingma, 2017, https://arxiv.org/abs/1701.05517

    >>> likelihood = DiscretisedLogisticMixture(num_components=5)
    >>> likelihood.set_event_shape((3, 8, 8))
    >>> likelihood.out_shape, likelihood(torch.zeros(2, 50, 8, 8)).event_shape
    ((50, 8, 8), torch.Size([3, 8, 8]))
    """

    def __init__(self, num_components: int = 5, levels: int = 255, floor: float = 0.1) -> None:
        require_positive("num_components", num_components)
        require_positive("levels", levels)
        require_positive("floor", floor)
        super().__init__()
        self.num_components, self.levels, self.floor = num_components, levels, floor
        self.support = Grid(levels + 1, levels)
        self.needs = f"k/{levels} with k in 0 .. {levels}"

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the logits of w, the raw locations and scales, and for colours the links."""
        whole = stacked(self.num_components, self.event_shape)
        if not self._coloured:
            return (whole, whole, whole)
        return (stacked(self.num_components, (1, *self.event_shape[1:])), whole, whole, whole)

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from parameters (*batch, *out_shape)."""
        logits, *others = self.split(params)
        loc, raw_scale, *links = map(self._each, others)
        number = torch.arange(self.num_components, dtype=loc.dtype, device=loc.device)
        loc = loc + (number + 0.5) / self.num_components
        scale = self.floor / self.levels + softplus(raw_scale)
        if links:
            return self._colours(logits, loc, scale, links[0].tanh())
        entries = BinnedLogistic(loc, scale, self.levels)
        return Independent(FiniteMixture(self._each(logits), entries), len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return one component for each of C equal parts of [0, 1].

        Its weight, location and scale come from the data in that part.
        """
        num = self.num_components
        part = (x * num).floor().clamp_max(num - 1)
        within = [x.where(part == c, torch.nan) for c in range(num)]
        counts = torch.stack([(part == c).sum(0) for c in range(num)], -1).to(x)
        centres = (torch.arange(num).to(x) + 0.5) / num
        counted = counts > 0
        loc = torch.stack([mean_of(w) for w in within], -1).where(counted, centres) - centres
        deviation = torch.stack([variance_of(w).sqrt() for w in within], -1)
        scale = deviation.where(counted, 1 / (num * 12**0.5)) * 3**0.5 / math.pi
        raw_scale = before_softplus(scale, self.floor / self.levels)
        if self._coloured:
            counts = counts.mean(0, keepdim=True)
        params = [restacked((counts + 0.5).log()), restacked(loc), restacked(raw_scale)]
        return (*params, torch.zeros_like(params[1])) if self._coloured else tuple(params)

    def _colours(self, logits: Tensor, loc: Tensor, scale: Tensor, links: Tensor) -> Distribution:
        """Build the distribution of colour images.

        Args:
            logits: (*batch, C, H, W).
            loc: (*batch, 3, H, W, C), and so ``scale`` and ``links``.
            scale: Positive scales.
            links: Coefficients in [-1, 1] of the channels before.
        """
        loc, scale, links = (t.movedim(-4, -1) for t in (loc, scale, links))
        pixels = LinkedChannels(loc, scale, links, self.levels)
        return ChannelsFirst(Independent(FiniteMixture(logits.movedim(-3, -1), pixels), 2))

    @property
    def _coloured(self) -> bool:
        return len(self.event_shape) == 3 and self.event_shape[0] == 3

    def _each(self, params: Tensor) -> Tensor:
        """Separate the components: (*batch, *stacked) -> (*batch, *event, C)."""
        return unstacked(params, self.num_components, self.event_shape)
