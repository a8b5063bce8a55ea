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
    """Laws of posteriors. Write ``make``, and ``prior`` if the support of z is not R^Z."""

    def make(self, latent_dim: int) -> ConditionalDistribution:
        """Return the head under test."""
        raise NotImplementedError

    def prior(self, latent_dim: int) -> Prior:
        """Return a prior with the same support."""
        return vi.StandardNormal(latent_dim)

    def bound(self) -> Bound:
        """Return a bound by which this q can be trained."""
        return vi.LogWeightELBO(2)

    def test_it_gives_one_distribution_for_each_row(self) -> None:
        """batch_shape, event_shape and out_shape agree with the input."""
        head = self.make(3)
        q = head(_params(head, 7, 5))
        assert q.batch_shape == (7, 5)
        assert q.event_shape == head.event_shape == (3,)
        assert q.sample((2,)).shape == (2, 7, 5, 3)

    def test_its_density_integrates_to_one(self) -> None:
        """The density integrates to 1 in two sizes."""
        for dim in dimensions(self.make(2).support):
            head = self.make(dim)
            with torch.no_grad():
                q = head(_params(head, 2))
            densities.check_integral(q, head.support)

    def test_its_draws_have_its_moments(self) -> None:
        """Draws have the ``mean`` and ``variance`` of the distribution; 18 numbers."""
        head = self.make(3)
        densities.check_moments(head(_params(head, 3).detach()))

    def test_its_draws_are_of_its_density(self) -> None:
        """Draws lie in the support and have the density."""
        head = self.make(2)
        densities.check_draws(head(_params(head, 3).detach()), head.support)

    def test_the_gradient_goes_through_its_draws(self) -> None:
        """The gradient through the draws equals that of the integral."""
        head = self.make(2)
        densities.check_gradient_of_draws(head, _params(head, 1)[0])

    def test_every_parameter_counts(self) -> None:
        """Every parameter affects a draw or its density."""
        head = self.make(3)
        densities.check_every_parameter_counts(head, _params(head, 5))

    def test_it_trains(self) -> None:
        """Training raises the bound of a VAE with this posterior."""
        check_rises(self._vae(), self.bound(), data())

    def test_it_is_saved_by_its_name(self, tmp_path: Path) -> None:
        """A VAE with this posterior is saved by name and loaded to the bit."""
        check_saved(self._vae(), self.make(Z), tmp_path)

    def _vae(self) -> VAE:
        return vae(posterior=self.make(Z), prior=self.prior(Z))


class PriorLaws(Laws):
    """Laws of priors. Write ``make``, and ``posterior`` if the support of z is not R^Z."""

    def make(self, latent_dim: int) -> Prior:
        """Return the prior under test."""
        raise NotImplementedError

    def posterior(self, latent_dim: int) -> ConditionalDistribution:
        """Return a posterior with the same support."""
        return vi.DiagonalGaussian(latent_dim)

    def bound(self) -> Bound:
        """Return a bound by which this prior can be trained."""
        return vi.LogWeightELBO(2)

    def test_it_is_one_distribution(self) -> None:
        """batch_shape is () and event_shape is that of z."""
        p = self.make(3)()
        assert p.batch_shape == ()
        assert p.event_shape == (3,)

    def test_its_density_integrates_to_one(self) -> None:
        """The density integrates to 1 in two sizes."""
        for dim in dimensions(self.make(2).support):
            prior = self.make(dim)
            densities.check_integral(prior(), prior.support)

    def test_its_draws_have_its_moments(self) -> None:
        """Draws have the ``mean`` and ``variance`` of the distribution; 6 numbers."""
        densities.check_moments(self.make(3)())

    def test_its_draws_are_of_its_density(self) -> None:
        """Draws lie in the support and have the density."""
        prior = self.make(2)
        densities.check_draws(prior(), prior.support)

    def test_its_parameters_learn(self) -> None:
        """Every parameter has a gradient of log p(z)."""
        prior = self.make(2)
        z = prior().sample((5,))
        own = [p for p in prior.parameters() if p.requires_grad]
        if own:
            for gradient in torch.autograd.grad(prior().log_prob(z).sum(), own):
                assert (gradient != 0).any()

    def test_it_trains(self) -> None:
        """Training raises the bound of a VAE with this prior."""
        check_rises(self._vae(), self.bound(), data())

    def test_it_is_saved_by_its_name(self, tmp_path: Path) -> None:
        """A VAE with this prior is saved by name and loaded to the bit."""
        check_saved(self._vae(), self.make(Z), tmp_path)

    def _vae(self) -> VAE:
        return vae(posterior=self.posterior(Z), prior=self.make(Z))


