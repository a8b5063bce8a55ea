"""Every seeded cheat is caught by the check that is meant for it."""

import pytest
import torch

from tests.auditing.cheats import CHEATS
from vi.auditing.audit import audit, every_check


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_is_caught_by_its_check(cheat):
    """Of over forty: by the check that is named, alone."""
    title, make = CHEATS[cheat]
    torch.manual_seed(0)
    checks = [check for check in every_check() if check.title == title]
    found = audit(**make(), limit=60, evaluations=200_000, checks=checks)
    assert found.failed == [title], str(found)
