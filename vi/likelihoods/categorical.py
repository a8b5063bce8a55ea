"""The likelihood of data with C values per entry."""

from torch import Tensor
from torch.distributions import Distribution, Independent

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.constraints import Grid
from vi.distributions.grid_categorical import GridCategorical
from vi.distributions.moments import counts_of
from vi.distributions.stacked import restacked, stacked, unstacked
from vi.errors import require_positive
from vi.math import Shape


class Categorical(ConditionalDistribution):
    """Independent categories p(x|z) = prod_d softmax(l_d(z))_(k_d) with x_d = k_d / levels.

    The decoder outputs C logits l per entry.

    Args:
        num_categories: C, at least 2; k is 0 .. C - 1.
        levels: Steps of the data between 0 and 1: 255 for bytes, 1 for integers.

    Raises:
        ConfigurationError: ``num_categories`` is below 2, or ``levels`` is not positive.

    >>> import torch
    >>> likelihood = Categorical(num_categories=5)
    >>> likelihood.set_event_shape((2,))
    >>> likelihood(torch.zeros(10)).log_prob(torch.tensor([0.0, 4.0]))
    tensor(-3.2189)
    """

    def __init__(self, num_categories: int, levels: int = 1) -> None:
        require_positive("num_categories", num_categories, least=1)
        require_positive("levels", levels)
        super().__init__()
        self.num_categories, self.levels = num_categories, levels
        self.support = Grid(num_categories, levels)
        numbers = "the integers" if levels == 1 else f"k/{levels} with k in"
        self.needs = f"{numbers} 0 .. {num_categories - 1}"

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of the logits of all categories, stacked along the first axis of x."""
        return (stacked(self.num_categories, self.event_shape),)

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from the logits (*batch, *out_shape)."""
        (logits,) = self.split(params)
        logits = unstacked(logits, self.num_categories, self.event_shape)
        return Independent(GridCategorical(logits, self.levels), len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the centred logarithms of how often each entry takes each value, plus 1 / C."""
        counts = counts_of(x * self.levels, self.num_categories).to(x)
        logits = (counts + 1 / self.num_categories).log()
        return (restacked(logits - logits.mean(-1, keepdim=True)),)
