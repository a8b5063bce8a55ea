"""Relaxed bits and categories: the distribution of draws, and the bias of the gradient."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

import vi
from tests.support.inference import amortized
from tests.support.oracles import standard_error
from vi.covariances.full import Full
from vi.distributions.datum_noise import datum_noise
from vi.distributions.draw import draw
from vi.distributions.kl import closed_form_kl
from vi.distributions.relaxed import RelaxedBits, RelaxedCategories
from vi.schemes.base import Context

TEMPERATURES = (0.1, 0.5, 2.0)
# (relaxed head, discrete head, prior) over the same states
HEADS = {
    "bits": (
        lambda **k: vi.RelaxedBernoulli(3, **k),
        lambda: vi.BernoulliPosterior(3),
        lambda: vi.BernoulliPrior(3),
    ),
    "one of 4": (
        lambda **k: vi.GumbelSoftmax(4, **k),
        lambda: vi.CategoricalPosterior(4),
        lambda: vi.CategoricalPrior(4),
    ),
    "two of 3": (
        lambda **k: vi.GumbelSoftmax(3, 2, **k),
        lambda: vi.CategoricalPosterior(3, 2),
        lambda: vi.CategoricalPrior(3, 2),
    ),
}


@pytest.fixture(params=list(HEADS.values()), ids=list(HEADS))
def heads(request):
    """(makes the relaxed head, the discrete head, the prior)."""
    return request.param


@pytest.fixture
def make_model(heads, small_vae):
    """Makes a VAE with a relaxed q: make_model(temperature=...)."""
    relaxed, _, prior = heads
    return lambda **values: small_vae(posterior=relaxed(**values), prior=prior())


# The draws


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_distribution_of_relaxed_draws(temperature):
    """P(z < c) = sigmoid(tau logit c - l), l = l_1 - l_2 for two categories.

    100 000 draws, seed 0, 5 levels of two families: 4 s.e., fails by chance once in 1 600. Caught:
    noise that is divided by tau and a logit that is not, and the reverse.
    """
    l = torch.tensor([0.7, -0.4])
    one = RelaxedBits(l[:1], temperature).rsample((100_000,))[:, 0]
    other = RelaxedCategories(l, (2,), temperature).rsample((100_000,))[:, 0]
    c = torch.tensor([0.02, 0.3, 0.5, 0.8, 0.99])
    for z, logit in ((one, l[0]), (other, l[0] - l[1])):
        below = (z[:, None] < c).to(z.dtype)
        error = below - (temperature * c.logit() - logit).sigmoid()
        assert (error.mean(0).abs() <= 4 * standard_error(error)).all()


def test_relaxed_draws_lie_between_the_states(heads):
    """Entries in [0, 1]; categories add up to 1, at most 1e-12. Caught: softmax over N."""
    head = heads[0](temperature=0.7)
    q = head(torch.randn(5, *head.out_shape))
    z = q.rsample((200,))
    assert z.shape == (200, 5, *q.event_shape)
    assert z.min() >= 0
    assert z.max() <= 1
    assert q.event_shape == (3,) or (z.sum(-1) - 1).abs().max() <= 1e-12


def test_cold_draws_are_the_discrete_ones(heads):
    """At tau = 1e-10, or rounded at any tau, the same noise gives draws of the discrete q.

    20 000 draws. Discrete draws of bits use other noise, so their frequencies are compared: 4 s.e.
    Caught: a temperature that is ignored; softmax over N.
    """
    hard, cold = heads[0](hard=True, temperature=2.0), heads[0](temperature=1e-10)
    params = torch.randn(4, *hard.out_shape)
    draws = []
    for head, how in ((hard, "rsample"), (cold, "rsample"), (cold, "sample")):
        torch.manual_seed(3)
        draws.append(getattr(head(params), how)((20_000,)))
    rounded, relaxed, discrete = draws
    assert (rounded - relaxed).abs().max() <= 1e-6
    if rounded.shape[2:] == (3,):
        error = rounded - hard(params).mean
        assert (error.mean(0).abs() <= 4 * standard_error(error)).all()
    else:
        assert (rounded - discrete).abs().max() <= 1e-12


def test_a_rounded_draw_has_the_gradient_of_the_relaxed_one(heads):
    """Straight-through: values of the discrete q, gradient of the relaxed z, bit for bit.

    Caught: the gradient of the rounding, which is 0.
    """
    params = torch.randn(5, *heads[0]().out_shape, requires_grad=True)
    gradients = []
    for hard in (False, True):
        torch.manual_seed(3)
        z = heads[0](hard=hard)(params).rsample((7,))
        weight = torch.linspace(-1, 1, z.numel()).view_as(z)
        gradients.append(torch.autograd.grad((weight * z).sum(), params)[0])
    assert torch.equal(*gradients)
    assert ((z - z.round()).abs() <= 1e-12).all()


def test_gradcheck_of_a_draw(heads):
    """Gradients of the relaxed z in the logits agree with finite differences.

    Caught: detached logits.
    """
    head = heads[0]()
    params = torch.randn(3, *head.out_shape, requires_grad=True)

    def relaxed(params):
        torch.manual_seed(3)
        return head(params).rsample((2,))

    assert gradcheck(relaxed, (params,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("zero_noise", [False, True])
def test_no_boundary_gives_nan(heads, monkeypatch, dtype, temperature, zero_noise):
    """Logits +-100, uniform and exponential draws of 0: z and the gradient of log z are finite.

    Caught: the logarithm of an exponential draw of 0.
    """
    if zero_noise:
        rand, exponential = torch.rand, Tensor.exponential_
        monkeypatch.setattr(torch, "rand", lambda *a, **k: rand(*a, **k) * 0)
        monkeypatch.setattr(Tensor, "exponential_", lambda x: exponential(x) * 0)
    head = heads[0](temperature=temperature)
    params = (100 * torch.randn(5, *head.out_shape).sign()).to(dtype).requires_grad_()
    z = head(params).rsample((7,))
    logs = 0 if z.shape[2:] == (3,) else z.log().sum()
    (gradient,) = torch.autograd.grad(z.square().sum() + logs, params)
    assert z.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_noise_of_a_datum_is_its_own(size):
    """Where K, B, N and C coincide in any way, a datum draws the same z alone."""
    logits = torch.randn(3, 3, 3)
    makes = (
        lambda l: RelaxedBits(l[:, 0], 0.5),
        lambda l: RelaxedCategories(l[:, 0], (3,), 0.5),
        lambda l: RelaxedCategories(l, (3, 3), 0.5),
    )
    for make in makes:
        with datum_noise(0, range(3)):
            together = draw(make(logits), size).z
        for b in range(3):
            with datum_noise(0, [b]):
                alone = draw(make(logits[b : b + 1]), size).z
            assert torch.equal(alone[:, 0], together[:, b])


# What it stands for


def test_kl_and_moments_are_those_of_the_discrete_q(heads):
    """Bit for bit; ``sample`` draws discrete z. Caught: relaxed samples; KL(p || q)."""
    relaxed, discrete, prior = (make() for make in heads)
    params = torch.randn(5, *relaxed.out_shape)
    q, stands_for, p = relaxed(params), discrete(params), prior()
    assert torch.equal(closed_form_kl(q, p), closed_form_kl(stands_for, p))
    assert torch.equal(q.mean, stands_for.mean)
    assert torch.equal(q.variance, stands_for.variance)
    torch.manual_seed(3)
    z = q.sample((7,))
    torch.manual_seed(3)
    assert torch.equal(z, stands_for.sample((7,)))


def test_refuses_a_density(make_model, data):
    """log q, H(q) and every bound that needs them: exit code 2, with the bound that fits.

    Caught: the density of the discrete q at a relaxed z.
    """
    model = make_model()
    q = model.posterior(data)
    asked = [lambda: q.log_prob(q.rsample()), q.entropy, lambda: draw(q, 3).log_q]
    asked += [
        lambda b=b: b(model, data) for b in (vi.IWAE(3), vi.LogWeightELBO(), vi.EntropyELBO())
    ]
    asked += [lambda: vi.log_likelihood(model, data, num_samples=10)]
    for ask in asked:
        with pytest.raises(vi.ConfigurationError, match="relaxed z") as refusal:
            ask()
        assert refusal.value.exit_code == 2
        assert "bound=elbo" in refusal.value.hint
        assert "model.eval()" in refusal.value.hint


def test_evaluation_is_that_of_the_discrete_q(heads, make_model, data):
    """In evaluation mode every bound, log p(x) and the codes are those of the discrete head.

    Bit for bit. Caught: relaxed z in evaluation mode.
    """
    model = make_model().eval()
    before = _measured(model, data)
    model.inference.head = heads[1]()
    for one, other in zip(before, _measured(model, data), strict=True):
        assert torch.equal(one, other)


def _measured(model: vi.VAE, x: Tensor) -> list[Tensor]:
    with torch.no_grad(), datum_noise(0, range(len(x))):
        values = [b(model, x).value for b in (vi.ELBO(), vi.LogWeightELBO(), vi.IWAE(3))]
        return [*values, vi.log_likelihood(model, x, num_samples=10).value, model.encode(x)]


# The bias


def _gradient(value: Tensor, parameter: Tensor) -> Tensor:
    return torch.autograd.grad(value, parameter)[0].flatten()


def _bias(model: vi.VAE, discrete, x: Tensor, replicates: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard error of the encoder gradient's error against the sum over z."""
    weight = model.encoder.layers[-1].bias
    estimated = torch.stack(
        [_gradient(vi.ELBO(500)(model, x).surrogate.mean(), weight) for _ in range(replicates)]
    )
    model.inference.head = discrete
    error = estimated - _gradient(vi.ELBO()(model, x).surrogate.mean(), weight)
    return error.mean(0), standard_error(error)


