"""Which kernel is faster is found out on a machine that does other things, and kept for a week."""

import time

import pytest
import torch

from vi import cache
from vi.cache import Measured
from vi.cli import forget
from vi.errors import CheckpointError
from vi.fast import plans, settled
from vi.fast.plans import Plan, Plans, measured
from vi.fast.settled import settled as settle

ROWS, WIDTH = 64, 300


class Clock:
    """Each way takes the milliseconds that it is told; others disturb as they are told."""

    def __init__(self, monkeypatch):
        self.now, self.calls = 0.0, 0
        monkeypatch.setattr(settled.time, "perf_counter", lambda: self.now)

    def way(self, seconds, disturbed=lambda call: 0.0):
        def work():
            self.calls += 1
            self.now += 1e-3 * (seconds + disturbed(self.calls))

        return work


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def faster(seconds):
    return seconds[1] < 0.97 * seconds[0]


def test_the_faster_way_is_found_after_four_rounds(clock):
    decision, seconds = settle([clock.way(2.0), clock.way(1.0)], faster)
    assert decision is True
    assert seconds == pytest.approx([2e-3, 1e-3])
    assert clock.calls == 4 * 3 * 2


@pytest.mark.parametrize("busy", [1, 13, 19, 37])
def test_a_busy_moment_decides_nothing(clock, busy):
    """Six calls in a row, at any time, that take ten times as long.

    Caught: the shortest of a first few, which is remembered for ever.
    """
    disturbed = lambda call: 20.0 if busy <= call < busy + 6 and call % 2 == 0 else 0.0
    decision, seconds = settle([clock.way(2.0), clock.way(1.0, disturbed)], faster)
    assert decision is True
    assert seconds == pytest.approx([2e-3, 1e-3])


def test_an_order_that_keeps_changing_is_none(clock):
    """Every other round says the opposite. Caught: the last word taken for a decision."""
    disturbed = lambda call: 5.0 if (call - 1) // 6 % 2 else 0.0
    decision, _ = settle([clock.way(2.0), clock.way(1.0, disturbed)], faster)
    assert decision is None


def test_slow_ways_are_not_repeated(clock):
    """Nor waited for longer than twenty seconds. Caught: a step of a second, sixty times."""
    decision, _ = settle([clock.way(2000.0), clock.way(1000.0)], faster)
    assert decision is True
    assert clock.calls == 4 * 2
    decision, _ = settle([clock.way(2e4), clock.way(1e4)], faster)
    assert decision is None
    assert clock.calls == 4 * 2 + 2


def product(slow, clock):
    """Takes so many seconds by torch, by oneDNN and by columns."""

    def multiply(a, b, *, by_onednn, columns=False):
        clock.now += slow[2 if columns else by_onednn]
        return torch.empty(0)

    return multiply


@pytest.mark.parametrize(
    ("seconds", "plan"),
    [
        ((3e-3, 1e-3, 3e-3), Plan(True, True, True, True, False)),
        ((1e-3, 3e-3, 1e-3), Plan()),
        ((1e-3, 0.99e-3, 0.99e-3), Plan()),  # within the margin
        ((3e-3, 3e-3, 2e-3), Plan(columns=True)),
        ((3e-5, 2e-5, 3e-5), Plan(inference=True)),  # not worth an own backward
    ],
)
def test_a_plan_takes_what_is_faster(clock, seconds, plan):
    assert measured(ROWS, torch.zeros(WIDTH, WIDTH), product(seconds, clock)) == (plan, True)


def test_torch_computes_where_the_order_keeps_changing(clock):
    """And that is not remembered. Caught: a coin's side kept for a week."""
    calls = []

    def multiply(a, b, *, by_onednn, columns=False):
        calls.append(by_onednn)
        quick = len(calls) // 9 % 2 if len(a) == ROWS else 0
        clock.now += 1e-3 if by_onednn == quick else 3e-3
        return torch.empty(0)

    plan, is_settled = measured(ROWS, torch.zeros(WIDTH, WIDTH), multiply)
    assert not plan.forward
    assert not is_settled


@pytest.fixture
def memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Measured("a processor")


def test_what_was_measured_is_kept_for_seven_days(memory, monkeypatch):
    memory.keep("a size", [True, False])
    assert Measured("a processor").recall("a size") == [True, False]
    assert Measured("another").recall("a size") is None
    week = 7 * 24 * 3600
    now = time.time()
    monkeypatch.setattr(cache.time, "time", lambda: now + week - 60)
    assert memory.recall("a size") == [True, False]
    monkeypatch.setattr(cache.time, "time", lambda: now + week + 60)
    assert memory.recall("a size") is None
    memory.keep("another size", 1)
    assert list(memory._entries()) == ["another size"]


def test_a_choice_is_measured_once_and_remembered(memory, clock):
    """Another process takes it from there; threads are part of a size."""
    weight = torch.zeros(WIDTH, WIDTH)
    chosen = Plans(product((3e-3, 1e-3, 3e-3), clock)).of(ROWS, weight)
    assert chosen == Plan(True, True, True, True, False)
    again = Plans(pytest.fail)
    assert again.of(ROWS, weight) == chosen
    assert again.described() == {
        f"{ROWS}x{WIDTH}x{WIDTH}, 1 threads": "inference, forward, of_input, of_weight"
    }
    torch.set_num_threads(2)
    with pytest.raises(pytest.fail.Exception):
        Plans(lambda *_, **__: pytest.fail("measured")).of(ROWS, weight)


@pytest.mark.parametrize("damage", ["", "{", "[]", "[" * 5000, '{"a": 1}', '{"a": {"at": 1e400}}'])
def test_a_damaged_memory_is_measured_again(memory, damage):
    memory.keep("a", 1)
    (file,) = cache.cache_file("measured", "").glob("*")
    file.write_text(damage)
    assert memory.recall("a") is None
    memory.keep("a", 2)
    assert memory.recall("a") == 2


@pytest.mark.parametrize("kept", [[True], "torch", [1, 0, 0, 0, 0], None, {"forward": True}])
def test_what_is_no_plan_is_measured_again(memory, clock, kept):
    plans.memory().keep(f"{ROWS}x{WIDTH}x{WIDTH}, 1 threads", kept)
    weight = torch.zeros(WIDTH, WIDTH)
    assert Plans(product((1e-3, 3e-3, 1e-3), clock)).of(ROWS, weight) == Plan()


def test_one_command_forgets_it(memory, capsys):
    memory.keep("a size", [True])
    forget.main([])
    assert memory.recall("a size") is None
    assert "a processor.json" in capsys.readouterr().out
    forget.main([])
    assert capsys.readouterr().out == "nothing was remembered\n"


@pytest.mark.parametrize(
    "told", [{"a size": [True] * 5}, {"1x2x3, 4 threads": [True]}, {"1x2, 4 threads": [True] * 5}]
)
def test_what_is_no_plan_is_not_adopted(memory, told):
    chosen = Plans(pytest.fail)
    with pytest.raises(CheckpointError, match="plans of linear products are invalid"):
        chosen.adopt(told)
    assert chosen.state_dict() == {}
