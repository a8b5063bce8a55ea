"""Layers of latents: one flat event whose density is the product over its layers."""

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

import vi
from tests.support.inference import q_at, said
from tests.support.oracles import standard_error
from vi.diagnostics.kl_per_layer import kl_per_layer
from vi.distributions.chain import diagonal_gaussian
from vi.distributions.datum_noise import datum_noise
from vi.distributions.draw import draw

SIZES = [3, 2]


def _vae(**parts) -> vi.VAE:
    defaults = {
        "data_shape": (6,),
        "encoder": vi.MLP([5], nn.Tanh()),
        "decoder": vi.MLP([5], nn.Tanh()),
        "posterior": vi.ChainPosterior(SIZES, hidden=[4]),
        "prior": vi.ChainPrior(SIZES, hidden=[4]),
        "likelihood": vi.SharedScaleGaussian(scale=0.7),
    }
    return vi.VAE(**(defaults | parts))


def _ladder(**parts) -> vi.Ladder:
    defaults = {
        "data_shape": (6,),
        "encoder": vi.MLP([5], nn.Tanh()),
        "decoder": vi.MLP([5], nn.Tanh()),
        "likelihood": vi.SharedScaleGaussian(scale=0.7),
        "latent_dims": SIZES,
        "width": 7,
    }
    return vi.Ladder(**(defaults | parts))


MODELS = {"chain": _vae, "ladder": _ladder}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request):
    """Both classes that make layers."""
    return request.param()


def test_density_is_the_product_of_the_layers_by_hand():
    """log q(z_1|x) + log q(z_2|z_1) and log p(z_2) + log p(z_1|z_2), written out: at most 1e-12.

    Caught: the layers of the prior in the order of the posterior.
    """
    head, prior, z = (
        vi.ChainPosterior(SIZES, hidden=[4]),
        vi.ChainPrior(SIZES),
        torch.randn(7, 5, 5),
    )
    params = torch.randn(5, 6)
    z_1, z_2 = z.split(SIZES, -1)
    log_q = [diagonal_gaussian(params).log_prob(z_1)]
    log_q.append(diagonal_gaussian(head.upwards[0](z_1)).log_prob(z_2))
    log_p = [diagonal_gaussian(prior.downwards[0](z_2)).log_prob(z_1)]
    log_p.append(vi.StandardNormal(2)().log_prob(z_2))
    for chain, parts in ((head(params), log_q), (prior(), log_p)):
        assert (chain.log_prob_layers(z) - torch.stack(parts)).abs().max() <= 1e-12
        assert (chain.log_prob(z) - sum(parts)).abs().max() <= 1e-12


def test_a_draw_and_its_density_come_in_one_pass(model):
    """``rsample_and_log_prob`` returns log q of its draws: at most 1e-12.

    Caught: the layers of a draw joined in the order of sampling.
    """
    for p in (model.posterior(torch.randn(5, 6)), model.prior()):
        z, log_p = p.rsample_and_log_prob((7,))
        assert z.shape == (7, *p.batch_shape, 5)
        assert (p.log_prob(z) - log_p).abs().max() <= 1e-12


def test_draws_of_a_linear_chain_have_its_moments():
    """For an affine layer p(z_1) = int p(z_1|z_2) p(z_2) dz_2: 200 000 draws, within 4 s.e.

    9 numbers: fails by chance once in 1 700. Caught: a layer drawn at the mean of the one above.
    """
    prior = vi.ChainPrior(SIZES, hidden=[])
    layer = prior.downwards[0].layers[0]
    with torch.no_grad():
        layer.weight[3:] = 0  # the scales do not depend on z_2
    loc, log_scale = layer.bias.chunk(2)
    weight = layer.weight[:3]
    covariance = weight @ weight.mT + (2 * log_scale).exp().diag_embed()
    z = prior().sample((200_000,))[:, :3] - loc
    for zero_mean in (z, z[:, :, None] * z[:, None] - covariance):
        assert (zero_mean.mean(0).abs() <= 4 * standard_error(zero_mean)).all()


def test_the_noise_of_a_datum_is_its_own(model):
    """A datum draws the same alone and in a batch, bit by bit.

    Caught: noise of shape (B, K, ..).
    """
    x = torch.randn(4, 6)
    with datum_noise(0, range(4)):
        together = draw(model.posterior(x), 3).z
    with datum_noise(0, [2]):
        alone = draw(model.posterior(x[2:3]), 3).z
    assert (together[:, 2:3] - alone).abs().max() <= 1e-12


