"""The VampPrior: laws beyond those of every prior."""

import math

import pytest
import torch

import vi
from tests.laws.conftest import POSTERIORS, node
from tests.support.oracles import standard_error
from vi.config.build import build
from vi.schemes.base import Context


def _prior(**options) -> vi.VampPrior:
    return vi.VampPrior((6,), 2, **{"num_pseudo_inputs": 4, **options})


def test_density_is_the_mean_of_posteriors(small_vae):
    """p(z) is (1/C) sum_c q(z|u_c), computed one after the other: at most 1e-12."""
    model, z = small_vae(prior=_prior()), torch.randn(3, 5, 2)
    u = model.prior_module.inputs
    one_by_one = [model.posterior(u[c : c + 1]).log_prob(z) for c in range(4)]
    by_hand = torch.stack(one_by_one).logsumexp(0) - math.log(4)
    assert (model.prior().log_prob(z) - by_hand).abs().max() <= 1e-12


def test_weights_are_learned_where_asked(small_vae):
    """With ``learn_weights`` p(z) is sum_c w_c q(z|u_c), and w has a gradient."""
    model, z = small_vae(prior=_prior(learn_weights=True)), torch.randn(5, 2)
    with torch.no_grad():
        model.prior_module.logits.copy_(torch.tensor([0.0, 1.0, 2.0, -100.0]))
    terms = model.posterior(model.prior_module.inputs).log_prob(z[:, None])
    by_hand = (terms + model.prior_module.logits.log_softmax(0)).logsumexp(-1)
    assert torch.allclose(model.prior().log_prob(z), by_hand, rtol=1e-12)
    model.prior().log_prob(z).sum().backward()
    assert model.prior_module.logits.grad.abs().max() > 0


@pytest.mark.parametrize("context_dim", [0, 3])
def test_samples_come_from_its_components(small_vae, context_dim):
    """Mean and variance of 100 000 draws: 4 s.e., fails by chance once in 4 000.

    Caught: a context of another component.
    """
    model = small_vae(prior=_prior(context_dim=context_dim), context_dim=context_dim)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(2)
    p = model.prior()
    deviation = p.sample((100_000,)) - p.mean
    assert (deviation.mean(0).abs() <= 4 * standard_error(deviation)).all()
    squares = deviation.square() - p.variance
    assert (squares.mean(0).abs() <= 4 * standard_error(squares)).all()
    assert p.sample().shape == (2,)
    assert p.sample((3, 4)).shape == (3, 4, 2)


def test_asks_for_as_many_posteriors_as_it_draws(small_vae):
    """Sampling evaluates one posterior per draw. Caught: C draws for each that is kept."""
    model, rows = small_vae(prior=_prior(num_pseudo_inputs=50)), []
    p = model.prior_module(lambda u: rows.append(len(u)) or model.posterior(u))
    p.sample((7,))
    assert rows == [50, 7]


def test_contexts_condition_the_posterior(small_vae):
    """Each pseudo-input has a learned context; a model without context has none."""
    model = small_vae(prior=_prior(context_dim=3), context_dim=3)
    prior, z = model.prior_module, torch.randn(5, 2)
    terms = model.posterior(prior.inputs, context=prior.contexts).log_prob(z[:, None])
    assert torch.allclose(model.prior().log_prob(z), terms.logsumexp(-1) - math.log(4), rtol=1e-12)
    model.prior().log_prob(z).sum().backward()
    assert prior.contexts.grad.abs().max() > 0
    assert not hasattr(_prior(), "contexts")


def test_starts_at_items_of_the_data(small_vae, data):
    """Pseudo-inputs start at distinct data, missing entries at the mean of their column.

    Caught: the first C items.
    """
    data[3, 2] = torch.nan
    data[:, 5] = torch.nan
    model = small_vae(prior=_prior(num_pseudo_inputs=50))
    model.initialize(data)
    known = data.clone()
    known[3, 2], known[:, 5] = data[:, 2].nanmean(), 0.0
    distance = torch.cdist(model.prior_module.inputs, known)
    nearest = distance.argmin(1)
    assert distance.min(1).values.max() <= 1e-6
    assert nearest.sort().values.tolist() == list(range(50))
    assert nearest.tolist() != list(range(50))