def test_the_gradient_is_biased_for_the_discrete_elbo(heads, small_vae, data):
    """The gradient of relaxed posteriors is biased, as ``unbiased = False`` declares.

    40 x 500 draws of z for 5 data, seed 0: bias > 1e-3 and |t| > 10 in some coordinate. Caught:
    draws of the discrete q summed over.
    """
    head = heads[0](temperature=1.0)
    assert head.unbiased is False
    mean, error = _bias(_steep(small_vae, heads, head), heads[1](), data[:5], 40)
    worst = (mean.abs() / error).argmax()
    assert mean[worst].abs() > 1e-3
    assert (mean / error)[worst].abs() > 10


def _steep(small_vae, heads, head) -> vi.VAE:
    """Return a VAE whose decoder is far from linear in z."""
    model = small_vae(posterior=head, prior=heads[2]())
    with torch.no_grad():
        model.decoder.layers[0].weight.mul_(3)
        model.decoder.layers[-1].weight.mul_(2)
    return model


def test_the_bias_vanishes_with_the_temperature(monkeypatch):
    """One bit, f(z) = exp(z), 200 000 midpoints instead of draws: the bias decreases to 0.

    d E[f] / d l = p (1 - p) (e - 1) of the bit. Caught: noise that is not divided by tau.
    """
    num = 200_000
    middle = ((torch.arange(num) + 0.5) / num)[:, None]
    monkeypatch.setattr(torch, "rand", lambda *shape, **kind: middle.clone())
    l = torch.tensor([0.7], requires_grad=True)
    exact = _gradient((l.sigmoid() * (torch.e - 1)).sum(), l)
    biases = [
        (_gradient(RelaxedBits(l, tau).rsample((num,)).exp().mean(), l) - exact).abs().item()
        for tau in (2.0, 1.0, 0.5, 0.1, 0.02)
    ]
    assert biases == sorted(biases, reverse=True)
    assert biases[0] > 0.1
    assert biases[-1] < 2e-3