class LikelihoodLaws(Laws):
    """Laws of likelihoods. Write ``make``, and ``draw`` if 0 and 1 are not possible data."""

    def make(self) -> ConditionalDistribution:
        """Return the head under test."""
        raise NotImplementedError

    def draw(self, n: int) -> Tensor:
        """Return training data (n, 6), whose entries have different means.

        Normal if the support is R, else draws of the head at one row of parameters.
        """
        head = self._shaped(D)
        if head.support is constraints.real:
            return data(n)
        with torch.no_grad():
            params = 2 * _params(head, 1)
            return head(params.expand(n, *params.shape[1:])).sample()

    def test_it_gives_one_distribution_for_each_row(self) -> None:
        """batch_shape, event_shape and out_shape agree with the input, for vectors and images."""
        for shape in ((3,), (1, 2, 2)):
            head = self.make()
            head.set_event_shape(shape)
            p = head(_params(head, 7, 5))
            assert p.batch_shape == (7, 5)
            assert p.sample().shape == (7, 5, *shape)

    def test_its_density_integrates_to_one(self) -> None:
        """The density integrates to 1 in two sizes."""
        for dim in dimensions(self.make().support):
            head = self._shaped(dim)
            with torch.no_grad():
                p = head(_params(head, 2))
            densities.check_integral(p, head.support)

    def test_its_draws_have_its_moments(self) -> None:
        """Draws have the ``mean`` and ``variance`` of the distribution; 24 numbers."""
        head = self._shaped(4)
        densities.check_moments(head(_params(head, 3).detach()))

    def test_its_draws_are_of_its_density(self) -> None:
        """Draws lie in the support and have the density."""
        head = self._shaped(dimensions(self.make().support)[0])
        densities.check_draws(head(_params(head, 3).detach()), head.support)

    def test_every_parameter_counts(self) -> None:
        """Every parameter affects a draw or its density."""
        head = self._shaped(3)
        densities.check_every_parameter_counts(head, _params(head, 9))

    def test_it_starts_at_the_mean_of_the_data(self) -> None:
        """``start_at`` returns a tensor for each of ``param_shapes``, near the data's mean."""
        head, x = self._shaped(D), self.draw(400)
        start = head.start_at(x)
        if start:
            assert [tuple(s.shape) for s in start] == [tuple(s) for s in head.param_shapes]
            mean = head(torch.cat([s.flatten() for s in start])).mean
            assert ((mean - x.mean(0)).abs() <= 0.3 * x.std(0) + 1e-6).all()

    def test_it_trains(self) -> None:
        """Training raises the ELBO of a VAE with this likelihood."""
        check_rises(vae(likelihood=self.make()), vi.ELBO(), self.draw(60))

    def test_it_is_saved_by_its_name(self, tmp_path: Path) -> None:
        """A VAE with this likelihood is saved by name and loaded to the bit."""
        check_saved(vae(likelihood=self.make()), self.make(), tmp_path)

    def _shaped(self, dim: int) -> ConditionalDistribution:
        head = self.make()
        head.set_event_shape((dim,))
        return head.eval()


def _params(head: ConditionalDistribution, *batch: int) -> Tensor:
    return torch.randn(*batch, *head.out_shape)
