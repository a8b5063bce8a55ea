"""What an audit says, and what it says where it cannot tell."""

import importlib
import pkgutil

import pytest
import torch
from torch.distributions import Distribution

import vi
from tests.auditing.cheats import CHEATS, stated
from tests.auditing.honest import HONEST, vae, with_data
from vi.auditing import checks
from vi.auditing.audit import audit, every_check
from vi.auditing.check import Check, Outcome, judged
from vi.auditing.checks.numbers import Numbers
from vi.auditing.checks.total_probability import TotalProbability
from vi.auditing.dependence import is_acyclic
from vi.auditing.ratios import balance
from vi.errors import ConfigurationError

SMALL = {"limit": 20, "evaluations": 20_000}


def test_every_check_has_a_cheat():
    """So that each is known to fail."""
    assert {check.title for check in every_check()} == {title for title, _ in CHEATS.values()}


def test_a_check_is_found_by_its_class():
    """Every module of the folder has one."""
    modules = {m.name for m in pkgutil.iter_modules(checks.__path__)}
    assert modules == {type(check).__module__.rpartition(".")[2] for check in every_check()}
    assert len({check.title for check in every_check()}) == len(every_check())
    assert all(importlib.import_module(type(c).__module__).__doc__ for c in every_check())


def test_nan_does_not_pass():
    assert judged(float("nan"), 1.0, "").outcome is Outcome.FAILED


def test_a_reviewer_can_add_a_check():
    class Never(Check):
        title, proves = "never", "that nothing passes"

        def __call__(self, subject):
            return judged(1.0, 0.0, f"{len(subject.split)} data")

    model, data = with_data(vae())
    found = audit(model, data, checks=[Never()])
    assert found.failed == ["never"]
    assert not found.passed
    assert found.sentence() == (
        "1 of 1 checks failed; do not compare its numbers: not proved that nothing passes"
    )
    assert "✗ never" in str(found)


def test_an_exact_model_is_answered_exactly():
    model, data = HONEST["model=ppca"]()
    found = audit(model, data, **SMALL)
    assert "every weight equals the exact p(x)" in found.verdicts["the exact log p(x)"].said


def test_states_that_are_too_many_are_said_with_the_proof_used_instead():
    model, data = with_data(vae(data_shape=(40,)))
    verdict = audit(model, data, **SMALL).verdicts["the total of p(x)"]
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "too many states to sum over; p(z) and p(x|z) are proved" in verdict.said


class _Silent(Distribution):
    """Draws without a density."""

    arg_constraints = {}

    def __init__(self, p):
        super().__init__(p.batch_shape, p.event_shape, validate_args=False)
        self.p = p

    def sample(self, sample_shape=()):
        return self.p.sample(torch.Size(sample_shape))

    def log_prob(self, value):
        raise ConfigurationError("this q has no density", hint="none")


class _WithoutDensity(vi.VAE):
    def posterior(self, x, **given):
        return _Silent(super().posterior(x, **given))


def test_a_q_without_a_density_is_no_reason_to_accuse():
    """The checks that need one say that they do not apply; a relaxed q is audited discrete."""
    model, data = HONEST["posterior=gumbel_softmax"]()
    assert audit(model, data, **SMALL).passed
    model, data = with_data(vae())
    model.__class__ = _WithoutDensity
    found = audit(model, data, **SMALL)
    assert not found.failed
    verdict = found.verdicts["draws of these densities"]
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "has no density" in verdict.said


def test_the_model_is_left_as_it_was():
    model, data = with_data(vae())
    model.train()
    before = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    audit(model, data, **SMALL)
    assert model.training
    assert torch.equal(before[0], torch.get_rng_state())
    assert all(torch.equal(v, before[1][k]) for k, v in model.state_dict().items())


def test_two_audits_say_the_same():
    model, data = with_data(vae())
    one, other = (audit(model, data, **SMALL) for _ in range(2))
    assert str(one) == str(other)


@pytest.mark.parametrize("name", ["limit", "evaluations"])
def test_no_data_prove_nothing(name):
    model, data = with_data(vae())
    with pytest.raises(ConfigurationError, match=name):
        audit(model, data, **{name: 0})


def test_stated_numbers_come_out_again_from_some_of_the_data():
    """At a tenth of the evaluations, too."""
    model, data = with_data(vae())
    claim = stated(model, data)
    for evaluations in (100_000, 400):
        found = audit(model, data, claims=[claim], evaluations=evaluations, checks=[Numbers()])
        assert found.passed, str(found)


def test_cycles_are_seen():
    order = torch.tensor([[1, 0, 1], [1, 1, 1], [0, 0, 1]]).bool()
    assert is_acyclic(order)
    order[2, 1] = True
    assert not is_acyclic(order)


def test_balance_is_zero_for_the_density_of_the_draws_alone():
    """|t| ≤ 5 for a mixture of far modes, above 10 for a temperature of .8; 20 000 draws."""
    torch.manual_seed(0)
    mix = torch.distributions.Categorical(torch.tensor([0.3, 0.7]))
    modes = torch.distributions.Normal(torch.tensor([-20.0, 20.0]), torch.tensor([0.1, 2.0]))
    p = torch.distributions.MixtureSameFamily(mix, modes)
    z = p.sample((20_000,))
    normal = torch.distributions.Normal(0.0, 1.0)
    assert balance(p, None, z, step=0.05).sigmas <= 5
    assert balance(normal, None, normal.sample((20_000,))).sigmas <= 5
    assert balance(normal, None, 0.8 * normal.sample((20_000,))).sigmas > 10


def test_sixteen_bits_are_summed_over_all_their_states():
    """2^16 states, K = 16: 5 s.e., seed 0."""
    model, data = with_data(vae(data_shape=(16,), latent_dim=5))
    found = audit(model, data, checks=[TotalProbability()])
    assert found.passed
    assert "over 65536 x, K = 16" in found.verdicts["the total of p(x)"].said
