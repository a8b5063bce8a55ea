"""The laws of posteriors, priors and likelihoods."""

from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import constraints

import vi
from vi.bounds.base import Bound
from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.models.vae import VAE
from vi.testing import densities
from vi.testing.base import D, Laws, Z, check_rises, check_saved, data, vae
from vi.testing.quadrature import dimensions


class PosteriorLaws(Laws):
    """Write ``make``; and ``prior`` for a z that is not all of R^Z."""

    def make(self, latent_dim: int) -> ConditionalDistribution:
        """The head under test."""
        raise NotImplementedError

    def prior(self, latent_dim: int) -> Prior:
        """One on the same support."""
        return vi.StandardNormal(latent_dim)

    def bound(self) -> Bound:
        """One that this q can be trained by."""
        return vi.LogWeightELBO(2)

    def test_it_gives_one_distribution_for_each_row(self) -> None:
        """batch_shape, event_shape and out_shape are what they should be."""
        head = self.make(3)
        q = head(_params(head, 7, 5))
        assert q.batch_shape == (7, 5)
        assert q.event_shape == head.event_shape == (3,)
        assert q.sample((2,)).shape == (2, 7, 5, 3)

    def test_its_density_integrates_to_one(self) -> None:
        """In two sizes."""
        for dim in dimensions(self.make(2).support):
            head = self.make(dim)
            with torch.no_grad():
                q = head(_params(head, 2))
            densities.check_integral(q, head.support)

    def test_its_draws_have_its_moments(self) -> None:
        """``mean`` and ``variance``; 18 numbers."""
        head = self.make(3)
        densities.check_moments(head(_params(head, 3).detach()))

    def test_its_draws_are_of_its_density(self) -> None:
        """And lie in the support."""
        head = self.make(2)
        densities.check_draws(head(_params(head, 3).detach()), head.support)

    def test_the_gradient_goes_through_its_draws(self) -> None:
        """As the integral says."""
        head = self.make(2)
        densities.check_gradient_of_draws(head, _params(head, 1)[0])

    def test_every_parameter_counts(self) -> None:
        """For a draw, or for its density."""
        head = self.make(3)
        densities.check_every_parameter_counts(head, _params(head, 5))

    def test_it_trains(self) -> None:
        """A VAE with it climbs its bound."""
        check_rises(self._vae(), self.bound(), data())

    def test_it_is_saved_by_its_name(self, tmp_path: Path) -> None:
        """And loaded bit by bit."""
        check_saved(self._vae(), self.make(Z), tmp_path)

    def _vae(self) -> VAE:
        return vae(posterior=self.make(Z), prior=self.prior(Z))


class PriorLaws(Laws):
    """Write ``make``; and ``posterior`` for a z that is not all of R^Z."""

    def make(self, latent_dim: int) -> Prior:
        """The prior under test."""
        raise NotImplementedError

    def posterior(self, latent_dim: int) -> ConditionalDistribution:
        """One on the same support."""
        return vi.DiagonalGaussian(latent_dim)

    def bound(self) -> Bound:
        """One that it can be trained by."""
        return vi.LogWeightELBO(2)

    def test_it_is_one_distribution(self) -> None:
        """batch_shape and event_shape are what they should be."""
        p = self.make(3)()
        assert p.batch_shape == ()
        assert p.event_shape == (3,)

    def test_its_density_integrates_to_one(self) -> None:
        """In two sizes."""
        for dim in dimensions(self.make(2).support):
            prior = self.make(dim)
            densities.check_integral(prior(), prior.support)

    def test_its_draws_have_its_moments(self) -> None:
        """``mean`` and ``variance``; 6 numbers."""
        densities.check_moments(self.make(3)())

    def test_its_draws_are_of_its_density(self) -> None:
        """And lie in the support."""
        prior = self.make(2)
        densities.check_draws(prior(), prior.support)

    def test_its_parameters_learn(self) -> None:
        """Each of them moves log p(z)."""
        prior = self.make(2)
        z = prior().sample((5,))
        own = [p for p in prior.parameters() if p.requires_grad]
        if own:
            for gradient in torch.autograd.grad(prior().log_prob(z).sum(), own):
                assert (gradient != 0).any()

    def test_it_trains(self) -> None:
        """A VAE with it climbs its bound."""
        check_rises(self._vae(), self.bound(), data())

    def test_it_is_saved_by_its_name(self, tmp_path: Path) -> None:
        """And loaded bit by bit."""
        check_saved(self._vae(), self.make(Z), tmp_path)

    def _vae(self) -> VAE:
        return vae(posterior=self.posterior(Z), prior=self.make(Z))


class LikelihoodLaws(Laws):
    """Write ``make``; and ``draw`` where x = 0 and x = 1 are no data of it."""

    def make(self) -> ConditionalDistribution:
        """The head under test."""
        raise NotImplementedError

    def draw(self, n: int) -> Tensor:
        """Data (n, 6) to train on: normal where x is real, else draws of the head itself."""
        head = self._shaped(D)
        if head.support is constraints.real:
            return data(n)
        with torch.no_grad():
            return head(_params(head, n)).sample()

    def test_it_gives_one_distribution_for_each_row(self) -> None:
        """batch_shape, event_shape and out_shape are what they should be; images too."""
        for shape in ((3,), (1, 2, 2)):
            head = self.make()
            head.set_event_shape(shape)
            p = head(_params(head, 7, 5))
            assert p.batch_shape == (7, 5)
            assert p.sample().shape == (7, 5, *shape)

    def test_its_density_integrates_to_one(self) -> None:
        """In two sizes."""
        for dim in dimensions(self.make().support):
            head = self._shaped(dim)
            with torch.no_grad():
                p = head(_params(head, 2))
            densities.check_integral(p, head.support)

    def test_its_draws_have_its_moments(self) -> None:
        """``mean`` and ``variance``; 24 numbers."""
        head = self._shaped(4)
        densities.check_moments(head(_params(head, 3).detach()))

    def test_its_draws_are_of_its_density(self) -> None:
        """And lie in the support."""
        head = self._shaped(dimensions(self.make().support)[0])
        densities.check_draws(head(_params(head, 3).detach()), head.support)

    def test_every_parameter_counts(self) -> None:
        """For a draw, or for its density."""
        head = self._shaped(3)
        densities.check_every_parameter_counts(head, _params(head, 9))

    def test_it_starts_at_the_mean_of_the_data(self) -> None:
        """``start_at`` gives a tensor of each of ``param_shapes``, and about the right mean."""
        head, x = self._shaped(D), self.draw(400)
        start = head.start_at(x)
        if start:
            assert [tuple(s.shape) for s in start] == [tuple(s) for s in head.param_shapes]
            mean = head(torch.cat([s.flatten() for s in start])).mean
            assert ((mean - x.mean(0)).abs() <= 0.3 * x.std(0) + 1e-6).all()

    def test_it_trains(self) -> None:
        """A VAE with it climbs the ELBO."""
        check_rises(vae(likelihood=self.make()), vi.ELBO(), self.draw(60))

    def test_it_is_saved_by_its_name(self, tmp_path: Path) -> None:
        """And loaded bit by bit."""
        check_saved(vae(likelihood=self.make()), self.make(), tmp_path)

    def _shaped(self, dim: int) -> ConditionalDistribution:
        head = self.make()
        head.set_event_shape((dim,))
        return head.eval()


def _params(head: ConditionalDistribution, *batch: int) -> Tensor:
    return torch.randn(*batch, *head.out_shape)
