"""The role of a model: p(x, z | given) and q(z | x, given)."""

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

# The methods of (x, **given) that look at x first, unless somebody has.
_READ_DATA = {
    "gap",
    "log_evidence",
    "log_joint",
    "log_joint_and_prior",
    "exact_posterior",
    "posterior",
    "statistics",
}


_OF_INFERENCE = ("encoder", "posterior")  # arguments of a model that makes its inference of them


class LatentVariableModel(Configurable, nn.Module, ABC):
    """A joint distribution of data x and latents z, and a part that infers z from x.

    An implementer writes ``prior`` and ``likelihood``, sets ``data_shape`` (the event shape of x)
    and ``inference``; or writes ``posterior`` instead. Comes for free: ``posterior``,
    ``log_joint``, ``sample``, ``encode``, ``reconstruct``.

    ``given`` holds whatever the model conditions on, by name (``context``: (B, C)); a model that
    conditions on nothing ignores it.
    """

    data_shape: Shape
    takes_missing = False
    """Whether it leaves out the entries of x where ``given["observed"]`` is False."""
    takes_doubles = False
    """Whether it reads data in double precision, so that they need not be cast before."""
    context_dim = 0
    """Width of ``given["context"]`` on which it conditions."""
    knows_posterior = False
    """Whether there is an ``exact_posterior``."""
    latent_dtype: torch.dtype | None = None
    """Of z, where it is not that of the networks."""
    layers_down: Sequence[int] = ()
    """The sizes of the layers of z, of a model that generates down through them."""
    inference: Inference
    """How q(z|x) is found."""

    def __init__(self) -> None:
        super().__init__()
        self.inference = Written()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in COUNTED.keys() & vars(cls).keys():
            setattr(cls, name, tallying(name, vars(cls)[name]))
        for name in _READ_DATA & vars(cls).keys():
            setattr(cls, name, admitting(vars(cls)[name]))
        if "initialize" in vars(cls):  # from data that were looked at, NaN where one is missing
            type.__setattr__(cls, "initialize", as_it_is()(cls.initialize))

    @abstractmethod
    def prior(self, **given: Tensor) -> Distribution:
        """p(z), with batch_shape () or (B,)."""

    @abstractmethod
    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """p(x|z) for z (K, B, *Z) or (B, *Z); its batch_shape is what precedes Z."""

    @admitting
    @partial(tallying, "posterior")
    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """q(z|x) for x (B, *event), with batch_shape (B,)."""
        return self.inference(self, x, **given)

    @admitting
    def log_joint(self, x: Tensor, z: Tensor, **given: Tensor) -> Tensor:
        """log p(x, z) = log p(x|z) + log p(z) in nats, (K, B) for z (K, B, *Z)."""
        return self.log_joint_and_prior(x, z, **given)[0]

    @admitting
    def log_joint_and_prior(self, x: Tensor, z: Tensor, **given: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x, z) and the log p(z) in it; a model with a faster way to both replaces this."""
        log_prior = self.prior(**given).log_prob(z)
        return self.likelihood(z, **given).log_prob(x) + log_prior, log_prior

    def log_evidence(self, x: Tensor, **given: Tensor) -> Tensor | None:
        """log p(x) in nats, (B,), of a model that has a closed form; None of any other."""
        del x, given

    def infer_with(self, inference: Inference | None) -> None:
        """Take another q(z|x), which is told of the data and the latents; None keeps the present.

        Raises:
            ConfigurationError: It lives on another space than p(z).
        """
        if inference is not None:
            inference.set_up(self, self.latent())
            vars(self)["arguments"] = self._told(inference)
            self.inference = inference
            claim(self)

    def with_inference(self, inference: Inference) -> "LatentVariableModel":
        """The same p(x, z), with the very same parameters, and another q(z|x)."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        vars(other)["_modules"] = {**self._modules, "inference": inference}
        vars(other)["arguments"] = self._told(inference)
        return other

    def _told(self, inference: Inference) -> dict[str, Any]:
        """The arguments that make this model with another inference."""
        said = self.arguments
        return {k: None if k in _OF_INFERENCE else v for k, v in said.items()} | {
            "inference": inference
        }

    def latent(self) -> Prior | Distribution:
        """What knows the shape and the support of z."""
        return self.prior()

    def encoder_input(
        self, x: Tensor, precision: torch.dtype, observed: Tensor | None = None
    ) -> Tensor:
        """What an encoder of this precision reads of x; what is not observed is 0 to it."""
        x = x.to(precision)
        return x if observed is None else x.where(observed, x.new_zeros(()))

    def generative_parameters(self) -> list[nn.Parameter]:
        """theta: all parameters but those of q(z|x); what an M-step moves."""
        phi = {id(p) for p in self.inference.own_parameters()}
        return [p for p in self.parameters() if id(p) not in phi]

    def networks(self) -> Iterator[nn.Module]:
        """The networks in it: what computes in the precision of the run, and may be compiled."""
        yield from self.inference.networks()

    def data_head(self) -> DataHead | None:
        """What knows which x are possible; None where any number is."""
        return None

    def network_entries(self) -> Tensor:
        """Which entries of x are real numbers that networks read: (*event), bool."""
        read = next(self.networks(), None) is not None
        return torch.full(self.data_shape, read)

    def calming(self) -> str:
        """What to do where networks cannot read numbers of that size; empty: it scales them."""
        return ""

    def exact(self) -> "ExactModel | None":
        """The model, if q(z|x) is its exact posterior: EM in closed form takes such a one."""
        return None

    def atlas(self) -> tuple[str, Tensor] | None:
        """Some z that show the whole model, and what to call them; None where none do."""
        return None

    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Told training data (N, *event), all or many, before the first step of a fresh run.

        What is missing is NaN; ``given`` are the rows of what the model conditions on.
        """

    @property
    def units(self) -> dict[str, list[float]]:
        """The map from what networks see to the data, x = loc + scale * seen, for ``config.json``.

        It is for readers: the model itself keeps it among its weights. Empty where there is none.
        """
        return {}

    @torch.no_grad()
    def sample(self, n: int, **given: Tensor) -> Tensor:
        """n draws x ~ p(x|z), z ~ p(z): (n, *event).

        Raises:
            ConfigurationError: n is no number of draws.
        """
        return self.likelihood(self._sample_prior(n, **given), **given).sample()

    @torch.no_grad()
    def sample_mean(self, n: int, **given: Tensor) -> Tensor:
        """n means E[x|z] with z ~ p(z): (n, *event); what is usually shown as samples.

        Raises:
            ConfigurationError: n is no number of means.
        """
        return self.likelihood(self._sample_prior(n, **given), **given).mean

    @admitting
    @torch.no_grad()
    def encode(self, x: Tensor, **given: Tensor) -> Tensor:
        """E_q[z] for each datum: (B, *Z)."""
        return self.posterior(x, **given).mean

    @admitting
    @torch.no_grad()
    def reconstruct(self, x: Tensor, **given: Tensor) -> Tensor:
        """E[x'|z] at z = E_q[z]: (B, *event)."""
        return self.likelihood(self.encode(x, **given), **given).mean

    def _sample_prior(self, n: int, **given: Tensor) -> Tensor:
        n = require_whole("n", n)
        p = self.prior(**given)
        return p.sample() if p.batch_shape else p.sample((n,))
