"""Exact inference: q(z|x) is the posterior in closed form."""

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.prior import Prior
from vi.errors import ConfigurationError
from vi.inference.base import Generative, Inference


class Exact(Inference):
    """q(z|x) = p(z|x), in closed form, so that the ELBO equals log p(x).

    Raises:
        ConfigurationError: The model has no closed form of p(z|x).

    Reference: Dempster, Laird and Rubin, 1977, https://www.jstor.org/stable/2984875
    """

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """Check that the model has a closed-form posterior."""
        del prior
        if not model.knows_posterior:
            raise ConfigurationError(
                f"{type(model).__name__} has no exact p(z|x)",
                hint="inference=amortized; or an exact model, such as model=gmm or model=ppca",
            )

    def forward(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """Return p(z|x) for x (B, *event), batch_shape (B,)."""
        return model.exact_posterior(x, **given)
