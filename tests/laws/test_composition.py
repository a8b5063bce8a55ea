"""Every posterior with every prior, likelihood and bound works, or the error lists what fits."""

from contextlib import suppress

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

import vi
from tests.laws.conftest import BOUNDS, LIKELIHOODS, POSTERIORS, PRIORS, node
from vi.bounds.base import Need
from vi.config.build import build
from vi.distributions.chain import Chain
from vi.distributions.draw import draw
from vi.distributions.kl import closed_form_entropy, closed_form_kl
from vi.distributions.protocols import StandIn
from vi.distributions.support import support_name

LATENT_DIM, B = 3, 5


def _vae(**options: str) -> vi.VAE:
    """Return a VAE on six data entries with three latents and the given parts."""
    chosen = {"posterior": "diagonal_gaussian", "prior": "standard_normal"}
    chosen |= {"likelihood": "gaussian_shared_scale", **options}
    parts = {group: node(group, option, LATENT_DIM) for group, option in chosen.items()}
    network = {"_target_": "vi.networks.mlp.MLP", "hidden": [5], "activation": {}}
    network["activation"] = {"_target_": "torch.nn.Tanh"}
    whole = {"_target_": "vi.models.vae.VAE", "encoder": network, "decoder": network, **parts}
    return build("model", whole, defaults={"data_shape": (6,), "context_dim": 0})


def _fits(posterior: str, prior: str) -> bool:
    supports = {support_name(PARTS[name](LATENT_DIM).support) for PARTS, name in (
        (POSTERIORS, posterior), (PRIORS, prior))}  # fmt: skip
    return len(supports) == 1


def _works(bound: vi.Bound, q: Distribution, p: Distribution) -> bool:
    """Return whether a bound can be computed: E_q can be taken, and no requirement is missing."""
    return (q.has_rsample or q.has_enumerate_support) and bound.needs <= _offers(q, p)


def _offers(q: Distribution, p: Distribution) -> set[Need]:
    """Return which requirements of bounds the pair meets, by trying each."""
    offers = {Need.DRAWS} if q.has_rsample else set()
    if not isinstance(q, StandIn):  # which has draws, and no density that bounds could use
        offers.add(Need.DENSITY)
    with suppress(vi.ConfigurationError):
        closed_form_kl(q, p)
        offers |= {Need.KL, Need.LAYER_KL}
    with suppress(vi.ConfigurationError):
        closed_form_entropy(q)
        offers.add(Need.ENTROPY)
    if isinstance(q, Chain) and isinstance(p, Chain) and q.from_last == p.from_last:
        offers.add(Need.LAYER_KL)
    return offers


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_posterior_prior_and_bound(posterior, prior):
    """(B,) finite nats and a gradient for every parameter, or an error with the options that fit.

    Caught: a prior whose parameters the KL ignored.
    """
    if not _fits(posterior, prior):
        with pytest.raises(vi.ConfigurationError, match="lives on") as refusal:
            _vae(posterior=posterior, prior=prior)
        assert f"prior={_partner(PRIORS, POSTERIORS[posterior])}" in refusal.value.hint
        assert f"posterior={_partner(POSTERIORS, PRIORS[prior])}" in refusal.value.hint
        return
    x, model = torch.randn(B, 6), _vae(posterior=posterior, prior=prior)
    for make in BOUNDS.values():
        bound = make()
        if _works(bound, model.posterior(x), model.prior()):
            _check(model, bound, x)
            continue
        with pytest.raises(vi.ConfigurationError) as refusal:
            bound(model, x)
        assert "=" in refusal.value.hint


def _partner(parts: dict, of) -> str:
    """Return the first option with the same support as another part; every support has one."""
    supports = {option: support_name(make(LATENT_DIM).support) for option, make in parts.items()}
    wanted = support_name(of(LATENT_DIM).support)
    return next(option for option, support in supports.items() if support == wanted)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_likelihood_and_bound(likelihood, bound):
    """The same holds for data drawn from the likelihood itself. Caught: a detached log p(x|z)."""
    model = _vae(likelihood=likelihood)
    _check(model, BOUNDS[bound](), model.sample(B))


