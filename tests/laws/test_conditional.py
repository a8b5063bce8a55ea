"""Heads: they read the parameters that they declare."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, constraints

from tests.laws.conftest import distribution_of
from vi.distributions.conditional import ConditionalDistribution


class Head(ConditionalDistribution):
    """Head with arbitrary parameter shapes that only splits."""

    support = constraints.real

    def __init__(self, shapes):
        super().__init__(shapes[0])
        self.shapes = shapes

    @property
    def param_shapes(self):
        return self.shapes

    def forward(self, params):
        return Independent(Normal(self.split(params)[0], 1.0), len(self.shapes[0]))


SHAPES = {
    "vector": [(4,)],
    "two vectors": [(4,), (4,)],
    "scalar and vector": [(), (4,)],
    "two scalars": [(), ()],
    "matrix": [(3, 5)],
    "vector and matrix": [(4,), (4, 4)],
    "image": [(3, 4, 5)],
    "two images": [(3, 4, 5), (3, 4, 5)],
    "images of other channels": [(3, 4, 5), (1, 4, 5), (2, 4, 5)],
    "images of other sizes": [(3, 4, 5), (3, 2, 2)],
    "image, vector, scalar": [(1, 4, 4), (7,), ()],
}


@pytest.mark.parametrize("batch", [(), (5,), (2, 3), (1, 1), (3, 4)], ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_split_undoes_the_joining(name, batch):
    """Parameters joined according to ``out_shape``, shaped or flat, are recovered bit for bit.

    Caught: parameters in another order; channels stacked along another axis.
    """
    shapes = [tuple(s) for s in SHAPES[name]]
    head = Head(shapes)
    parts = [torch.randn((*batch, *s)) for s in shapes]
    if len(head.out_shape) == 3:
        joined = torch.cat(parts, dim=-3)
        flat = joined.flatten(-3)
    else:
        joined = torch.cat([p.reshape(*batch, -1) for p in parts], dim=-1)
        flat = joined
    assert joined.shape == (*batch, *head.out_shape)
    for given in (joined, flat):
        for part, back in zip(parts, head.split(given), strict=True):
            assert torch.equal(part, back)


@pytest.mark.parametrize("name", SHAPES)
def test_out_shape_holds_every_parameter(name):
    head = Head([tuple(s) for s in SHAPES[name]])
    assert math.prod(head.out_shape) == sum(math.prod(s) for s in SHAPES[name])
    assert (len(head.out_shape) == 3) == (
        name in {"image", "two images", "images of other channels"}
    )


@pytest.mark.parametrize("event_shape", [(4,), (3, 5), (2, 4, 3), ()], ids=str)
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)], ids=str)
def test_likelihoods_of_any_event(make_likelihood, event_shape, batch):
    """batch_shape is that of the parameters and event_shape that of the data.

    Caught: an Independent over one axis for every event.
    """
    head = make_likelihood()
    head.set_event_shape(event_shape)
    p = head(torch.randn((*batch, *head.out_shape)))
    assert p.batch_shape == batch
    assert p.event_shape == event_shape
    x = p.sample()
    assert p.log_prob(x).shape == batch


def test_posteriors_have_the_event_of_the_latent(make_posterior, make_prior):
    q = make_posterior(3)(torch.randn(2, 5, *make_posterior(3).out_shape))
    assert (q.batch_shape, q.event_shape) == ((2, 5), (3,))
    p = distribution_of(make_prior(3))
    assert (p.batch_shape, p.event_shape) == ((), (3,))
