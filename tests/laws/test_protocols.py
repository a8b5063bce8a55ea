"""Every optional attribute of a distribution is declared by a mixin."""

from collections.abc import Iterator

import torch
from torch.distributions import Distribution

from tests.laws.conftest import distribution_of
from vi.distributions.counts import LogRatePoisson
from vi.distributions.kl import closed_form_kl
from vi.distributions.normal import Normal, UnitNormal
from vi.distributions.protocols import (
    CostlyMean,
    Exposable,
    LogScaled,
    OnePass,
    Piecewise,
    StandIn,
)

OFFERS = {
    "rsample_and_density": OnePass,
    "rsample_and_log_prob": OnePass,
    "exposed": Exposable,
    "inside": CostlyMean,
    "discrete": StandIn,
    "piecewise": Piecewise,
}


def _within(p: Distribution) -> Iterator[Distribution]:
    """Return p and the distributions that it is made of."""
    yield p
    for part in vars(p).values():
        if isinstance(part, Distribution):
            yield from _within(part)


def _check(p: Distribution) -> None:
    for part in _within(p):
        for name, offer in OFFERS.items():
            assert hasattr(part, name) == isinstance(part, offer), (type(part), name)


def test_posteriors(make_posterior):
    """Posteriors declare all of them. Caught: an undeclared attribute, which no caller reads."""
    head = make_posterior(3)
    _check(head(head.starting_parameters(_zeros(head))))


def test_priors(make_prior):
    """Priors declare all of them."""
    _check(distribution_of(make_prior(3)))


def test_likelihoods(make_likelihood):
    """Likelihoods declare all of them."""
    head = make_likelihood()
    head.set_event_shape((4,))
    _check(head(_zeros(head)))


def test_a_known_logarithm_of_the_scale_is_used():
    """A stored log-scale is used where single precision has lost the scale. Caught: log 0."""
    log_scale = _scalar(-200.0)
    q = Normal(_scalar(0.0), log_scale.exp(), log_scale)
    assert isinstance(q, LogScaled)
    kl = closed_form_kl(q, UnitNormal(_scalar(0.0)))
    assert abs(kl.item() - 199.5) <= 1e-4
    assert not isinstance(LogRatePoisson(_scalar(0.0)), LogScaled)


def _zeros(head):
    return torch.zeros(2, *head.out_shape)


def _scalar(value):
    return torch.tensor(value, dtype=torch.float32)
