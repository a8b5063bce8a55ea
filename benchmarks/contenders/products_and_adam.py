"""The matrix products of a step and the optimiser: no activation, no noise, no likelihood."""

from _limit import run

run(with_adam=True)
