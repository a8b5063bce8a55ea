"""The base class of models: p(x, z | given) and q(z | x, given)."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.prior import Prior
from vi.errors import require_whole
from vi.evaluations import COUNTED, tallying
from vi.inference.base import Inference
from vi.inference.given import Written
from vi.inputs import admitting, as_it_is
from vi.math import Shape
from vi.networks.own import claim
from vi.options import Configurable
from vi.support import DataHead

if TYPE_CHECKING:
    from vi.models.exact import ExactModel

# The methods of (x, **given) that check x first, unless it has been checked already.
_READ_DATA = {
    "gap",
    "log_evidence",
    "log_joint",
    "log_joint_and_prior",
    "exact_posterior",
    "posterior",
    "statistics",
}


_OF_INFERENCE = ("encoder", "posterior")  # arguments from which a model builds its inference


class LatentVariableModel(Configurable, nn.Module, ABC):
    """A joint distribution p(x, z) of data x and latents z, with an inference q(z|x).

    An implementer writes ``prior`` and ``likelihood``, sets ``data_shape`` (the event shape of x),
    and sets ``inference`` or writes ``posterior`` instead. Comes for free: ``posterior``,
    ``log_joint``, ``sample``, ``encode``, ``reconstruct``.

    ``given`` contains the variables that the model conditions on, by name (``context``: (B, C)); a
    model that conditions on nothing ignores it.

    >>> from torch.distributions import Bernoulli, Independent, Uniform
    >>> class Coin(LatentVariableModel):
    ...     data_shape = (1,)
    ...
    ...     def prior(self, **given):
    ...         return Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)
    ...
    ...     def likelihood(self, z, **given):
    ...         return Independent(Bernoulli(z), 1)
    >>> Coin().sample(5).shape
    torch.Size([5, 1])
    """

    data_shape: Shape
    takes_missing = False
    """Whether the model omits the entries of x at which ``given["observed"]`` is False."""
    takes_doubles = False
    """Whether the model reads data in double precision, so that they are not cast before."""
    context_dim = 0
    """Width C of ``given["context"]`` (B, C); 0 if the model has no context."""
    knows_posterior = False
    """Whether the model has an ``exact_posterior``."""
    latent_dtype: torch.dtype | None = None
    """The floating-point type of z, if it differs from that of the networks."""
    layers_down: Sequence[int] = ()
    """The sizes of the layers of z, if the model generates x down through layers."""
    inference: Inference
    """The inference that computes q(z|x)."""

    def __init__(self) -> None:
        super().__init__()
        self.inference = Written()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in COUNTED.keys() & vars(cls).keys():
            setattr(cls, name, tallying(name, vars(cls)[name]))
        for name in _READ_DATA & vars(cls).keys():
            setattr(cls, name, admitting(vars(cls)[name]))
        if "initialize" in vars(cls):  # its data are checked already, with NaN where missing
            type.__setattr__(cls, "initialize", as_it_is()(cls.initialize))

    @abstractmethod
    def prior(self, **given: Tensor) -> Distribution:
        """Return p(z), with batch_shape () or (B,)."""

    @abstractmethod
    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """Return p(x|z) for z (K, B, *Z) or (B, *Z), with the shape before Z as batch_shape."""

    @admitting
    @partial(tallying, "posterior")
    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """Return q(z|x) for x (B, *event), with batch_shape (B,)."""
        return self.inference(self, x, **given)

    @admitting
    def log_joint(self, x: Tensor, z: Tensor, **given: Tensor) -> Tensor:
        """Return log p(x, z) = log p(x|z) + log p(z) in nats, (K, B) for z (K, B, *Z)."""
        return self.log_joint_and_prior(x, z, **given)[0]

    @admitting
    def log_joint_and_prior(self, x: Tensor, z: Tensor, **given: Tensor) -> tuple[Tensor, Tensor]:
        """Return log p(x, z) and its term log p(z), both in nats and (K, B) for z (K, B, *Z).

        A model with a faster way to compute both overrides this method.
        """
        log_prior = self.prior(**given).log_prob(z)
        return self.likelihood(z, **given).log_prob(x) + log_prior, log_prior

    def log_evidence(self, x: Tensor, **given: Tensor) -> Tensor | None:
        """Return log p(x) in nats, (B,), or None if the model has no closed form."""
        del x, given

    def infer_with(self, inference: Inference | None) -> None:
        """Replace q(z|x), after preparing ``inference`` for this x and z; None has no effect.

        Raises:
            ConfigurationError: The supports of q(z|x) and p(z) differ.
        """
        if inference is not None:
            inference.set_up(self, self.latent())
            vars(self)["arguments"] = self._told(inference)
            self.inference = inference
            claim(self)

    def with_inference(self, inference: Inference) -> "LatentVariableModel":
        """Return a model with the same p(x, z), sharing its parameters, and another q(z|x)."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        vars(other)["_modules"] = {**self._modules, "inference": inference}
        vars(other)["arguments"] = self._told(inference)
        return other

    def _told(self, inference: Inference) -> dict[str, Any]:
        """Return the constructor's arguments for this model with another inference."""
        said = self.arguments
        return {k: None if k in _OF_INFERENCE else v for k, v in said.items()} | {
            "inference": inference
        }

    def latent(self) -> Prior | Distribution:
        """Return p(z), which determines the shape and the support of z."""
        return self.prior()

    def encoder_input(
        self, x: Tensor, precision: torch.dtype, observed: Tensor | None = None
    ) -> Tensor:
        """Return the input of an encoder for x in this precision, with 0 at unobserved entries."""
        x = x.to(precision)
        return x if observed is None else x.where(observed, x.new_zeros(()))

    def generative_parameters(self) -> list[nn.Parameter]:
        """Return theta, the parameters that an M-step updates: all except those of q(z|x)."""
        phi = {id(p) for p in self.inference.own_parameters()}
        return [p for p in self.parameters() if id(p) not in phi]

    def networks(self) -> Iterator[nn.Module]:
        """Iterate over the networks, which compute in the precision of the run."""
        yield from self.inference.networks()

    def data_head(self) -> DataHead | None:
        """Return the object with the support of x, or None if every real number is allowed."""
        return None

    def network_entries(self) -> Tensor:
        """Return which entries of x are real numbers that networks read: (*event), bool."""
        read = next(self.networks(), None) is not None
        return torch.full(self.data_shape, read)

    def calming(self) -> str:
        """Return the hint for data too large for networks; empty if the model scales them."""
        return ""

    def exact(self) -> "ExactModel | None":
        """Return the model if q(z|x) is its exact posterior, as exact EM requires, or None."""
        return None

    def atlas(self) -> tuple[str, Tensor] | None:
        """Return a title and z (n, *Z) that together show the whole model, or None."""
        return None

    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Initialise from training data; called once before the first step of a new run.

        Args:
            x: All training data or many of them, (N, *event), with NaN at missing entries.
            **given: The variables that the model conditions on, with N rows each.
        """

    @property
    def units(self) -> dict[str, list[float]]:
        """The affine map from the inputs of networks to the data, x = loc + scale * input.

        It is written to ``config.json`` for readers; the model stores it among its weights. Empty
        if the model does not standardise its data.
        """
        return {}

    @torch.no_grad()
    def sample(self, n: int, **given: Tensor) -> Tensor:
        """Draw n data x ~ p(x|z) with z ~ p(z): (n, *event).

        Raises:
            ConfigurationError: ``n`` is not a positive whole number.
        """
        return self.likelihood(self._sample_prior(n, **given), **given).sample()

    @torch.no_grad()
    def sample_mean(self, n: int, **given: Tensor) -> Tensor:
        """Return n means E[x|z] with z ~ p(z): (n, *event). Figures usually show these as samples.

        Raises:
            ConfigurationError: ``n`` is not a positive whole number.
        """
        return self.likelihood(self._sample_prior(n, **given), **given).mean

    @admitting
    @torch.no_grad()
    def encode(self, x: Tensor, **given: Tensor) -> Tensor:
        """Return the posterior mean E_q[z] of each datum: (B, *Z)."""
        return self.posterior(x, **given).mean

    @admitting
    @torch.no_grad()
    def reconstruct(self, x: Tensor, **given: Tensor) -> Tensor:
        """Return E[x'|z] at the posterior mean z = E_q[z]: (B, *event)."""
        return self.likelihood(self.encode(x, **given), **given).mean

    def _sample_prior(self, n: int, **given: Tensor) -> Tensor:
        n = require_whole("n", n)
        p = self.prior(**given)
        return p.sample() if p.batch_shape else p.sample((n,))
