"""Shapes and types of every public function are checked while the tests run."""

import atexit
import gc
import os

import jaxtyping

import tests.support.typecheck

jaxtyping.install_import_hook("vi", "tests.support.typecheck.tower")
jaxtyping.jaxtyped = tests.support.typecheck.jaxtyped  # what the hook decorates with
jaxtyping._import_hook._JaxtypingLoader.exec_module = tests.support.typecheck.exec_module

import matplotlib as mpl  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

gc.disable()  # until all tests are collected
atexit.register(gc.unfreeze)  # else libraries tell of leaks that are none


def pytest_collection_finish():
    """What was imported and collected stays to the end: nobody looks for garbage in it again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Nothing measured beside other tests is kept for the user; fonts are found where they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR", mpl.get_cachedir()))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_power_cut():
    """What these tests write need not survive one; waiting for the disk took a fifth of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def _quick_composing():
    """A quarter of a second each, some three hundred times."""
    from tests.support.composing import hasten

    with pytest.MonkeyPatch.context() as patch:
        hasten(patch)
        yield


@pytest.fixture(autouse=True, scope="session")
def all_draws():
    """How many make the mean of a bound; where nobody asks for all of them, ten do."""
    from vi.evaluation import over_split

    with pytest.MonkeyPatch.context() as patch:
        before = over_split._DRAWS
        patch.setattr(over_split, "_DRAWS", 10)
        yield before


@pytest.fixture(autouse=True)
def _fixed_seed():
    """Every test starts from the same random state, in one thread, and with its types checked."""
    tests.support.typecheck.next_test()
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def float64():
    """Laws run in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
