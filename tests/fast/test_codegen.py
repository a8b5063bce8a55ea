"""What is kept between the calls of a recorded step, and what may not be."""

import pytest
import torch

from vi.fast.linear import mm_of_bf16
from vi.fast.replay.cpu_tape import Tapes


def replayed(work, *inputs):
    return Tapes().record(work, inputs)


def many(x):
    """Results that are needed for different lengths of time, in two sizes, some by views only."""
    a = x * 2
    view = a.t()[1]
    b = [x + i for i in range(6)]
    c = b[0] * b[5] - b[1]
    short = torch.cat([c.sum(0), view])
    for one in b[2:5]:
        c = c.mul(one).sub_(a)
    noise = torch.empty(x.shape).normal_()
    return [c.sum(1) + noise.sum(1), short.exp(), view * 3]


def test_places_are_shared_by_what_is_needed_at_different_times():
    """Caught: a place lent again after the first use, or while a view of it is still needed."""
    x = torch.randn(3, 3)
    replay = replayed(many, x)
    for seed in range(3):
        x = torch.randn(3, 3)
        torch.manual_seed(seed)
        expected = many(x)
        torch.manual_seed(seed)
        assert all(map(torch.equal, replay([x]), expected))


def test_results_are_new_in_every_call():
    """Also where they are views. Caught: a result in a place that the next call overwrites."""

    def work(x):
        doubled = x * 2
        return [doubled[0], doubled + 1]

    replay = replayed(work, torch.ones(2, 2))
    first = replay([torch.ones(2, 2)])
    replay([torch.zeros(2, 2)])
    assert [r.tolist() for r in first] == [[2.0, 2.0], [[3.0, 3.0], [3.0, 3.0]]]


def allocated(work, x, operation):
    """Bytes, in each of three calls."""
    replay = replayed(work, x)
    with torch.profiler.profile(profile_memory=True) as profile:
        for _ in range(3):
            replay([x])
    return [e.self_cpu_memory_usage for e in profile.events() if e.name == operation]


def test_memory_is_allocated_for_results_only():
    def work(x):
        return [(x @ x.t()).sum(0)]

    x = torch.randn(4, 3)
    assert allocated(work, x, "aten::mm") == [0, 0, 0]
    assert allocated(work, x, "aten::sum") == [16, 16, 16]


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no products of bf16 here"
)
def test_the_context_of_products_covers_neighbours_and_no_other_product():
    """Caught: a small product in bf16 too; the setting left behind."""
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    x = torch.randn(64, 64)

    def work(x):
        rounded = mm_of_bf16(x, x)
        exact = rounded @ x
        return [exact + mm_of_bf16(rounded.relu_(), x)]

    expected = work(x)
    (result,) = replayed(work, x)([x])
    assert torch.equal(result, expected[0])
    assert setting.fp32_precision == before
