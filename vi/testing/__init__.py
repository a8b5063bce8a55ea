"""Laws of each kind of part, as classes from which tests of your own parts are derived.

    from vi.testing import PosteriorLaws

    class TestMine(PosteriorLaws):
        def make(self, latent_dim):
            return Mine(latent_dim)

pytest then runs every law. Laws compute in double precision, from seed 0.
"""

from vi.testing.heads import LikelihoodLaws, PosteriorLaws, PriorLaws
from vi.testing.networks import InferenceLaws, NetworkLaws
from vi.testing.objectives import BoundLaws, SchemeLaws
from vi.testing.sets import DataLaws, EvaluationLaws

__all__ = [
    "BoundLaws",
    "DataLaws",
    "EvaluationLaws",
    "InferenceLaws",
    "LikelihoodLaws",
    "NetworkLaws",
    "PosteriorLaws",
    "PriorLaws",
    "SchemeLaws",
]
