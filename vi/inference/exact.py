"""The true posterior, where the model knows it."""

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.prior import Prior
from vi.errors import ConfigurationError
from vi.inference.base import Generative, Inference


class Exact(Inference):
    """q(z|x) = p(z|x), in closed form.

    Raises:
        ConfigurationError: The model knows no p(z|x).

    Reference: Dempster, Laird and Rubin, 1977, https://www.jstor.org/stable/2984875
    """

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """See ``Inference``."""
        del prior
        if not model.knows_posterior:
            raise ConfigurationError(
                f"{type(model).__name__} knows no exact p(z|x)",
                hint="inference=amortized; or an exact model, such as model=gmm or model=ppca",
            )

    def forward(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """p(z|x)."""
        return model.exact_posterior(x, **given)
