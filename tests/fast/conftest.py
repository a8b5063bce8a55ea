"""What the laws of replayed steps share."""

import pytest

from vi.fast.replay.cpu_tape import Tapes


@pytest.fixture
def replays(monkeypatch):
    """Counts them."""
    counted = []
    record = Tapes.record
    monkeypatch.setattr(Tapes, "patience", 1)

    def counting(self, work, inputs):
        replay = record(self, work, inputs)

        def again(inputs):
            counted.append(len(inputs))
            return replay(inputs)

        return again

    monkeypatch.setattr(Tapes, "record", counting)
    return counted
