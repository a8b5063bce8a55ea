"""Bits and categories as latents: laws beyond those of every posterior and prior."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, kl_divergence

import vi
from tests.support.inference import amortized
from tests.support.oracles import standard_error
from vi.covariances.full import Full
from vi.distributions.datum_noise import datum_noise
from vi.distributions.discrete import bits, categories, gumbel, largest
from vi.distributions.draw import draw
from vi.distributions.kl import closed_form_kl
from vi.schemes.base import Context

# (head, prior) of 8, 4, 9 and 16 states.
LATENTS = {
    "3 bits": (lambda: vi.BernoulliPosterior(3), lambda **k: vi.BernoulliPrior(3, **k)),
    "1 of 4": (lambda: vi.CategoricalPosterior(4), lambda **k: vi.CategoricalPrior(4, **k)),
    "2 of 3": (lambda: vi.CategoricalPosterior(3, 2), lambda **k: vi.CategoricalPrior(3, 2, **k)),
    "4 of 2": (lambda: vi.CategoricalPosterior(2, 4), lambda **k: vi.CategoricalPrior(2, 4, **k)),
}
ELBOS = [vi.ELBO, vi.EntropyELBO, vi.LogWeightELBO]


@pytest.fixture(params=list(LATENTS.values()), ids=list(LATENTS))
def latent(request):
    """(makes the posterior, makes the prior) over the same states."""
    return request.param


@pytest.fixture
def make_q(latent):
    """Makes a q over these states: make_q(*batch)."""
    head = latent[0]()
    return lambda *batch: head(2 * torch.randn(*batch, *head.out_shape))


@pytest.fixture
def model(latent, small_vae):
    """A VAE with this latent and a learned prior that is no longer uniform."""
    made = small_vae(posterior=latent[0](), prior=latent[1](learn=True))
    with torch.no_grad():
        made.prior_module.logits.normal_()
    return made


# The distributions


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)], ids=str)
def test_every_state_is_listed_once(make_q, batch):
    """The probabilities of all listed states add up to 1, and no state repeats: at most 1e-12.

    Caught: digits in another base than the number of values.
    """
    q = make_q(*batch)
    z = q.enumerate_support()
    num_states = {(3,): 8, (4,): 4, (2, 3): 9, (4, 2): 16}[tuple(q.event_shape)]
    assert z.shape == (num_states, *batch, *q.event_shape)
    assert len(z.flatten(1).unique(dim=0)) == num_states
    assert (q.log_prob(z).exp().sum(0) - 1).abs().max() <= 1e-12
    short = q.enumerate_support(expand=False)
    assert short.shape == (num_states, *[1] * len(batch), *q.event_shape)
    assert torch.equal(short.expand_as(z), z)


def test_moments_and_entropy_are_sums_over_the_states(make_q):
    """Mean, variance and entropy equal sums over the states: at most 1e-12.

    Caught: another base.
    """
    q = make_q(5)
    z = q.enumerate_support()
    weight = q.log_prob(z).exp().reshape(len(z), 5, *[1] * len(q.event_shape))
    mean = (weight * z).sum(0)
    assert (q.mean - mean).abs().max() <= 1e-12
    assert (q.variance - (weight * (z - mean).square()).sum(0)).abs().max() <= 1e-12
    entropy = -(q.log_prob(z).exp() * q.log_prob(z)).sum(0)
    assert (q.entropy() - entropy).abs().max() <= 1e-12


def test_states_are_drawn_as_often_as_they_are_likely(make_q):
    """Frequencies match probabilities: 100 000 draws of one q, seed 0, at most 16 numbers, 4 s.e.

    Fails by chance once in 1 000. Caught: logits without the noise.
    """
    q = make_q()
    z = q.sample((100_000,)).flatten(1)
    states = q.enumerate_support().flatten(1)
    hits = (z[:, None] == states).all(-1).to(z.dtype)
    assert torch.equal(hits.sum(1), torch.ones(len(z)))
    error = hits - q.log_prob(q.enumerate_support()).exp()
    assert (error.mean(0).abs() <= 4 * standard_error(error) + 1e-12).all()


def test_few_states_are_listed_and_many_are_not():
    """Up to 1024 joint states are listed.

    Caught: a limit on the variables instead of the states.
    """
    listed = {10: True, 11: False}
    for num, few in listed.items():
        assert bits(torch.zeros(5, num)).has_enumerate_support is few
    for shape, few in {(3, 10): True, (4, 6): False, (5, 4): True}.items():
        assert categories(torch.zeros(5, *shape), shape).has_enumerate_support is few
    assert categories(torch.zeros(5, 5000), (5000,)).has_enumerate_support
    with pytest.raises(NotImplementedError, match="2048 states"):
        bits(torch.zeros(5, 11)).enumerate_support()


def test_a_batch_can_be_expanded(make_q):
    """``expand`` gives the same distribution of the same class."""
    q = make_q()
    wide = q.expand((5,))
    z = wide.sample()
    assert (type(wide), wide.batch_shape) == (type(q), (5,))
    assert (wide.log_prob(z) - q.log_prob(z)).abs().max() <= 1e-14
    assert wide.enumerate_support().shape[1] == 5


def test_the_largest_score_is_one_draw():
    """argmax(l + Gumbel noise) has the softmax of l: 100 000 draws, seed 0, 3 numbers, 4 s.e."""
    logits = torch.tensor([0.0, 1.0, -2.0])
    noise = gumbel((100_000, 3), logits)
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    error = largest(logits + noise) - logits.softmax(-1)
    assert (error.mean(0).abs() <= 4 * standard_error(error)).all()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_noise_of_a_datum_is_its_own(size):
    """Where K, B, N and C coincide in any way, a datum draws the same alone.

    Caught: multinomial draws in rows of B N, which datum noise cannot separate.
    """
    made = [
        (size, lambda l: bits(l.flatten(1))),
        (size, lambda l: categories(l[:, 0], (3,))),
        (size, lambda l: categories(l, (3, 3))),
    ]
    logits = torch.randn(3, 3, 3)
    for num_samples, make in made:
        with datum_noise(0, range(3)):
            together = draw(make(logits), num_samples).z
        for b in range(3):
            with datum_noise(0, [b]):
                alone = draw(make(logits[b : b + 1]), num_samples).z
            assert torch.equal(alone[:, 0], together[:, b])


# KL


def test_kl_against_torch_and_the_sum_over_states(make_q):
    """The KL equals torch's and the sum over states, for a shared p and one p per datum: 1e-12.

    Caught: KL(p || q); a KL of bits weighted by p; torch's own, which does not broadcast.
    """
    q = make_q(5)
    z = q.enumerate_support()
    log_q = q.log_prob(z)
    for p in (make_q(), make_q(5)):
        summed = (log_q.exp() * (log_q - p.log_prob(z))).sum(0)
        assert (closed_form_kl(q, p) - summed).abs().max() <= 1e-12
    reference = kl_divergence(_torchs(q), _torchs(p)).reshape(5, -1).sum(-1)
    assert (closed_form_kl(q, p) - reference).abs().max() <= 1e-12


def _torchs(q: Distribution) -> Distribution:
    """Return the variables as torch's own distributions."""
    logits = getattr(q, "base_dist", q).logits
    return (Bernoulli if q.event_shape == (3,) else Categorical)(logits=logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits(dtype):
    """l = +-100 on both sides: KL 0 or 100 for a bit; finite draws, densities and gradients.

    Caught: torch's own KL, inf where exp(-200) is 0 in single precision.
    """
    logits = torch.tensor([[100.0], [-100.0]], dtype=dtype, requires_grad=True)
    for one, other, kl in ((0, 0, 0.0), (0, 1, 100.0), (1, 0, 100.0)):
        value = closed_form_kl(bits(logits[one]), bits(logits[other].detach()))
        assert value.item() == pytest.approx(kl, abs=1e-5)
    three = torch.tensor([[100.0, 0.0, -100.0], [-100.0, 0.0, 100.0]], dtype=dtype)
    three.requires_grad_()
    q, p = categories(three, (3,)), categories(three.detach().flip(0), (3,))
    assert closed_form_kl(q, p).tolist() == pytest.approx([200.0, 200.0], rel=1e-6)
    for d in (q, bits(three)):
        total = (d.entropy() + d.log_prob(d.sample((50,)))).sum() + closed_form_kl(d, d).sum()
        assert total.isfinite()
        (gradient,) = torch.autograd.grad(total, three)
        assert gradient.isfinite().all()


def test_single_precision(latent):
    """log q, entropy and mean in float32: at most 1e-5 from float64, relative to at least 1."""
    head = latent[0]()
    params = 5 * torch.randn(50, *head.out_shape)
    double, single = head(params), head(params.float())
    z = double.sample((20,))
    pairs = [(single.log_prob(z.float()), double.log_prob(z))]
    pairs += [(single.entropy(), double.entropy()), (single.mean, double.mean)]
    for one, other in pairs:
        assert one.dtype == torch.float32
        assert ((one - other).abs() <= 1e-5 * other.abs().clamp_min(1)).all()


# The models


def _log_evidence(model: vi.VAE, x: Tensor) -> Tensor:
    z = model.posterior(x).enumerate_support()
    return model.log_joint(x, z).logsumexp(0)


@pytest.mark.parametrize("make", ELBOS)
def test_evidence_is_the_elbo_and_the_gap(model, data, make):
    """log p(x) = ELBO + KL(q || p(z|x)) and its gradient, by enumeration: at most 1e-11.

    Caught: digits in another base; a KL of the wrong sign; a detached prior.
    """
    q = model.posterior(data)
    z = q.enumerate_support()
    log_evidence = _log_evidence(model, data)
    log_q, log_exact = q.log_prob(z), model.log_joint(data, z) - log_evidence
    exact = log_evidence - (log_q.exp() * (log_q - log_exact)).sum(0)
    estimate = make()(model, data)
    assert (estimate.value - exact).abs().max() <= 1e-11
    parameters = list(model.parameters())
    ours = torch.autograd.grad(estimate.surrogate.sum(), parameters)
    theirs = torch.autograd.grad(exact.sum(), parameters)
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() <= 1e-11


@pytest.mark.parametrize("make", ELBOS)
def test_the_decoder_sees_each_state_once(small_vae, data, make):
    """The decoder evaluates each state once for any number of data, and once per context."""
    seen = []
    for context_dim, rows in ((0, 8), (2, 8 * 50)):
        model = small_vae(
            posterior=vi.BernoulliPosterior(3), prior=vi.BernoulliPrior(3), context_dim=context_dim
        )
        given = {"context": torch.randn(50, 2)} if context_dim else {}
        model.decoder.layers.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
        value = make()(model, data, **given).value
        assert seen.pop() == rows
        alone = [
            make()(model, data[n : n + 1], **{k: v[n : n + 1] for k, v in given.items()}).value
            for n in range(50)
        ]
        assert (torch.cat(alone) - value).abs().max() <= 1e-12


def test_log_likelihood_agrees_with_the_sum(model, data):
    """log p(x) from draws of q agrees with the sum over states, each within 4.75 s.e. (1 in 10^5).

    5 data, 20 000 draws, seed 0.
    """
    x = data[:5]
    estimate = vi.log_likelihood(model, x, num_samples=20_000)
    t = (estimate.value - _log_evidence(model, x)) / estimate.standard_error
    assert t.abs().max() <= 4.75


def test_a_learned_prior_goes_where_q_goes(latent, small_vae, data):
    """d ELBO / d logits of p = sum_n E_q[z] - N E_p[z], at most 1e-12; a fixed prior has none."""
    model = small_vae(posterior=latent[0](), prior=latent[1](learn=True))
    vi.ELBO()(model, data).surrogate.sum().backward()
    difference = model.posterior(data).mean.sum(0) - len(data) * model.prior().mean
    assert (model.prior_module.logits.grad - difference).abs().max() <= 1e-12
    fixed = latent[1]()
    assert not list(fixed.parameters())
    assert (fixed().mean - fixed().mean.flatten()[0]).abs().max() == 0


def test_with_the_exact_mixture():
    """With q over the components of a GMM, log p(x) = ELBO + gap, also far away: at most 1e-10."""
    exact = vi.GMM((2,), 4, Full())
    model = amortized(exact, vi.MLP([5]), vi.CategoricalPosterior(4))
    for far in (1.0, 1e3):
        x = far * torch.randn(50, 2)
        for make in ELBOS:
            error = model.log_evidence(x) - make()(model, x).value - model.gap(x)
            assert (error.abs() <= 1e-10 * model.log_evidence(x).abs().clamp_min(1)).all()


def test_too_many_states_name_what_trains_them(small_vae, data):
    """11 bits cannot be trained, and the error lists options that work; they can be drawn."""
    model = small_vae(posterior=vi.BernoulliPosterior(11), prior=vi.BernoulliPrior(11))
    for bound in (vi.ELBO(), vi.LogWeightELBO(), vi.IWAE(3)):
        with pytest.raises(vi.ConfigurationError, match="no reparameterised sample") as refusal:
            bound(model, data)
        for option in (
            "scheme=reweighted_wake_sleep",
            "posterior=relaxed_bernoulli",
            "gumbel_softmax",
            "latent_dim",
        ):
            assert option in refusal.value.hint
        with torch.no_grad():
            assert bound(model, data).value.isfinite().all()


def test_many_bits_train_by_reweighted_wake_sleep(small_vae, data, batch):
    """40 bits, 100 steps on 50 data: the bound rises by more than 1 nat."""
    model = small_vae(posterior=vi.BernoulliPosterior(40), prior=vi.BernoulliPrior(40, learn=True))
    scheme, bound = vi.ReweightedWakeSleep(num_samples=4), vi.ELBO(4)
    optimizers, _ = scheme.configure(model, bound)
    values = [
        scheme.step(Context(model, bound, optimizers), batch(data)).value.mean().item()
        for _ in range(100)
    ]
    assert sum(values[-10:]) / 10 > sum(values[:10]) / 10 + 1


def test_saved_and_loaded_bit_by_bit(model, data, tmp_path):
    """Loading restores the same q and the same learned p."""
    again = vi.load(vi.save(model, tmp_path))
    assert torch.equal(again.posterior(data).mean, model.posterior(data).mean)
    assert torch.equal(again.prior().mean, model.prior().mean)


def test_reads_its_logits_as_declared():
    """Logits are read in rows of variables; one variable has no extra axis.

    Caught: C and N swapped.
    """
    logits = torch.randn(5, 6)
    q = vi.CategoricalPosterior(num_categories=3, num_variables=2)(logits)
    assert isinstance(q, Independent)
    assert (q.mean - logits.view(5, 2, 3).softmax(-1)).abs().max() <= 1e-15
    assert vi.CategoricalPosterior(3)(logits[:, :3]).event_shape == (3,)
    assert vi.BernoulliPosterior(6)(logits).mean[0, 0].item() == pytest.approx(
        1 / (1 + math.exp(-logits[0, 0])), rel=1e-14
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vi.BernoulliPosterior(0), "latent_dim must be greater than 0"),
        (lambda: vi.BernoulliPrior(0), "latent_dim must be greater than 0"),
        (lambda: vi.CategoricalPosterior(0), "num_categories must be greater than 0"),
        (lambda: vi.CategoricalPrior(3, 0), "num_variables must be greater than 0"),
    ],
)
def test_refuses_nothing_to_choose_from(make, message):
    with pytest.raises(vi.ConfigurationError, match=message):
        make()
