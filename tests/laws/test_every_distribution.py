"""Laws of every distribution that a head or a prior returns: it has a repr, and it broadcasts."""

from collections.abc import Iterator

import pytest
import torch
from torch.distributions import Distribution

import vi
from tests.laws.conftest import distribution_of
from tests.support.inference import q_at
from vi.diagnostics.mutual_information import mutual_information
from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.observed import Observed

K, B = 3, 4
# Leading axes of parameters and of values, and the part of (K, B) that they are.
AXES = {
    (): (0, 0),
    (1,): (0, slice(0, 1)),
    (B,): (0,),
    (K, 1): (slice(None), slice(0, 1)),
    (1, B): (slice(0, 1),),
    (K, B): (),
}


def _table() -> ConditionalDistribution:
    return vi.MixedTable([vi.Gaussian(), vi.Bernoulli(), vi.NegativeBinomial()])


def _ladder_posterior() -> ConditionalDistribution:
    parts = vi.MLP([5]), vi.MLP([5]), vi.SharedScaleGaussian()
    model = vi.Ladder((6,), *parts, latent_dims=[2, 1], width=4)

    class Head(ConditionalDistribution):
        support = torch.distributions.constraints.real
        param_shapes = ((8,),)  # pyright: ignore

        def forward(self, params: torch.Tensor) -> Distribution:
            return q_at(model, params)

    return Head((3,))


def _sized(head: ConditionalDistribution) -> ConditionalDistribution:
    if not head.event_shape:
        head.set_event_shape((3,))
    return head.eval()


def _named(p: Distribution) -> str:
    return str(p) + repr(p)


def _as_a_model_gives_them(p: Distribution) -> Iterator[Distribution]:
    """Return p itself, and if its entries are independent, p of some of them."""
    yield p
    if getattr(getattr(p, "base_dist", None), "event_shape", None) == ():
        yield Observed(p, torch.ones(p.event_shape, dtype=torch.bool))


@pytest.mark.parametrize("batch", [(), (1,), (B,), (K, B)])
def test_repr_of_a_posterior(make_posterior, batch):
    """Heads have a repr in training and in evaluation, which differ for relaxed ones."""
    for training in (True, False):
        head = make_posterior(3).train(training)
        assert _named(head(torch.randn(*batch, *head.out_shape)))


@pytest.mark.parametrize("batch", [(), (1,), (B,), (K, B)])
def test_repr_of_a_likelihood(make_likelihood, batch):
    """Likelihoods have a repr.

    Caught: a module in ``arg_constraints``, whose size torch asks for.
    """
    for head in (_sized(make_likelihood()), _table()):
        for p in _as_a_model_gives_them(head(torch.randn(*batch, *head.out_shape))):
            assert _named(p)


def test_repr_of_a_prior(make_prior):
    assert _named(distribution_of(make_prior(3)))


def test_repr_in_the_units_of_the_data(make_real_likelihood, small_vae):
    model = small_vae(likelihood=make_real_likelihood(), standardize=True)
    assert _named(model.likelihood(torch.randn(B, 2)))


def _broadcasts(head: ConditionalDistribution) -> None:
    """Check that log p broadcasts parameters and values as if both were repeated: 1e-10."""
    head = _sized(head)
    params = torch.randn(K, B, *head.out_shape)
    x = head(params).sample()
    for of_params, some in AXES.items():
        whole = head(params[some].expand(K, B, *head.out_shape))
        for of_x, part in AXES.items():
            log_p = head(params[some]).log_prob(x[part])
            assert log_p.shape == torch.broadcast_shapes(of_params, of_x), (of_params, of_x)
            expected = whole.log_prob(x[part].expand_as(x))
            assert (log_p - expected).abs().max() <= 1e-10, (of_params, of_x)


def test_the_density_of_a_posterior_broadcasts(make_posterior):
    """log q broadcasts.

    Caught: the layers of a chain, of which only the first has the axes of data.
    """
    _broadcasts(make_posterior(3))


def test_the_density_of_a_likelihood_broadcasts(make_likelihood):
    _broadcasts(make_likelihood())


@pytest.mark.parametrize("make", [_table, _ladder_posterior])
def test_the_density_of_what_no_yaml_names_alone_broadcasts(make):
    _broadcasts(make())


def test_the_density_of_a_prior_broadcasts(make_prior):
    p = distribution_of(make_prior(3))
    z = p.sample((K, B))
    whole = p.log_prob(z)
    for axes, part in AXES.items():
        log_p = p.log_prob(z[part])
        assert log_p.shape == axes
        assert (log_p - whole[part]).abs().max() <= 1e-10


def test_the_mixture_of_all_posteriors_of_a_chain(small_vae, data):
    """I_q(x; z) scores every z under the q of every datum. Caught: the same layers."""
    model = small_vae(posterior=vi.ChainPosterior([2, 1]), prior=vi.ChainPrior([2, 1]))
    assert 0 < mutual_information(model, data) < torch.tensor(50.0).log()
