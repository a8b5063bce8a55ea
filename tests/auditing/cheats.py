"""Models, bounds, data and numbers that look better than they are, and what must catch each."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

import vi
from tests.auditing.honest import Made, vae, with_data
from vi.auditing.subject import Claim
from vi.data.base import LoadedData, Values
from vi.distributions.flow import FlowDistribution, zuko
from vi.distributions.protocols import Autoregressive, OnePass
from vi.evaluation.importance_sampling import ImportanceSampling
from vi.evaluation.over_split import measure

Cheat = Callable[[], dict[str, Any]]
"""Gives the arguments of ``vi.audit``."""
CHEATS: dict[str, tuple[str, Cheat]] = {}
"""What is done, with the title of the check that must fail."""


def caught_by(title: str) -> Callable[[Cheat], Cheat]:
    """Register a cheat under its docstring."""

    def register(cheat: Cheat) -> Cheat:
        assert cheat.__doc__ is not None
        CHEATS[cheat.__doc__.rstrip(".")] = (title, cheat)
        return cheat

    return register


def arguments(made: Made, **more: Any) -> dict[str, Any]:
    """The model and its data as arguments of an audit."""
    return {"model": made[0], "data": made[1], **more}


def reals(**parts: Any) -> Made:
    """An honest VAE of real data."""
    return with_data(vae(likelihood=vi.SharedScaleGaussian(scale=0.5), **parts))


class Told(Distribution):
    """Draws of p, with a log-density that is a function of that of p."""

    arg_constraints = {}

    def __init__(self, p: Distribution, tell: Callable[[Tensor], Tensor]) -> None:
        super().__init__(p.batch_shape, p.event_shape, validate_args=False)
        self.p, self.tell = p, tell

    @property
    def mean(self) -> Tensor:
        return self.p.mean

    @property
    def variance(self) -> Tensor:
        return self.p.variance

    def sample(self, sample_shape=()):
        return self.p.sample(torch.Size(sample_shape))

    def log_prob(self, value):
        return self.tell(self.p.log_prob(value))


class Changed(vi.VAE):
    """A VAE in whose distributions something is changed afterwards."""

    change_prior = change_posterior = change_likelihood = staticmethod(lambda p: p)

    def prior(self, **given):
        return self.change_prior(super().prior(**given))

    def posterior(self, x, **given):
        return self.change_posterior(super().posterior(x, **given))

    def likelihood(self, z, **given):
        return self.change_likelihood(super().likelihood(z, **given))


def changed(made: Made, **changes: Callable[[Any], Any]) -> Made:
    """The model with these changes, on the same data."""
    model, data = made
    model.__class__ = Changed
    for name, change in changes.items():
        object.__setattr__(model, f"change_{name}", change)
    return model, data


# --- what the rest of the batch tells


def _with_batch_norm() -> Made:
    """An encoder that normalises by the batch, also in evaluation mode."""
    norm = nn.BatchNorm1d(8, track_running_stats=False)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), norm, nn.Tanh(), nn.Linear(8, 4))
    return with_data(vae(encoder=encoder))


@caught_by("independence of the company")
def batch_norm() -> dict[str, Any]:
    """Batch normalisation in training mode."""
    return arguments(_with_batch_norm())


@caught_by("gradient by the neighbours")
def batch_norm_differentiated() -> dict[str, Any]:
    """Batch normalisation in training mode, seen by its gradient."""
    return arguments(_with_batch_norm())


@caught_by("independence of the company")
def neighbours_averaged() -> dict[str, Any]:
    """The mean of q is pulled towards that of the batch."""

    def pulled(q):
        loc = q.base_dist.loc
        return Independent(Normal(0.95 * loc + 0.05 * loc.mean(0), q.base_dist.scale), 1)

    return arguments(changed(with_data(vae()), posterior=pulled))


class _Retrained(vi.VAE):
    def posterior(self, x, **given):
        self.train()
        return super().posterior(x, **given)


@caught_by("evaluation mode")
def training_again() -> dict[str, Any]:
    """The encoder puts the model back into training mode."""
    model, data = with_data(vae())
    model.__class__ = _Retrained
    return {"model": model, "data": data}


class _Dropped(nn.Module):
    def forward(self, z):
        return nn.functional.dropout(z, 0.2, training=True)


@caught_by("evaluation mode")
def dropout() -> dict[str, Any]:
    """Dropout in the decoder at evaluation."""
    return arguments(with_data(vae(decoder=nn.Sequential(_Dropped(), nn.Linear(2, 6)))))


# --- masks


class _Masked(Autoregressive, Distribution):
    """Bits with logits a + W x, where W is masked."""

    arg_constraints = {}

    def __init__(self, logits: Tensor, weight: Tensor) -> None:
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)
        self.logits, self.weight = logits, weight

    def log_prob_entries(self, value):
        logits = self.logits + value @ self.weight.mT
        return -nn.functional.softplus((1 - 2 * value) * logits)

    def log_prob(self, value):
        return self.log_prob_entries(value).sum(-1)

    def sample(self, sample_shape=()):
        x = torch.zeros(*sample_shape, *self.logits.shape)
        for d in range(x.shape[-1]):
            logits = self.logits[..., d] + x @ self.weight[d]
            x[..., d] = torch.bernoulli(logits.sigmoid())
        return x


def masked(diagonal: int) -> Made:
    """A VAE with an autoregressive decoder; with diagonal 0 an entry sees itself."""
    torch.manual_seed(1)
    weight = 2 * torch.randn(6, 6).tril(diagonal)
    return changed(with_data(vae()), likelihood=lambda p: _Masked(p.base_dist.logits, weight))


@caught_by("causality")
def mask_off_by_one() -> dict[str, Any]:
    """A mask off by one in an autoregressive decoder."""
    return arguments(masked(0))


@caught_by("p(x|z) is a density")
def mask_off_by_one_summed() -> dict[str, Any]:
    """A mask off by one, seen by the sum over the values of an entry."""
    return arguments(masked(0))


@caught_by("causality")
def no_mask() -> dict[str, Any]:
    """No mask in an autoregressive decoder."""
    return arguments(masked(6))


class _Affine(zuko.transforms.AutoregressiveTransform):
    """y = exp(a) x + W x, which is autoregressive if W is strictly lower triangular."""

    def __init__(self, weight: Tensor) -> None:
        scale = torch.full((len(weight),), 0.3)
        affine = zuko.transforms.MonotonicAffineTransform
        independent = zuko.transforms.DependentTransform
        super().__init__(lambda x: independent(affine(x @ weight.mT, scale), 1), len(weight))


def flow_prior(weight: Tensor) -> Made:
    """A VAE whose p(z) is an affine autoregressive flow."""
    p = FlowDistribution(_Affine(weight), *torch.zeros(2, len(weight)))
    return changed(with_data(vae(latent_dim=len(weight))), prior=lambda _: p)


@caught_by("causality")
def flow_mask_off_by_one() -> dict[str, Any]:
    """A mask off by one in the flow of p(z)."""
    return arguments(flow_prior(0.3 * torch.randn(3, 3).tril()))


@caught_by("p(z) is a density")
def flow_without_determinant() -> dict[str, Any]:
    """A flow without its log-determinant."""

    class _Lost(FlowDistribution):
        def log_prob(self, value):
            noise = self.transform.inv((value - self.loc) * (-self.log_scale).exp())
            return Normal(0.0, 1.0).log_prob(noise).sum(-1)

    p = _Lost(_Affine(0.3 * torch.randn(3, 3).tril(-1)), *torch.zeros(2, 3))
    return arguments(changed(with_data(vae(latent_dim=3)), prior=lambda _: p))


# --- a way around z


class _Peeking(vi.VAE):
    def posterior(self, x, **given):
        self.seen = x
        return super().posterior(x, **given)

    def likelihood(self, z, **given):
        p = super().likelihood(z, **given)
        logits = p.base_dist.logits
        if getattr(self, "seen", torch.empty(0)).shape[:1] == logits.shape[-2:-1]:
            logits = logits + 0.5 * (self.seen - 0.5)
        return type(p)(torch.distributions.Bernoulli(logits=logits, validate_args=False), 1)


def _peeking() -> Made:
    model, data = with_data(vae())
    model.__class__ = _Peeking
    return model, data


@caught_by("no way around z")
def leak() -> dict[str, Any]:
    """The decoder reads features of x that the encoder has kept."""
    return arguments(_peeking())


@caught_by("the total of p(x)")
def leak_summed() -> dict[str, Any]:
    """The decoder reads features of x, seen by the sum over all x."""
    return arguments(_peeking())


# --- factors that are no densities


@caught_by("p(x|z) is a density")
def constant_missing() -> dict[str, Any]:
    """A Gaussian likelihood without its normalising constant."""
    more = 0.5 * math.log(2 * math.pi)

    def bare(p):
        return Independent(Told(p.base_dist, lambda log_p: log_p + more), 1)

    return arguments(changed(reals(), likelihood=bare))


@caught_by("the total of p(x)")
def constant_missing_in_the_plane() -> dict[str, Any]:
    """A missing constant, seen by the integral over a plane."""
    made = with_data(vae(data_shape=(2,), likelihood=vi.SharedScaleGaussian(scale=0.5)))
    return arguments(changed(made, likelihood=lambda p: Told(p, lambda log_p: log_p + 0.3)))


@caught_by("p(x|z) is a density")
def tempered() -> dict[str, Any]:
    """A tempered likelihood."""
    tempered = lambda p: Independent(Told(p.base_dist, lambda log_p: 0.8 * log_p), 1)
    return arguments(changed(with_data(vae()), likelihood=tempered))


class _Mean(Independent):
    def log_prob(self, value):
        return self.base_dist.log_prob(value).mean(-1)


@caught_by("p(x|z) is a density")
def mean_over_dimensions() -> dict[str, Any]:
    """The mean over the entries of x in place of their sum."""
    mean = lambda p: _Mean(p.base_dist, 1)
    return arguments(changed(with_data(vae()), likelihood=mean))


class _WithoutWorst(Independent):
    def log_prob(self, value):
        each = self.base_dist.log_prob(value)
        return each.sum(-1) - each.amin(-1)


@caught_by("p(x|z) is a density")
def worst_entry_dropped() -> dict[str, Any]:
    """The entry of x that is least likely is left out."""
    made = changed(with_data(vae()), likelihood=lambda p: _WithoutWorst(p.base_dist, 1))
    return arguments(made)


@caught_by("p(z) is a density")
def prior_not_normalised() -> dict[str, Any]:
    """A prior whose density integrates to more than 1."""
    more = lambda p: Told(p, lambda log_p: log_p + 0.1)
    return arguments(changed(with_data(vae()), prior=more))


@caught_by("p(z) is a density")
def prior_not_normalised_in_many_dimensions() -> dict[str, Any]:
    """A prior of 20 dimensions whose density integrates to more than 1."""
    more = lambda p: Told(p, lambda log_p: log_p + 1.0)
    return arguments(changed(with_data(vae(latent_dim=20)), prior=more))


@caught_by("q(z|x) is a density")
def log_q_scaled() -> dict[str, Any]:
    """log q is multiplied by .9."""
    scaled = lambda q: Told(q, lambda log_q: 0.9 * log_q)
    return arguments(changed(with_data(vae()), posterior=scaled))


class _Tempered(Normal):
    def log_prob(self, value):
        return Normal(self.loc, 1.2 * self.scale).log_prob(value)


@caught_by("draws of these densities")
def temperature_in_q() -> dict[str, Any]:
    """A temperature in the density of q, which is normalised, and not in its draws."""
    cold = lambda q: Independent(_Tempered(q.base_dist.loc, q.base_dist.scale), 1)
    return arguments(changed(with_data(vae()), posterior=cold))


class _TwoFaced(OnePass, Independent):
    def rsample_and_density(self, sample_shape=()):
        z = Independent.rsample(self, torch.Size(sample_shape))
        return z, lambda: self.log_prob(z) - 0.2

    def rsample(self, sample_shape=()):
        return Independent.rsample(self, torch.Size(sample_shape))


@caught_by("draws of these densities")
def log_q_of_draws() -> dict[str, Any]:
    """Another log q with the draws than at the draws."""
    return arguments(changed(with_data(vae()), posterior=lambda q: _TwoFaced(q.base_dist, 1)))


class _Weighted(vi.VAE):
    def log_joint_and_prior(self, x, z, **given):
        log_prior = self.prior(**given).log_prob(z)
        return self.likelihood(z, **given).log_prob(x) + 0.5 * log_prior, log_prior


@caught_by("the joint density")
def weight_in_the_joint() -> dict[str, Any]:
    """log p(z) has the weight .5 in log p(x, z)."""
    model, data = with_data(vae())
    model.__class__ = _Weighted
    return {"model": model, "data": data}


class _Overstated(vi.PPCA):
    def log_evidence(self, x, **given):
        return super().log_evidence(x, **given) + 0.05


@caught_by("the exact log p(x)")
def overstated_evidence() -> dict[str, Any]:
    """A closed form of log p(x) that is .05 nats too high."""
    x = torch.randn(300, 6, dtype=torch.double)
    model = _Overstated((6,), latent_dim=2)
    model.initialize(x)
    return {"model": model, "data": tensors(x[:200], x[200:])}


# --- bounds that report something else


class _Surrogate(vi.IWAE):
    def forward(self, model, x, **given):
        found = super().forward(model, x, **given)
        return replace(found, value=found.value - found.terms["kl"] / 2 + found.terms["kl"])


@caught_by("a value, not a surrogate")
def surrogate() -> dict[str, Any]:
    """A surrogate is reported in place of the bound."""
    return arguments(with_data(vae()), bound=_Surrogate(num_samples=4))


class _Light(vi.ELBO):
    def forward(self, model, x, **given):
        found = super().forward(model, x, **given)
        elbo = found.value + 0.3 * found.terms["kl"]
        return replace(found, value=elbo, terms=found.terms | {"elbo": elbo})


@caught_by("a value, not a surrogate")
def hidden_weight() -> dict[str, Any]:
    """The KL has the weight .7 in a number that is called ELBO."""
    return arguments(with_data(vae()), bound=_Light())


class _MoreSamples(vi.IWAE):
    def forward(self, model, x, **given):
        return vi.IWAE(50).forward(model, x, **given)


@caught_by("a value, not a surrogate")
def more_samples() -> dict[str, Any]:
    """IWAE-2 takes 50 samples."""
    return arguments(wide_gap(), bound=_MoreSamples(num_samples=2))


class _Summed(vi.IWAE):
    def forward(self, model, x, **given):
        found = super().forward(model, x, **given)
        return replace(found, value=found.value + math.log(self.num_samples))


@caught_by("below log p(x)")
def without_log_k() -> dict[str, Any]:
    """IWAE without its - log K."""
    return arguments(with_data(vae()), bound=_Summed(num_samples=8))


def wide_gap() -> Made:
    """An encoder far from the posterior."""
    return changed(
        with_data(vae()),
        posterior=lambda q: Independent(Normal(q.base_dist.loc + 1, q.base_dist.scale), 1),
    )


# --- data


def tensors(train: Tensor, test: Tensor) -> LoadedData:
    """Two splits."""
    return LoadedData(Values(train), None, Values(test), tuple(train.shape[1:]))


@caught_by("unseen data")
def test_rows_in_training() -> dict[str, Any]:
    """Twenty of 200 test data are training data."""
    model, data = reals()
    test = data.test.stored.clone()
    test[::10] = data.train.stored[:20]
    return {"model": model, "data": tensors(data.train.stored, test)}


@caught_by("unseen data")
def split_exchanged() -> dict[str, Any]:
    """The training data are called test data."""
    model, data = reals()
    return {"model": model, "data": tensors(data.train.stored, data.train.stored)}


@caught_by("one scale")
def rounded() -> dict[str, Any]:
    """The test data are rounded to fewer levels than the training data."""
    model, data = reals()
    train, test = (s.stored.clamp(-3, 3).mul(64).round() / 64 for s in (data.train, data.test))
    return {"model": model, "data": tensors(train, (test * 4).round() / 4)}


@caught_by("one scale")
def rescaled() -> dict[str, Any]:
    """The test data are half as large as the training data."""
    model, data = reals()
    return {"model": model, "data": tensors(data.train.stored, data.test.stored / 2)}


@caught_by("one scale")
def clipped() -> dict[str, Any]:
    """The test data are clipped to the middle of their range."""
    model, data = reals()
    return {"model": model, "data": tensors(data.train.stored, data.test.stored.clamp(-1, 1))}


@caught_by("density and grid")
def collapsed() -> dict[str, Any]:
    """A density of grey levels that has collapsed on them."""
    x = torch.randint(0, 2, (400, 1)).float().expand(400, 6).contiguous()
    decoder, encoder = nn.Linear(1, 6, bias=False), nn.Linear(6, 2)
    with torch.no_grad():
        decoder.weight.fill_(1.0)
        encoder.weight.copy_(torch.tensor([[1 / 6] * 6, [0.0] * 6]))
        encoder.bias.copy_(torch.tensor([0.0, math.log(1e-3)]))
    model = vae(
        encoder=encoder,
        decoder=decoder,
        likelihood=vi.FixedScaleGaussian(scale=1e-3),
        latent_dim=1,
    )
    with torch.no_grad():
        decoder.weight.fill_(1.0)
        encoder.weight.copy_(torch.tensor([[1 / 6] * 6, [0.0] * 6]))
    return {"model": model, "data": tensors(x[:200], x[200:])}


@caught_by("the support of the data")
def grey_as_bits() -> dict[str, Any]:
    """Grey levels under a likelihood of bits."""
    model, data = with_data(vae())
    return {"model": model, "data": tensors(data.train.stored, torch.rand(200, 6))}


def digits(binarize: str = "dynamic") -> tuple[vi.VAE, LoadedData]:
    """A small VAE of digits, and these."""
    data = vi.data.Digits(binarize=binarize)
    loaded = replace(data.load(0), option=data)
    return vae(data_shape=(1, 8, 8)), loaded


@caught_by("the data that are named")
def bits_again() -> dict[str, Any]:
    """The test bits are drawn again, with another seed."""
    model, data = digits()
    assert data.option is not None
    return {"model": model, "data": replace(data, test=data.option.load(3).test)}


@caught_by("the data that are named")
def another_binarisation() -> dict[str, Any]:
    """Static bits under the name of dynamic ones."""
    model, data = digits()
    other = vi.data.Digits(binarize="static").load(0)
    return {"model": model, "data": replace(data, train=other.train, test=other.test)}


@caught_by("the data that are named")
def hard_data_dropped() -> dict[str, Any]:
    """The test data that are hard are dropped."""
    model, data = digits()
    easy = data.test.stored.flatten(1).sum(1).argsort()[:150]
    return {"model": model, "data": replace(data, test=data.test.taken(easy))}


@caught_by("unseen data")
def seen_images() -> dict[str, Any]:
    """Test bits that are drawn from training images, without a name of the data."""
    model, data = digits()
    grey = vi.data.Digits(binarize="none").load(0)
    x = grey.train.stored[:1000].repeat_interleave(16, -1)
    train = type(data.train)(x, levels=16)
    test = Values((torch.rand(100, *x.shape[1:]) * 16 < x[:100]).to(torch.uint8))
    model = vae(data_shape=tuple(x.shape[1:]))
    return {"model": model, "data": LoadedData(train, None, test, tuple(x.shape[1:]))}


# --- numbers


def stated(model, data, *, split: str = "test", samples: int = 20, seed: int = 0, **changes: Any):
    """What an honest person says, with changes."""
    measured = measure(
        model.eval(),
        getattr(data, split),
        vi.ELBO(),
        ImportanceSampling(samples),
        seed=seed,
        repeats=2,
    )
    return Claim("metrics.json", "test", measured.numbers | changes, 0)


@caught_by("the stated numbers")
def edited() -> dict[str, Any]:
    """metrics.json edited by hand: .01 nats better."""
    model, data = with_data(vae())
    better = stated(model, data).numbers["log_likelihood"] + 0.01
    return {"model": model, "data": data, "claims": [stated(model, data, log_likelihood=better)]}


@caught_by("the stated numbers")
def samples_misnamed() -> dict[str, Any]:
    """A number of 200 samples is called one of 20."""
    model, data = wide_gap()
    claim = stated(model, data, samples=200, log_likelihood_samples=20)
    return {"model": model, "data": data, "claims": [claim]}


@caught_by("the stated numbers")
def best_seed() -> dict[str, Any]:
    """The seed of the noise with the best number, under the name of the first one."""
    model, data = with_data(vae())
    claims = [stated(model, data, seed=seed) for seed in range(1, 4)]
    best = max(claims, key=lambda claim: claim.numbers["elbo"])
    return {"model": model, "data": data, "claims": [best]}


@caught_by("the stated numbers")
def best_subset() -> dict[str, Any]:
    """The mean over the half of the data that are likely."""
    model, data = with_data(vae())
    likely = vi.log_likelihood(model.eval(), data.test.stored, 20).value.topk(100).indices
    some = replace(data, test=data.test.taken(likely))
    return {"model": model, "data": data, "claims": [stated(model, some)]}


@caught_by("the stated numbers")
def training_number() -> dict[str, Any]:
    """The number of the training data is called that of the test data."""
    model, data = with_data(vae())
    return {"model": model, "data": data, "claims": [stated(model, data, split="train")]}
