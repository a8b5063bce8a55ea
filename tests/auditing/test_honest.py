"""No honest model is accused, whatever it is made of."""

import pytest
import torch

import vi
from tests.auditing.cheats import masked
from tests.auditing.honest import HONEST, vae, with_data
from vi.auditing.audit import audit
from vi.auditing.check import Outcome

QUICK = [
    "posterior=gaussian_mixture",
    "prior=categorical",
    "likelihood=negative_binomial",
    "model=gmm",
    "ladder",
    "conditional",
    "missing",
    "one dimension",
]
"""Of every kind one; the others are slow tests."""
_SLOW = [pytest.param(n, marks=pytest.mark.slow) for n in HONEST if n not in QUICK]


@pytest.mark.parametrize("name", [*QUICK, *_SLOW])
def test_no_honest_model_is_accused(name):
    """Every option of posterior, prior, likelihood and flow, exact models, networks, inferences.

    Some ten statistics each, at 4 or 5 standard errors, from seed 0. Caught: the standard
    deviation of counts with heavy tails as a change of scale.
    """
    torch.manual_seed(0)
    model, data = HONEST[name]()
    found = audit(model, data, limit=30, evaluations=100_000)
    assert found.passed, str(found)


def test_an_honest_mask_has_no_cycle():
    torch.manual_seed(0)
    model, data = masked(-1)
    found = audit(model, data, limit=30, evaluations=100_000)
    assert found.passed, str(found)
    assert found.verdicts["causality"].outcome is Outcome.PASSED


def test_a_trained_model_is_not_accused():
    """A sharp q on sharp p(x|z), where importance sampling has heavy tails."""
    torch.manual_seed(0)
    _, data = with_data(vae())
    model = vae()
    adam = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(200):
        adam.zero_grad()
        (-vi.ELBO()(model, data.train.stored).surrogate.mean()).backward()
        adam.step()
    found = audit(model, data, limit=30, evaluations=100_000)
    assert found.passed, str(found)