def test_kl_per_layer_adds_up_to_the_kl(model):
    """The KL per layer adds up to the KL of the same draws: at most 1e-12.

    Caught: the layers of q and p paired crosswise.
    """
    x = torch.randn(4, 6)
    with datum_noise(0, range(4)):
        layers = kl_per_layer(model, x, num_samples=3)
    with datum_noise(0, range(4)):
        terms = vi.LogWeightELBO(3)(model, x).terms
    assert layers.shape == (2,)
    assert (layers.sum() - terms["kl"].mean()).abs() <= 1e-12


def test_the_likelihood_of_a_chain_reads_its_first_layer():
    """The likelihood reads z_1 only, unless ``decode_all`` is set. Caught: the last layer read."""
    z, other = torch.randn(4, 5), torch.randn(4, 2)
    changed = torch.cat([z[:, :3], other], -1)
    one, all_ = _vae(), _vae(prior=vi.ChainPrior(SIZES, decode_all=True))
    assert torch.equal(one.likelihood(z).mean, one.likelihood(changed).mean)
    assert (all_.likelihood(z).mean - all_.likelihood(changed).mean).abs().min() > 0


def test_the_ladder_tells_q_relative_to_p():
    """Outputs of 0 make q the prior; (a, log b) shift the mean by a and scale by b: 1e-12.

    Caught: a in units of s; b in place of its logarithm; the layers in the other order.
    """
    model, x, z = _ladder(), torch.randn(4, 6), torch.randn(4, 5)
    a, log_b = torch.tensor([1.0, -2.0, 0.0]), torch.tensor([0.0, 0.5, -100.0])
    with torch.no_grad():
        for network in model.inference.differences:
            for p in network.parameters():
                p.zero_()
        assert (model.posterior(x).log_prob(z) - model.prior().log_prob(z)).abs().max() <= 1e-12
        model.inference.differences[1].layers[-1].bias.copy_(torch.cat([a, log_b]))
        (q, q_above), (p, p_above) = (
            d.conditionals(z) for d in (model.posterior(x), model.prior())
        )
    assert (p.stddev - 1).abs().min() >= 1e-3  # else units of s would be those of z
    assert (q.mean - p.mean - a).abs().max() <= 1e-12
    expected = (5 * (log_b / 5).tanh()).exp()
    assert (q.stddev / p.stddev / expected - 1).abs().max() <= 1e-12
    assert (q_above.log_prob(z[:, 3:]) - p_above.log_prob(z[:, 3:])).abs().max() <= 1e-12


def test_higher_layers_of_the_ladder_see_higher_features():
    """Features above d_1 affect q(z_2|x) only. Caught: the features in the other order."""
    model, x, z = _ladder(), torch.randn(4, 6), torch.randn(4, 5)

    def densities() -> tuple[torch.Tensor, ...]:
        q = model.posterior(x).conditionals(z)
        return tuple(d.log_prob(part) for d, part in zip(q, z.split(SIZES, -1), strict=True))

    before = densities()
    with torch.no_grad():
        for p in model.inference.upwards.parameters():
            p.mul_(2)
    after = densities()
    assert torch.equal(after[0], before[0])
    assert (after[1] - before[1]).abs().min() > 0


def test_layers_with_a_closed_form_kl_agree_with_the_log_weights():
    """The two bounds of one model agree in expectation: 40 000 draws, within 4 s.e. (1 in 16 000).

    The layered bound has the smaller variance. Caught: KL(p || q) of a layer.
    """
    model, x = _ladder(), torch.randn(1, 6).expand(40_000, -1)
    with torch.no_grad():
        layered, plain = vi.LayeredELBO()(model, x).value, vi.LogWeightELBO()(model, x).value
    error = (layered.var() / 40_000 + plain.var() / 40_000).sqrt()
    assert (layered.mean() - plain.mean()).abs() <= 4 * error
    assert layered.var() < plain.var()


def test_layered_terms_tell_every_layer():
    """The layers add up to the KL, and each is a KL.

    Caught: the first layer left out of the sum.
    """
    terms = vi.LayeredELBO(3)(_ladder(), torch.randn(4, 6)).terms
    assert (terms["kl_layer_1"] + terms["kl_layer_2"] - terms["kl"]).abs().max() <= 1e-12
    assert min(terms["kl_layer_1"].min(), terms["kl_layer_2"].min()) >= 0


def test_one_layer_is_the_elbo(small_vae, data):
    """With one layer the layered bound is the ELBO of the same noise, bit by bit."""
    model, values = small_vae(), []
    for bound in (vi.ELBO(2), vi.LayeredELBO(2)):
        torch.manual_seed(1)
        values.append(bound(model, data).value)
    assert torch.equal(*values)


def test_opposite_orders_have_no_kl_of_a_layer():
    with pytest.raises(vi.ConfigurationError, match="in different orders") as refusal:
        vi.LayeredELBO()(_vae(), torch.randn(4, 6))
    assert "bound=elbo_log_weight" in refusal.value.hint