def test_pseudo_contexts_start_at_those_of_their_items(small_vae, data):
    """Pseudo-contexts start at the contexts of the same items. Caught: contexts of other items."""
    model = small_vae(prior=_prior(num_pseudo_inputs=20, context_dim=3), context_dim=3)
    context = torch.randn(len(data), 3)
    model.initialize(data, context=context)
    item = torch.cdist(model.prior_module.inputs, data).argmin(1)
    assert torch.equal(model.prior_module.contexts, context[item])


def test_stays_where_it_is_if_told_so(small_vae, data):
    model = small_vae(prior=_prior(from_data=False))
    before = model.prior_module.inputs.clone()
    model.initialize(data)
    assert torch.equal(model.prior_module.inputs, before)


def test_refuses_more_pseudo_inputs_than_data(small_vae, data):
    model = small_vae(prior=_prior(num_pseudo_inputs=51))
    with pytest.raises(vi.DataError, match="51 pseudo-inputs are more than the 50") as refusal:
        model.initialize(data)
    assert "prior.num_pseudo_inputs=50" in refusal.value.hint


def test_refuses_to_be_without_a_posterior():
    with pytest.raises(vi.ConfigurationError, match="no posterior was given") as refusal:
        _prior()()
    assert "prior(model.posterior)" in refusal.value.hint


def test_does_not_own_the_posterior(small_vae):
    """The posterior is not a submodule of the prior. Caught: registered there, and saved twice."""
    model = small_vae(prior=_prior())
    model.prior()
    names = [name for name, _ in model.prior_module.named_parameters()]
    assert names == ["inputs"]
    assert not list(model.prior_module.children())


def test_every_posterior_can_be_its_component(posterior_on_reals):
    """log p(z) finite, of the shape of z, and a gradient for the pseudo-inputs."""
    network = {"_target_": "vi.networks.mlp.MLP", "hidden": [5]}
    parts = {"posterior": node("posterior", posterior_on_reals, 3)}
    parts |= {"prior": node("prior", "vamp", 3), "likelihood": node("likelihood", "bernoulli")}
    whole = {"_target_": "vi.models.vae.VAE", "encoder": network, "decoder": network, **parts}
    model = build("model", whole, defaults={"data_shape": (6,), "context_dim": 0})
    p = model.prior()
    z = p.sample((4, 5))
    log_p = p.log_prob(z)
    assert (z.shape, log_p.shape) == ((4, 5, 3), (4, 5))
    log_p.sum().backward()
    assert model.prior_module.inputs.grad.abs().max() > 0


ON_REALS = [k for k, make in POSTERIORS.items() if str(make(2).support) == "Real()"]


@pytest.fixture(params=ON_REALS)
def posterior_on_reals(request):
    return request.param


def test_pseudo_inputs_of_images():
    """Pseudo-inputs of images have the shape that the encoder takes."""
    model = vi.VAE(
        (1, 8, 8),
        vi.ConvEncoder([3]),
        vi.ConvDecoder([3]),
        vi.DiagonalGaussian(2),
        vi.VampPrior((1, 8, 8), 2, num_pseudo_inputs=4),
        vi.Bernoulli(),
    )
    model.initialize(torch.rand(9, 1, 8, 8))
    assert model.prior_module.inputs.shape == (4, 1, 8, 8)
    assert model.sample(5).shape == (5, 1, 8, 8)
    assert vi.LogWeightELBO()(model, torch.ones(3, 1, 8, 8)).value.shape == (3,)


def test_saved_and_loaded(small_vae, data, tmp_path):
    """Density and samples are restored bit by bit, the learned weights too."""
    prior = _prior(learn_weights=True, from_data=False)
    model = small_vae(prior=prior, encoder=vi.MLP([5]), decoder=vi.MLP([5])).eval()
    again = vi.load(vi.save(model, tmp_path / "model"))
    z, samples = torch.randn(5, 2), []
    for m in (model, again):
        torch.manual_seed(4)
        samples.append(m.sample(6))
    assert torch.equal(*samples)
    with torch.no_grad():
        assert torch.equal(model.prior().log_prob(z), again.prior().log_prob(z))


def test_wake_sleep_dreams_of_it(small_vae, data, batch):
    """A step of wake-sleep moves the decoder and the encoder, and its terms are finite."""
    model = small_vae(prior=_prior())
    scheme = vi.WakeSleep()
    bound = vi.LogWeightELBO()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizers, _ = scheme.configure(model, bound)
    estimate = scheme.step(Context(model, bound, optimizers), batch(data))
    assert estimate.value.isfinite().all()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {"prior_module.inputs", "inference.encoder.layers.0.weight"} <= moved
