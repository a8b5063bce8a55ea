"""The laws of networks and of inferences."""

import math
from pathlib import Path

import torch

import vi
from vi.inference.base import Inference
from vi.math import Shape
from vi.networks.base import Network
from vi.testing.base import D, Laws, Z, check_rises, check_saved, data, vae


class NetworkLaws(Laws):
    """Laws of networks. Write ``make``, and ``shapes`` of a network that reads only images."""

    shapes: tuple[tuple[Shape, Shape], ...] = (((6,), (4,)), ((2,), (6,)), ((1, 4, 4), (3,)))
    """Pairs (in_shape, out_shape) under test; the first two are those of encoder and decoder."""

    def make(self) -> Network:
        """Return the factory under test."""
        raise NotImplementedError

    def test_every_row_is_seen_alone_whatever_axes_there_are(self) -> None:
        """(*batch, *in_shape) maps to (*batch, *out_shape); no row depends on the others."""
        for n_in, n_out in self.shapes:
            network, x = self.make()(n_in, n_out).eval(), torch.randn(3, 5, *n_in)
            y = network(x)
            assert y.shape == (3, 5, *n_out)
            assert (network(x[1]) - y[1]).abs().max() <= 1e-10
            assert (network(x[1, :2]) - y[1, :2]).abs().max() <= 1e-10

    def test_the_context_counts(self) -> None:
        """A context (B, C) changes the output, also for an input (K, B, *in_shape)."""
        for n_in, n_out in self.shapes:
            network = self.make()(n_in, n_out, 4).eval()
            x, context = torch.randn(3, 5, *n_in), torch.randn(5, 4)
            y = network(x, context)
            assert y.shape == (3, 5, *n_out)
            assert (network(x, context + 1) - y).abs().max() > 0

    def test_every_weight_learns(self) -> None:
        """Each parameter tensor has a gradient."""
        for n_in, n_out in self.shapes:
            network = self.make()(n_in, n_out)
            network(torch.randn(9, *n_in)).square().sum().backward()
            for name, p in network.named_parameters():
                assert p.grad is not None, name
                assert (p.grad != 0).any(), name

    def test_two_networks_share_no_weights(self) -> None:
        """Each call of the factory makes a new network."""
        n_in, n_out = self.shapes[0]
        recipe = self.make()
        one, other = recipe(n_in, n_out), recipe(n_in, n_out)
        assert not {*map(id, one.parameters())} & {*map(id, other.parameters())}

    def test_it_trains(self) -> None:
        """Training raises the ELBO of a VAE with two of these networks."""
        check_rises(self._vae(), vi.ELBO(), data(d=math.prod(self._event)).view(-1, *self._event))

    def test_it_is_saved_by_its_name(self, tmp_path: Path) -> None:
        """A VAE with these networks is saved by name and loaded to the bit."""
        check_saved(self._vae(), self.make(), tmp_path)

    @property
    def _event(self) -> Shape:
        """The shape of the data: that of the first input."""
        return self.shapes[0][0]

    def _vae(self) -> vi.VAE:
        """Return a model with this network, which decodes too unless it reads only images."""
        decodes = any(len(n_in) == 1 for n_in, _ in self.shapes)
        parts = {"decoder": self.make()} if decodes else {}
        return vae(encoder=self.make(), **parts, data_shape=self._event)


class InferenceLaws(Laws):
    """Laws of inferences. Write ``make``."""

    def make(self) -> Inference:
        """Return the inference under test, with q on R^2, for a model of x (6,)."""
        raise NotImplementedError

    def test_it_gives_one_q_for_each_datum(self) -> None:
        """q has batch_shape (B,), the event_shape of the prior, and finite draws and densities."""
        model = vae(inference=self.make())
        q = model.posterior(data(7))
        assert q.batch_shape == (7,)
        assert q.event_shape == (Z,)
        assert q.log_prob(q.sample()).isfinite().all()

    def test_it_reads_x(self) -> None:
        """Different data have a different q, in training and in evaluation mode."""
        model = vae(inference=self.make())
        for mode in (True, False):
            model.train(mode)
            q = model.posterior(data(7))
            assert (q.mean.std(0) > 0).any()

    def test_it_sees_nothing_of_what_is_missing(self) -> None:
        """q does not depend on the values of entries that are not observed."""
        model, x = vae(inference=self.make()).eval(), data(7)
        observed = torch.rand(7, D) < 0.5
        means = [model.posterior(x + o, observed=observed).mean for o in (0, ~observed * 9.0)]
        assert torch.equal(*means)

    def test_its_parameters_are_its_own(self) -> None:
        """phi and theta are disjoint and together contain all parameters."""
        model = vae(inference=self.make())
        phi = {id(p) for p in model.inference.own_parameters()}
        theta = {id(p) for p in model.generative_parameters()}
        assert phi
        assert not phi & theta
        assert phi | theta == {id(p) for p in model.parameters()}

    def test_it_trains(self) -> None:
        """Training raises the bound of a VAE with this inference."""
        check_rises(vae(inference=self.make()), vi.LogWeightELBO(2), data())

    def test_it_is_saved_by_its_name(self, tmp_path: Path) -> None:
        """A VAE with this inference is saved by name and loaded to the bit."""
        check_saved(vae(inference=self.make()), self.make(), tmp_path)