# Composition


@pytest.mark.parametrize("hard", [False, True])
def test_with_the_exact_mixture(hard):
    """Over the components of a GMM every parameter has a finite gradient, also for a certain q.

    Caught: log z of an entry that is 0.
    """
    exact = vi.GMM((2,), 4, Full())
    head = vi.GumbelSoftmax(4, temperature=0.1, hard=hard)
    model = amortized(exact, vi.MLP([5]), head)
    with torch.no_grad():
        model.inference.encoder.layers[-1].bias.copy_(torch.tensor([200.0, 0.0, -200.0, 0.0]))
    vi.ELBO()(model, 30 * torch.randn(50, 2)).surrogate.mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_trains_jointly(make_model, data, batch):
    """100 steps of vi.Joint raise the ELBO of the discrete q by more than 0.5 nats."""
    model = make_model(temperature=0.5)
    scheme, bound = vi.Joint(), vi.ELBO()
    optimizers, _ = scheme.configure(model, bound)
    before = bound(model.eval(), data).value.mean()
    model.train()
    for _ in range(100):
        scheme.step(Context(model, bound, optimizers), batch(data))
    assert bound(model.eval(), data).value.mean() > before + 0.5


def test_saved_and_loaded_bit_by_bit(make_model, data, tmp_path):
    """The temperature is restored; a loaded model is in evaluation mode, where q is discrete."""
    model = make_model(temperature=0.3, hard=True).eval()
    again = vi.load(vi.save(model, tmp_path))
    assert torch.equal(again.posterior(data).mean, model.posterior(data).mean)
    assert again.inference.head.arguments == model.inference.head.arguments
    assert again.posterior(data).has_enumerate_support


@pytest.mark.parametrize("make", [vi.RelaxedBernoulli, vi.GumbelSoftmax])
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_refuses_no_temperature(make, temperature):
    with pytest.raises(vi.ConfigurationError, match="temperature must be greater than 0"):
        make(3, temperature=temperature)
