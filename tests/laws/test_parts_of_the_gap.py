"""Both parts of log p(x) - ELBO in closed form, what their errors are, and what they advise."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

import vi
from tests.laws.test_inference_gaps import CLIMB, ppca
from tests.support.oracles import SigmaPoints
from vi.distributions.kl import closed_form_kl
from vi.errors import ConfigurationError, NumericsError
from vi.evaluation.gap_advice import advice, better_encoders, richer_families
from vi.evaluation.inference_gaps import InferenceGaps


class SigmaDiagonal(vi.DiagonalGaussian):
    """With draws that are sigma points: every ELBO is exact where all is linear and Gaussian."""

    def forward(self, params):
        q = super().forward(params).base_dist
        return SigmaPoints(q.loc, scale_tril=torch.diag_embed(q.scale))


class Unknown(vi.PPCA):
    """PPCA that does not tell log p(x), so that it has to be estimated."""

    def log_evidence(self, x, **given):
        del x, given


def closed_form(model, x):
    """The approximation gap, the same for every x, and the amortization gap of each datum."""
    posterior = model.exact_posterior(x)
    precision = posterior.precision_matrix[0]
    approximation = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    best = MultivariateNormal(posterior.loc, torch.diag(1 / precision.diagonal()))
    assert (closed_form_kl(best, posterior) - approximation).abs().max() <= 1e-12
    return approximation, closed_form_kl(model.posterior(x), posterior) - approximation


def light():
    """PPCA whose weights of the best diagonal q have a variance."""
    model = ppca(vi.DiagonalGaussian(2))
    with torch.no_grad():
        model.weight.mul_(0.6)
    return model


def unknown(model):
    other = Unknown((5,), 2)
    other.load_state_dict(model.state_dict(), strict=False)
    other.inference = model.inference
    return other


def test_every_part_of_the_gap_equals_its_closed_form():
    """Sigma points: log p(x), 1/2 (sum log L_dd - log det L) and the rest, each to 1e-8 nats.

    Caught: a refinement of the mean alone; log p(x) of q instead of p(x); the gaps exchanged.
    """
    model = ppca(SigmaDiagonal(2))
    x = model.sample(16)
    approximation, amortization = closed_form(model, x)
    found = InferenceGaps(CLIMB, num_samples=4, num_draws=4)(model, x)
    assert approximation >= 0.05
    assert amortization.min() >= 0.1
    assert (found["log_likelihood"] - model.log_evidence(x)).abs().max() <= 1e-8
    assert (found["approximation_gap"] - approximation).abs().max() <= 1e-8
    assert (found["amortization_gap"] - amortization).abs().max() <= 1e-8
    assert found["pareto_k"].max() == -math.inf
    assert found["standard_error"].max() == 0


class Found(vi.Refinement):
    """Jumps to the best diagonal q of a linear Gaussian model, so that only draws are random."""

    def __init__(self, model, x):
        super().__init__(1)
        posterior = model.exact_posterior(x)
        scale = posterior.precision_matrix.diagonal(dim1=-2, dim2=-1).rsqrt()
        self.best = torch.cat([posterior.loc, scale.log()], -1).detach()

    def ascend(self, gradient, parameters, num_steps):
        return self.best[: len(parameters)].to(parameters)


def test_draws_agree_with_the_closed_form_within_the_error_that_they_state():
    """10 data, 40 000 draws: the means within 4 of their s.e., of the first gap at most 1e-3.

    Fails for one seed in 8 000. Caught: the error over data instead of that of the draws.
    """
    exact = light()
    x, model = exact.sample(10), unknown(exact)
    approximation, amortization = closed_form(exact, x)
    evaluation = InferenceGaps(Found(exact, x), num_samples=40_000)
    columns = evaluation(model, x)
    numbers = evaluation.summarize(columns)
    truth = {"approximation_gap": approximation, "amortization_gap": amortization.mean()}
    for name, value in truth.items():
        assert abs(numbers[name] - value) <= 4 * numbers[f"{name}_se"]
    assert numbers["approximation_gap_se"] <= 1e-3
    assert numbers["log_likelihood_reliable"] == 1
    assert (
        numbers["approximation_gap_lower"] <= approximation <= numbers["approximation_gap_upper"]
    )


def test_the_errors_are_those_of_repeated_estimates():
    """400 repeats of one datum, K = 2 000: their sd over the stated error is 1 within 20 %.

    That is 5.7 s.e. of an sd. Caught: the covariance of w and log w left out.
    """
    exact = light()
    x = exact.sample(1).expand(400, -1)
    columns = InferenceGaps(Found(exact, x), num_samples=2000)(unknown(exact), x)
    for part in ("approximation", "amortization"):
        stated = columns[f"{part}_error"].square().mean().sqrt()
        assert abs(columns[f"{part}_gap"].std() / stated - 1) <= 0.2


def test_states_of_z_are_summed_over(small_vae):
    """One variable of 4 states: q* is the posterior, so the gaps are 0 and KL(q || p(z|x)).

    log p(x) to 1e-12, both gaps to 1e-6. Caught: log p(x) estimated from draws.
    """
    model = small_vae(
        posterior=vi.CategoricalPosterior(4), prior=vi.CategoricalPrior(4, learn=True)
    ).eval()
    x = torch.randint(0, 2, (10, 6)).double()
    z = model.posterior(x).enumerate_support()
    log_joint = model.log_joint(x, z)
    posterior = torch.distributions.OneHotCategorical(logits=log_joint.T)
    kl = torch.distributions.kl_divergence(
        torch.distributions.OneHotCategorical(logits=model.posterior(x).log_prob(z).T), posterior
    )
    found = InferenceGaps(vi.GradientAscent(400, lr=0.5, momentum=0.8), num_samples=3)(model, x)
    assert (found["log_likelihood"] - log_joint.logsumexp(0)).abs().max() <= 1e-12
    assert found["approximation_gap"].abs().max() <= 1e-6
    assert (found["amortization_gap"] - kl).abs().max() <= 1e-6


def test_an_exact_posterior_has_no_gap():
    model = vi.PPCA((5,), 2)
    x = model.sample(6)
    evaluation = InferenceGaps(CLIMB, num_samples=3)
    numbers = evaluation.summarize(evaluation(model, x))
    assert numbers["approximation_gap"] == numbers["amortization_gap"] == 0
    assert numbers["log_likelihood"] == pytest.approx(model.log_evidence(x).mean().item(), abs=0)
    assert numbers["log_likelihood_lower"] == numbers["log_likelihood_upper"]
    assert evaluation.said(model, numbers) == [
        "q(z|x) is the exact posterior: there is no gap to close"
    ]


def test_what_cannot_be_measured_is_refused(small_vae, data):
    evaluation = InferenceGaps(vi.GradientAscent(1), num_samples=3)
    many = small_vae(posterior=vi.BernoulliPosterior(11), prior=vi.BernoulliPrior(11)).eval()
    with pytest.raises(ConfigurationError, match="no gradient in a .* of so many states"):
        evaluation(many, data)
    written = vi.PPCA((6,), 2)

    class Own(vi.Inference):
        def forward(self, model, x, **given):
            return model.prior(**given).expand((len(x),))

    with pytest.raises(ConfigurationError, match="needs variational parameters"):
        evaluation(written.with_inference(Own()), data)
    broken = small_vae()
    with torch.no_grad():
        next(broken.inference.parameters()).fill_(math.nan)
    with pytest.raises(NumericsError, match=r"of 20 of 20 data is not finite"):
        evaluation(broken, data[:20])


def vae(posterior, **parts):
    network = vi.MLP([4])
    prior = vi.StandardNormal(2)
    return vi.VAE((6,), network, network, posterior, prior, vi.Bernoulli(), **parts)


def said(amortization, approximation, *, known=True, model=None, error=0.01):
    numbers = {"amortization_gap": amortization, "approximation_gap": approximation}
    numbers |= {f"{name}_data_se": error for name in numbers}
    numbers |= {"log_likelihood_lower": -9.0} if known else {}
    return advice(model or vae(vi.DiagonalGaussian(2)), numbers)


def test_the_advice_names_who_is_at_fault_and_what_would_win_how_much():
    assert said(1.3, 0.29) == [
        "the gap log p(x) - ELBO is 1.590 ± 0.020 nats",
        "82 % of the gap is amortization: a larger encoder (encoder.hidden), more encoder steps "
        "(scheme=aggressive), inference=iterative or scheme=semi_amortised would win up to 1.3 "
        "nats",
        "18 % of the gap is approximation: posterior=full_gaussian, posterior=flow "
        "posterior.flow=coupling or inference=ensemble would win up to 0.29 nats",
    ]


def test_the_advice_is_honest_about_errors_and_lower_bounds():
    """Caught: a share stated of a gap below its error; nothing said of an untrusted log p(x)."""
    _, amortization, approximation = said(0.015, 0.5)
    assert amortization.startswith("amortization is below its error (0.015 ± 0.010 nats)")
    assert approximation.startswith("97 % of the gap is approximation")
    assert said(0.001, 0.002) == [
        "the gap log p(x) - ELBO is below its error (0.003 ± 0.020 nats): q(z|x) cannot be told "
        "from the posterior"
    ]
    whole, amortization, approximation = said(1.0, 1.0, known=False)
    assert (
        whole == "the gap log p(x) - ELBO is ≥ 2.000 ± 0.020 nats: log p(x) is only a lower bound"
    )
    assert amortization.startswith("at most 50 %")
    assert approximation.startswith("at least 50 %")
    assert approximation.endswith("up to 1 nats or more")
    assert "a gap may be hidden" in said(0.001, 0.002, known=False)[0]
    assert "the refinement has not converged" in said(-0.5, 0.7)[0]


@pytest.mark.parametrize(
    ("model", "better", "richer"),
    [
        (vae(vi.FullGaussian(2)), "inference=iterative", "posterior=flow"),
        (vae(vi.LowRankGaussian(2, 1)), "scheme=aggressive", "posterior.rank"),
        (ppca(vi.DiagonalGaussian(2)), "inference=exact", "inference=exact"),
    ],
)
def test_only_options_that_the_model_can_take_are_named(model, better, richer):
    assert better in " ".join(better_encoders(model))
    assert richer in " ".join(richer_families(model))
    assert "posterior=diagonal_gaussian" not in " ".join(richer_families(model))
    refined = model.with_inference(vi.Refined(model.inference, vi.AdamAscent()))
    if not model.knows_posterior:
        assert better_encoders(refined) == ["more steps of its refinement (refinement.num_steps)"]
    assert richer_families(refined) == richer_families(model)
