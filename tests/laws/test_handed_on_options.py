"""Options that a part hands on to the class before it are options of its own."""

import inspect
from typing import TypedDict, Unpack, get_type_hints

import pytest

import vi
from vi.config.schema import parameters, validate
from vi.models.mixture import Mixture, MixtureOptions
from vi.options import Configurable
from vi.schemes.gradient import GradientOptions, GradientScheme


class Lengths(TypedDict, total=False):
    """What ``Lengthy`` takes."""

    length: int


class Lengthy(Configurable):
    """A part with one option."""

    def __init__(self, length: int = 3) -> None:
        self.length = length


class Wide(Lengthy):
    """A part with one more."""

    def __init__(self, width: float, **options: Unpack[Lengths]) -> None:
        super().__init__(**options)
        self.width = width


def test_they_are_remembered_with_their_defaults():
    """Caught: the arguments without what was handed on, so that a saved part forgets it."""
    assert Wide(2.0).arguments == {"width": 2.0, "length": 3}
    assert Wide(2.0, length=5).arguments == {"width": 2.0, "length": 5}
    assert Wide(2.0, length=5).length == 5


def test_others_are_refused_by_name():
    """In Python and in a configuration. Caught: any name taken."""
    with pytest.raises(TypeError, match="Wide: got an unexpected keyword argument 'lenght'"):
        Wide(2.0, lenght=5)  # pyright: ignore
    validate(Wide, {"width": 2.0, "length": 5}, "part")
    for wrong in ({"lenght": 5}, {"length": 0.5}, {"options": {}}):
        with pytest.raises(vi.ConfigurationError, match="part.(lenght|length|options)"):
            validate(Wide, wrong, "part")


@pytest.mark.parametrize(
    ("options", "role", "part"),
    [(GradientOptions, GradientScheme, vi.Alternating), (MixtureOptions, Mixture, vi.GMM)],
)
def test_the_options_that_parts_hand_on_are_those_of_their_class(options, role, part):
    """Caught: a name or a type that only one of the two knows."""
    hints = get_type_hints(inspect.unwrap(role.__init__))
    init = inspect.signature(inspect.unwrap(role.__init__)).parameters
    named = {k: hints[k] for k, p in init.items() if p.default is not p.empty}
    assert get_type_hints(options) == named
    assert set(named) <= set(parameters(part))