def _check(model: vi.VAE, bound: vi.Bound, x: Tensor) -> None:
    model.zero_grad()
    estimate = bound(model, x)
    assert estimate.value.shape == (B,)
    assert estimate.value.isfinite().all()
    estimate.surrogate.mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


PARTS = {"posterior": POSTERIORS, "prior": PRIORS, "likelihood": LIKELIHOODS}
OPTIONS = [(group, option) for group, parts in PARTS.items() for option in parts]


def _with_option(group: str, option: str) -> vi.VAE:
    """Return a VAE with this option and a partner of the same support."""
    others = {"posterior": ("prior", PRIORS), "prior": ("posterior", POSTERIORS)}
    chosen = {group: option}
    if group in others:
        other, parts = others[group]
        chosen[other] = _partner(parts, PARTS[group][option])
    return _vae(**chosen)


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_saved_and_loaded(group, option, tmp_path):
    """A model saved by option names and weights returns bit by bit, its values up to rounding."""
    model = _with_option(group, option).eval()
    x = model.sample(B)
    again = vi.load(vi.save(model, tmp_path / "model"))
    with torch.no_grad():
        z = model.posterior(x).sample((4,))
        for one, other in (
            (model.log_joint(x, z), again.log_joint(x, z)),
            (model.posterior(x).log_prob(z), again.posterior(x).log_prob(z)),
        ):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert all(torch.equal(again.state_dict()[k], v) for k, v in model.state_dict().items())


@pytest.mark.parametrize(("group", "option"), [o for o in OPTIONS if o[0] != "prior"])
@pytest.mark.parametrize("size", [69.0, 100.0])
def test_extreme_outputs_of_a_network(group, option, size):
    """Scales of exp(69) = 1e30 and logits of 100 give a finite log p and a finite gradient."""
    head = PARTS[group][option](*([LATENT_DIM] if group == "posterior" else []))
    if group == "likelihood":
        head.set_event_shape((LATENT_DIM,))
    x = head.eval()(torch.zeros(head.out_shape)).sample((4,))
    for signs in (torch.ones(head.out_shape), -torch.ones(head.out_shape), _signs(head.out_shape)):
        params = (size * signs).requires_grad_()
        log_p = head(params).log_prob(x)
        assert log_p.isfinite().all()
        (gradient,) = torch.autograd.grad(log_p.sum(), params)
        assert gradient.isfinite().all()


WITH_SCALES = "diagonal_gaussian", "full_gaussian", "low_rank_gaussian", "diagonal_laplace"


@pytest.mark.parametrize("option", WITH_SCALES)
@pytest.mark.parametrize("size", [44.0, 69.0])
def test_draws_at_extreme_scales_in_single_precision(option, size):
    """log q of draws with scales exp(44) and exp(69) agrees with double precision to 1e-5.

    Caught: torch's Gaussian, which squares the scale and gives nan.
    """
    head = PARTS["posterior"][option](LATENT_DIM)
    for signs in (torch.ones(head.out_shape), -torch.ones(head.out_shape), _signs(head.out_shape)):
        params = (size * signs).float().requires_grad_()
        q, exact = head.float()(params), head.double()(params.double())
        z = q.sample((40,))
        log_q, expected = q.log_prob(z), exact.log_prob(z.double())
        assert z.isfinite().all()
        assert ((log_q - expected) / expected.abs().clamp_min(1)).abs().max() <= 1e-5
        (gradient,) = torch.autograd.grad(draw(q, 5).log_q.sum(), params)
        assert gradient.isfinite().all()


def _signs(shape: tuple[int, ...]) -> Tensor:
    return 2 * torch.randint(0, 2, shape) - 1.0
