"""The matrix products of a step and nothing else."""

from _limit import run

run(with_adam=False)