def test_every_parameter_of_the_ladder_learns():
    model = _ladder()
    vi.LayeredELBO()(model, torch.randn(9, 6)).surrogate.mean().backward()
    assert all(p.grad.abs().max() > 0 for p in model.parameters())
    assert len(model.inference.own_parameters()) + len(model.generative_parameters()) == len(
        list(model.parameters())
    )


def test_refined_parameters_give_the_posterior_of_the_ladder():
    """``at(parameters_of(x))`` equals ``posterior(x)``."""
    model, x = _ladder(), torch.randn(4, 6)
    z = torch.randn(4, 5)
    again = q_at(model, said(model, x))
    assert torch.equal(again.log_prob(z), model.posterior(x).log_prob(z))


@pytest.mark.parametrize(
    "make", [vi.ChainPosterior, vi.ChainPrior, lambda d: _ladder(latent_dims=d)]
)
def test_refuses_a_layer_without_dimensions(make):
    with pytest.raises(vi.ConfigurationError, match="latent_dims must be greater than 0"):
        make([3, 0])


def _exact_evidence(model: vi.VAE) -> MultivariateNormal:
    """Return p(x) of a chain whose layers are affine with constant scales, in closed form."""
    down, out = model.prior_module.downwards[0].layers[0], model.decoder.layers[0]
    size = model.prior_module.latent_dims[0]
    loc, log_scale = down.bias.chunk(2)
    of_z = down.weight[:size] @ down.weight[:size].mT + (2 * log_scale).exp().diag_embed()
    zero = torch.zeros(1, sum(model.prior_module.latent_dims))
    scale = model.likelihood(zero).stddev.flatten()
    covariance = out.weight @ of_z @ out.weight.mT + scale.square().diag_embed()
    return MultivariateNormal(out.weight @ loc + out.bias, covariance)


@pytest.mark.slow
def test_a_linear_chain_reaches_its_exact_evidence():
    """Two affine layers of one latent each, 3 000 steps: log p(x) - ELBO is at most 1e-3 nats.

    The family contains the exact q(z_1|x) q(z_2|z_1), so that no other gap remains. Caught:
    q(z_2|z_1) given the mean of z_1.
    """
    model = _vae(
        encoder=vi.MLP([]), decoder=vi.MLP([]),
        posterior=vi.ChainPosterior([1, 1], hidden=[]), prior=vi.ChainPrior([1, 1], hidden=[]),
    )  # fmt: skip
    x = torch.randn(500, 1) * torch.randn(6) + 0.3 * torch.randn(500, 6)
    constant = [model.prior_module.downwards[0], model.inference.head.upwards[0], model.encoder]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3000)
    for _ in range(3000):
        for network in constant:  # scales that do not depend on the input
            network.layers[0].weight.data[1:] = 0
        (-vi.LogWeightELBO()(model, x).surrogate.mean()).backward()
        optimizer.step(), optimizer.zero_grad(), decay.step()
    for network in constant:
        network.layers[0].weight.data[1:] = 0
    with torch.no_grad():
        elbo = vi.LogWeightELBO(200)(model, x).value.mean()
        gap = _exact_evidence(model).log_prob(x).mean() - elbo
    assert gap.abs() <= 1e-3


def test_one_number_is_cut_into_two_halves():
    """A single latent_dim is split, so that a chain has as many latents as other posteriors."""
    for latent_dim, sizes in ((1, (1,)), (5, (3, 2)), (8, (4, 4))):
        q, p = vi.ChainPosterior(latent_dim), vi.ChainPrior(latent_dim)
        assert q.latent_dims == p.latent_dims == _ladder(latent_dims=latent_dim).latent_dims
        assert (q.latent_dims, q.event_shape) == (sizes, (latent_dim,))
    with pytest.raises(vi.ConfigurationError, match="latent_dims is empty"):
        vi.ChainPrior([])


def test_a_standardised_ladder_is_a_density_of_the_data():
    """log p(x|z) = log p((x - m) / s | z) - sum log s, and q reads the standardised x.

    Caught: standardize accepted and ignored.
    """
    m, s, x, z = torch.randn(6), torch.rand(6) + 0.5, torch.randn(4, 6), torch.randn(4, 5)
    plain, model = _ladder(), _ladder(standardize=True)
    model.load_state_dict(plain.state_dict() | {"data_loc": m, "data_scale": s})
    expected = plain.log_joint((x - m) / s, z) - s.log().sum()
    assert (model.log_joint(x, z) - expected).abs().max() <= 1e-12
    one, other = model.posterior(x), plain.posterior((x - m) / s)
    assert (one.log_prob(z) - other.log_prob(z)).abs().max() <= 1e-12
