"""Whatever infers z, a replayed step of it is the step."""

import copy
import warnings

import pytest
import torch

import vi
from tests.support.inference import KINDS, D, model_with
from vi.data.base import LoadedData, Values


@pytest.fixture(scope="module")
def data():
    x = torch.randn(60, D, generator=torch.Generator().manual_seed(1))
    return LoadedData(Values(x), None, Values(x[:4]), (D,))


@pytest.mark.parametrize("kind", KINDS)
def test_replayed_steps_of_every_inference_are_the_steps(tmp_path, replays, data, kind):
    """Weights and every number, to the bit; where none can be replayed, that is said.

    Caught: noise of the time of recording, and a refinement from where an earlier one ended.
    """
    one = model_with(kind)
    other, results = copy.deepcopy(one), []
    for model, replay in ((one, True), (other, False)):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            result = vi.fit(
                model,
                data,
                vi.LogWeightELBO(),
                vi.Joint(),
                epochs=3,
                batch_size=20,
                seed=3,
                device="cpu",
                replay=replay,
                evaluation=vi.ImportanceSampling(2),
                callbacks=[],
                loggers=[],
                progress_bar=False,
                run_dir=tmp_path / str(replay),
            )
        results.append({k: v for k, v in result.metrics.items() if "second" not in k})
        refused = [str(w.message) for w in said if "not replayed" in str(w.message)]
        assert len(refused) + bool(replays) == 1 if replay else not refused
    assert results[0] == results[1]
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
