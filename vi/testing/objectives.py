"""The laws of bounds and of schemes."""

import warnings
from pathlib import Path

import torch

import vi
from vi.bounds.base import Bound
from vi.config.build import build
from vi.config.conversion import from_config, to_config
from vi.data.base import Batch, LoadedData, Values
from vi.schemes.base import Context, Scheme
from vi.testing.base import D, Laws, Z, check_rises, data, level, plugins_of, vae
from vi.testing.densities import standard_error

_REPEATS = 300


class BoundLaws(Laws):
    """Laws of bounds. Write ``make``."""

    tight = True
    """Whether the bound equals log p(x) at the exact posterior; false for a beta other than 1."""

    def make(self) -> Bound:
        """Return the bound under test."""
        raise NotImplementedError

    def test_it_says_what_a_bound_says(self) -> None:
        """Values and terms are (B,) and finite, with elbo = reconstruction - kl."""
        estimate = self.make()(vae(), data(7))
        terms = estimate.terms
        for column in (estimate.value, estimate.surrogate, *terms.values()):
            assert column.shape == (7,)
            assert column.isfinite().all()
        assert {"elbo", "kl", "reconstruction"} <= terms.keys()
        assert torch.allclose(terms["elbo"], terms["reconstruction"] - terms["kl"])

    @torch.no_grad()
    def test_it_is_the_evidence_at_the_exact_posterior(self) -> None:
        """The bound is log p(x), exactly for a mean of weights, else within 4.5 s.e."""
        if not self.tight:
            return
        bound, x = self.make(), data()
        model = vi.PPCA((D,), Z)
        model.initialize(x)
        evidence = model.log_evidence(x[:5])
        values = torch.stack([bound(model, x[:5]).value for _ in range(_REPEATS)])
        if bound.is_mean_of_weights:
            assert (values - evidence).abs().max() <= 1e-8
        else:
            off = (values.mean(0) - evidence).abs()
            assert (off <= 4.5 * standard_error(values) + 1e-8).all()

    @torch.no_grad()
    def test_it_is_below_the_evidence(self) -> None:
        """With another q the mean of 300 draws is at most log p(x), up to 4.5 s.e."""
        bound, x = self.make(), data()
        q = vi.Amortized(vi.MLP([5]), vi.DiagonalGaussian(Z))
        model = vi.PPCA((D,), Z, inference=q)
        model.initialize(x)
        values = torch.stack([bound(model, x[:5]).value for _ in range(_REPEATS)])
        highest = model.log_evidence(x[:5]) + 4.5 * standard_error(values)
        assert (values.mean(0) <= highest + 1e-8).all()

    def test_it_trains(self) -> None:
        """Training raises the bound of a VAE."""
        check_rises(vae(), self.make(), data())

    def test_it_is_saved_by_its_name(self) -> None:
        """The bound is saved by name with its arguments."""
        check_named("bound", self.make())


class SchemeLaws(Laws):
    """Laws of schemes. Write ``make``."""

    def make(self) -> Scheme:
        """Return the scheme under test."""
        raise NotImplementedError

    def test_its_steps_raise_the_bound(self) -> None:
        """150 steps on all data raise the ELBO; each returns the estimate of its batch."""
        model, bound, scheme, x = vae(), vi.ELBO(), self.make(), data()
        scheme.num_data = len(x)
        scheme.initialize(model, x)
        before = level(bound, model, x)
        optimizers, _ = scheme.configure(model, bound)
        context = Context(model, bound, optimizers)
        for _ in range(150):
            estimate = scheme.step(context, Batch(x, {}, torch.arange(len(x))))
            assert estimate.value.shape == (len(x),)
            assert estimate.value.isfinite().all()
        assert level(bound, model, x) > before + 0.02

    def test_it_goes_on_where_it_was(self) -> None:
        """Another object accepts the ``state_dict`` of this one."""
        one, other = self.make(), self.make()
        other.load_state_dict(one.state_dict())
        assert other.state_dict().keys() == one.state_dict().keys()

    def test_a_run_is_trained_by_it(self, tmp_path: Path) -> None:
        """``vi.fit`` trains on a few data, from the first step to the last number."""
        torch.set_default_dtype(torch.float32)
        scheme, (train, val, test) = self.make(), [Values(data(n)) for n in (60, 20, 20)]
        loaded = LoadedData(train, val, test, (D,), facts={"data/name": "laws"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            done = vi.fit(
                vae(),
                loaded,
                scheme=scheme,
                epochs=2,
                run_dir=tmp_path / "run",
                batch_size=20,
                device="cpu",
                progress_bar=False,
                evaluation=vi.ImportanceSampling(5),
                callbacks=[],
                loggers=[],
                plugins=plugins_of(scheme),
            )
        assert done.metrics["train/steps"] > 0
        assert torch.tensor(done.metrics["test/elbo"]).isfinite()

    def test_a_yaml_names_it(self) -> None:
        """A yaml in configs/scheme names the scheme."""
        option = to_config("scheme", _without_factories(self.make()), plugins_of(self.make()))
        assert option["option"]


def check_named(group: str, part: Bound) -> None:
    """Require that a yaml names the part and that its arguments rebuild it."""
    plugins = plugins_of(part)
    described = to_config(group, part, plugins)
    again = build(group, from_config(group, described, plugins), plugins=plugins)
    assert type(again) is type(part)
    assert again.arguments == part.arguments


def _without_factories(scheme: Scheme) -> Scheme:
    """Remove the functions that make optimisers from the arguments, since they have no name."""
    plain = {k: v for k, v in scheme.arguments.items() if not callable(v)}
    vars(scheme)["arguments"] = plain
    return scheme
