"""What a measured inference gap advises: which options would win how many nats."""

from collections.abc import Iterator, Mapping

from vi.evaluation.tightness import ERRORS, Gap, gap
from vi.inference.amortized import Amortized
from vi.inference.base import Inference
from vi.inference.ensemble import Ensemble
from vi.inference.exact import Exact
from vi.inference.headed import Headed
from vi.inference.iterative import Iterative
from vi.inference.ladder import LadderInference
from vi.inference.per_datum import PerDatum
from vi.inference.refined import Refined
from vi.models.base import LatentVariableModel
from vi.networks.gated_mlp import GatedMLP
from vi.networks.images import ImageEncoder
from vi.networks.mlp import MLP
from vi.posteriors.chain import ChainPosterior
from vi.posteriors.diagonal_gaussian import DiagonalGaussian
from vi.posteriors.diagonal_laplace import DiagonalLaplace
from vi.posteriors.flow import FlowPosterior
from vi.posteriors.full_gaussian import FullGaussian
from vi.posteriors.gaussian_mixture import GaussianMixturePosterior
from vi.posteriors.low_rank_gaussian import LowRankGaussian

_FLOW = "posterior=flow posterior.flow=coupling"
_RICHER = {
    DiagonalGaussian: ["posterior=full_gaussian", _FLOW],
    DiagonalLaplace: ["posterior=full_gaussian", _FLOW],
    LowRankGaussian: ["a larger posterior.rank", "posterior=full_gaussian", _FLOW],
    FullGaussian: [_FLOW, "posterior=gaussian_mixture"],
    GaussianMixturePosterior: ["a larger posterior.num_components", _FLOW],
    FlowPosterior: ["more layers (posterior.flow.num_transforms)", "posterior=gaussian_mixture"],
    ChainPosterior: ["wider networks between the layers (posterior.hidden)"],
}
"""Options of a richer family than that of a head."""

_LARGER = {MLP: "encoder.hidden", GatedMLP: "encoder.hidden", ImageEncoder: "encoder.channels"}


def advice(model: LatentVariableModel, numbers: Mapping[str, float]) -> list[str]:
    """Return sentences on which part of the gap log p(x) - ELBO is whose, and what would win it.

    Only options that this model can take are named.

    Args:
        model: Its inference and its family of q decide which options remain.
        numbers: ``amortization_gap`` and ``approximation_gap`` in nats per datum, with ``_se`` and
            ``_data_se`` where they are known; ``log_likelihood_lower`` where log p(x) is reliable.

    >>> import vi
    >>> parts = vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli()
    >>> model = vi.VAE((6,), vi.MLP([8]), vi.MLP([8]), *parts)
    >>> numbers = {"amortization_gap": 1.3, "approximation_gap": 0.3, "log_likelihood_lower": -9.0}
    >>> for sentence in advice(model, numbers):
    ...     print(sentence.partition(":")[0])
    the gap log p(x) - ELBO is 1.600 ± 0.000 nats
    81 % of the gap is amortization
    19 % of the gap is approximation
    """
    if isinstance(model.inference, Exact):
        return ["q(z|x) is the exact posterior: there is no gap to close"]
    amortization, approximation = (
        gap(name, numbers) for name in ("amortization_gap", "approximation_gap")
    )
    known = "log_likelihood_lower" in numbers
    total = Gap(amortization.value + approximation.value, amortization.error + approximation.error)
    if amortization.value < -ERRORS * amortization.error:
        return [
            f"the refined q is worse than the encoder's by {-amortization.value:.3f} nats: the "
            "refinement has not converged, and the parts of the gap mean nothing (a larger "
            "evaluation.refinement.num_steps, a smaller evaluation.refinement.lr)"
        ]
    if not total.is_seen:
        return [_unseen(total, known=known)]
    return [
        f"the gap log p(x) - ELBO is {'' if known else '≥ '}{total} nats"
        + ("" if known else ": log p(x) is only a lower bound"),
        _of_amortization(model, amortization, total, known=known),
        _of_approximation(model, approximation, total, known=known),
    ]


def _unseen(total: Gap, *, known: bool) -> str:
    said = f"the gap log p(x) - ELBO is below its error ({total} nats)"
    if known:
        return f"{said}: q(z|x) cannot be told from the posterior"
    return f"{said}, but log p(x) is only a lower bound: a gap may be hidden"


def _of_amortization(model: LatentVariableModel, part: Gap, total: Gap, *, known: bool) -> str:
    if not part.is_seen:
        return (
            f"amortization is below its error ({part} nats): a better encoder would win nothing "
            "that can be measured"
        )
    return (
        f"{'' if known else 'at most '}{_share(part, total)} of the gap is amortization: "
        f"{_listed(better_encoders(model))} would win up to {part.value:.2g} nats"
    )


def _of_approximation(model: LatentVariableModel, part: Gap, total: Gap, *, known: bool) -> str:
    if not part.is_seen:
        hidden = "" if known else ", but log p(x) is only a lower bound"
        return f"approximation is below its error ({part} nats){hidden}"
    won = f"would win up to {part.value:.2g} nats{'' if known else ' or more'}"
    return (
        f"{'' if known else 'at least '}{_share(part, total)} of the gap is approximation: "
        f"{_listed(richer_families(model))} {won}"
    )


def _share(part: Gap, whole: Gap) -> str:
    return f"{min(1.0, max(0.0, part.value / whole.value)):.0%}".replace("%", " %")


def _listed(ways: list[str]) -> str:
    """Return the ways as one phrase.

    >>> _listed(["a", "b", "c"]), _listed(["a"])
    ('a, b or c', 'a')
    """
    *first, last = ways
    return f"{', '.join(first)} or {last}" if first else last


def better_encoders(model: LatentVariableModel) -> list[str]:
    """Return options under which q(z|x) comes closer to the best one of each datum."""
    inference: Inference = model.inference
    if model.knows_posterior:
        return ["inference=exact"]
    if isinstance(inference, PerDatum):
        return ["more steps for unseen data (inference.factor, or fit_factor of scheme=svi)"]
    if isinstance(inference, Refined):
        return ["more steps of its refinement (refinement.num_steps)"]
    if isinstance(inference, Iterative):
        return ["more steps (inference.num_steps)", "a larger network (encoder.hidden)"]
    return [*_trained_better(inference)]


def _trained_better(inference: Inference) -> Iterator[str]:
    recipe = inference.recipe if isinstance(inference, Headed | LadderInference) else None
    option = next((name for kind, name in _LARGER.items() if isinstance(recipe, kind)), None)
    yield "a larger encoder" if option is None else f"a larger encoder ({option})"
    yield "more encoder steps (scheme=aggressive)"
    if isinstance(inference, Amortized) and isinstance(recipe, MLP | GatedMLP):
        yield "inference=iterative"
    yield "scheme=semi_amortised"


def richer_families(model: LatentVariableModel) -> list[str]:
    """Return options under which the family of q has better members."""
    inference: Inference = model.inference
    while isinstance(inference, Refined):
        inference = inference.inference
    if model.knows_posterior:
        return ["inference=exact"]
    if isinstance(inference, LadderInference):
        return ["more layers of z (model.latent_dims)"]
    head = inference.head if isinstance(inference, Headed) else None
    ways = next((ways for kind, ways in _RICHER.items() if isinstance(head, kind)), [])
    mixed = {Amortized: "inference=ensemble", Ensemble: "more encoders (inference.num_encoders)"}
    ways = [*ways, *(way for kind, way in mixed.items() if isinstance(inference, kind))]
    return ways or ["a richer family of q"]
