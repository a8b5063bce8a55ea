"""Types are checked where a test meets a function, and now and then afterwards."""

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from tests.support import typecheck


def row_sums(x: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
    return x.sum(-1) if x.sum() < 10 else x.sum(0)


@pytest.fixture
def function():
    return typecheck.jaxtyped(typechecker=typecheck.tower)(row_sums)


RIGHT, WRONG = torch.zeros(2, 3), torch.ones(2, 30)


def test_the_first_calls_are_checked(function):
    """Arguments and results."""
    with pytest.raises(TypeCheckError):
        function(torch.zeros(2))
    with pytest.raises(TypeCheckError):
        function(WRONG)
    assert function(RIGHT).shape == (2,)
    assert function.__name__ == "row_sums"


def test_of_the_others_one_in_sixteen_is(function):
    for _ in range(typecheck.ALWAYS):
        function(RIGHT)
    refused = 0
    for _ in range(10 * typecheck.ONE_IN):
        try:
            function(WRONG)
        except TypeCheckError:
            refused += 1
    assert refused == 10


def test_every_test_begins_anew(function):
    for _ in range(typecheck.ALWAYS + 1):
        function(RIGHT)
    typecheck.next_test()
    with pytest.raises(TypeCheckError):
        function(WRONG)


def test_the_package_is_under_these_checks():
    """Caught: a hook that came too late."""
    import vi
    from vi.math import mix

    assert mix.__code__.co_filename == typecheck.__file__
    with pytest.raises(TypeCheckError):
        mix("0", 1)
    assert vi.ELBO.forward.__code__.co_filename == typecheck.__file__


def test_of_the_closures_of_one_maker_the_first_call_is_checked():
    """Caught: as many decorations as closures, which took a fifth of the time of a run."""

    def maker(scale):
        def scaled(x: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
            return scale * x

        return typecheck.jaxtyped(typechecker=typecheck.tower)(scaled)

    with pytest.raises(TypeCheckError):
        maker(2)(torch.zeros(2, 3))
    assert maker(3)(torch.zeros(2, 3)).shape == (2, 3)
    typecheck.next_test()
    with pytest.raises(TypeCheckError):
        maker(4)(torch.zeros(2, 3))
