"""Shapes and types of every public function are checked while the tests run."""

from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401, the hook looks it up as an attribute

install_import_hook("vi", "tests.typecheck.tower")

import pytest  # noqa: E402
import torch  # noqa: E402


@pytest.fixture(autouse=True)
def _fixed_seed():
    """Every test starts from the same random state, in one thread."""
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def float64():
    """Laws run in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
