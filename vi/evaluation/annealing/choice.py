"""Which transition moves a latent, and whether its q can be refined."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.constraints import Constraint

from vi.distributions.draw import draw
from vi.distributions.prior import Prior
from vi.errors import ConfigurationError
from vi.evaluation.annealing.hamiltonian import Hamiltonian
from vi.evaluation.annealing.one_variable import FlippedBit, OtherCategory
from vi.evaluation.annealing.transition import Path, Transition
from vi.inference.base import Parametric
from vi.inference.refined import Refined
from vi.models.base import LatentVariableModel
from vi.refinement.base import Refinement


def transition(
    path: Path, latent: Prior | Distribution, q: Distribution, num_steps: int
) -> Transition:
    """Return the transition for z with the support and shape of p(z).

    Args:
        path: Of densities.
        latent: p(z); unlike some q, it declares its support.
        q: Where chains start, batch_shape (B,); Hamiltonian Monte Carlo takes its scale.
        num_steps: Evaluations of a move.

    Raises:
        ConfigurationError: z is neither a real vector nor discrete.
    """
    make = _maker(latent)
    if make is None:
        raise ConfigurationError(
            immovable(latent), hint="evaluation=importance_sampling takes any z"
        )
    return make(path, q, num_steps)


def immovable(latent: Prior | Distribution) -> str:
    """Return why annealing cannot move z; empty if it can."""
    if _maker(latent) is not None:
        return ""
    name, support = type(latent).__name__, _support_of_entries(latent)
    return (
        "annealed importance sampling moves real vectors, bits and one-hot variables, and "
        f"{name} gives others (support {support})"
    )


def refined(model: LatentVariableModel, refinement: Refinement | None) -> LatentVariableModel:
    """Return the model with a refined q(z|x); the model itself if q cannot be refined.

    A q without variational parameters, or of a discrete z, has no gradient to follow.
    """
    if refinement is None or not is_refinable(model):
        return model
    return model.with_inference(Refined(model.inference, refinement))


def is_refinable(model: LatentVariableModel) -> bool:
    """Return whether gradient steps can move q(z|x)."""
    support = _support_of_entries(model.latent())
    discrete = support is not None and support.is_discrete
    return isinstance(model.inference, Parametric) and not discrete


def spread_of(q: Distribution) -> Float[Tensor, "B Z"]:
    """A standard deviation of every dimension of z: that of q, or of draws where q has none."""
    try:
        return q.stddev.detach()
    except NotImplementedError:
        return draw(q, 256).z.detach().std(0)


def _maker(
    latent: Prior | Distribution,
) -> Callable[[Path, Distribution, int], Transition] | None:
    support, shape = _support_of_entries(latent), latent.event_shape
    if support is constraints.real and len(shape) == 1:
        return _hamiltonian
    if support is constraints.boolean and len(shape) == 1:
        return _flipped
    if support is constraints.one_hot and len(shape) <= 2 and shape[-1] > 1:
        return _other
    return None


def _hamiltonian(path: Path, q: Distribution, num_steps: int) -> Transition:
    return Hamiltonian(path, num_steps, spread_of(q))


def _flipped(path: Path, q: Distribution, num_steps: int) -> Transition:
    return FlippedBit(path, num_steps, q.event_shape[0])


def _other(path: Path, q: Distribution, num_steps: int) -> Transition:
    return OtherCategory(path, num_steps, q.event_shape[:-1].numel())


def _support_of_entries(latent: Prior | Distribution) -> Constraint | None:
    """The support of an entry of z; None if it is not declared."""
    try:
        support = latent.support
    except NotImplementedError:
        return None
    return getattr(support, "base_constraint", support)
