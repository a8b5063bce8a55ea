"""Two processes with a device each compute what one process computes."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch.optim import SGD

import vi
from vi.bounds.base import Bound, Estimate
from vi.config.registry import options, resolve, target_of
from vi.data.base import LoadedData, Values
from vi.errors import ConfigurationError, NumericsError
from vi.fast import rounding
from vi.fast.linear import Kernels
from vi.fast.plans import Plan
from vi.models.base import LatentVariableModel
from vi.training.callbacks.early_stopping import EarlyStopping
from vi.training.devices import chosen_device
from vi.training.processes import Processes

ROOT = Path(__file__).parents[2]
D = 6
CASES = {"idle": (21, 1), "uneven": (27, 7)}  # data, steps a call
EPOCHS = 2
SECONDS = 300  # after which two processes are waiting for each other

pytestmark = pytest.mark.filterwarnings("ignore:model/ will not be written")


class AtTheMean(Bound):
    """log p(x, z) - log q(z|x) at the mean of q: nothing is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds: list[int] = []  # of the noise of every training step

    def at_step(self, step: int) -> None:
        """Look at the seed."""
        self.seeds.append(torch.initial_seed())

    def forward(self, model: LatentVariableModel, x: torch.Tensor, **given: torch.Tensor):
        """See ``Bound``."""
        q = model.posterior(x, **given)
        value = (model.log_joint(x, q.mean[None], **given) - q.log_prob(q.mean))[0]
        return Estimate(
            value, value, {"elbo": value, "kl": 0 * value, "reconstruction": value.detach()}
        )


class NotANumber(AtTheMean):
    """From the third step on, NaN for the data whose bits are all set."""

    def forward(self, model: LatentVariableModel, x: torch.Tensor, **given: torch.Tensor):
        """See ``Bound``."""
        estimate = super().forward(model, x, **given)
        bad = torch.where(x.all(1) & (len(self.seeds) > 2), torch.nan, 0.0)
        value = estimate.value + bad
        return Estimate(value, value, estimate.terms)


class AtTheEnd(pl.Callback):
    """The weights that training ends with, before the best ones are read from a file."""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy them."""
        self.weights = [value.clone() for value in pl_module.state_dict().values()]


def bits(n, seed):
    return torch.randint(
        0, 2, (n, D), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


@patch("vi.evaluation.over_split._DRAWS", 2)  # nothing here is about the error of the test numbers
def fit(folder, n=27, bound=None, optimizer=None, callbacks=(), **chosen):
    """A small run in double precision; the weights at its end, and its numbers."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    network = vi.MLP([4])
    parts = (vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli())
    model = vi.VAE((D,), network, network, *parts)
    data = LoadedData(Values(bits(n, 1)), Values(bits(13, 2)), Values(bits(9, 3)), (D,))
    end = AtTheEnd()
    given = {
        "epochs": EPOCHS,
        "batch_size": 20,
        "log_every_n_steps": 3,
        "loggers": [CSVLogger(folder, name="csv")],
        "device": "cpu",
        "progress_bar": False,
        "callbacks": [*callbacks, end],
        "evaluation": vi.ImportanceSampling(2),
        "replay": False,  # as with several processes
    } | chosen
    scheme = vi.Joint(optimizer or partial(SGD, lr=0.1))
    result = vi.fit(model, data, bound or AtTheMean(), scheme, run_dir=folder, **given)
    numbers = {k: v for k, v in result.metrics.items() if isinstance(v, int | float)}
    return {"weights": end.weights, "metrics": numbers}


def curves(folder):
    """What was logged, but for what it cost."""
    lines = (folder / "csv" / "version_0" / "metrics.csv").read_text().splitlines()
    names = lines[0].split(",")
    rows = [zip(names, line.split(","), strict=True) for line in lines[1:]]
    return [{k: float(v) for k, v in row if v and not k.startswith("spent/")} for row in rows]


RANK = int(os.environ.get("LOCAL_RANK", "0"))


def own_plans(rank=RANK):
    """What this process has measured: a size of its own, and one that both have met."""
    return {f"{rank + 1}x2x3, 1 threads": Plan(), "9x2x3, 1 threads": Plan(forward=rank == 1)}


@contextmanager
def knowing(plans):
    """Within this block all kernels begin with these plans; gives those that were made."""
    made, init = [], Kernels.__init__

    def begin(kernels, **told):
        init(kernels, **told)
        kernels.plans.adopt(plans)
        made.append(kernels)

    with patch.object(Kernels, "__init__", begin):
        yield made


def rounded(run):
    """Whether oneDNN rounds in every step, where the second process found that and another."""
    bound, said = AtTheMean(), []
    by = {True: "autocast", False: "onednn"}
    found = patch.object(rounding, "_chosen", lambda *_, choose: {rounding._BY: by[choose]})
    with knowing({}) as made, found:
        bound.at_step = lambda step: said.append(made[0].round_by_onednn)
        run(bound=bound, epochs=1, precision="bf16")
    return said


def main(folder: Path) -> None:
    """What each of two processes does, one run after another."""
    told = {}
    run = partial(fit, devices=2)
    for name, (n, steps) in CASES.items():
        told[name] = run(folder / name, n, steps_per_call=steps)
    bound, half = AtTheMean(), folder / "half"
    with knowing(own_plans()):
        run(half, bound=bound, epochs=1, steps_per_call=7)
    told["seeds"] = bound.seeds
    with knowing({}) as made:
        told["resumed"] = run(half, steps_per_call=7, ckpt_path=half / "checkpoints" / "last.ckpt")
    told["plans"] = made[0].plans.state_dict()
    told["rounding"] = rounded(partial(run, folder / "rounded"))
    stopping = {"epochs": 9, "callbacks": [EarlyStopping(1, min_delta=1e9)]}
    random = {"bound": vi.ELBO(), "optimizer": torch.optim.Adam}
    told["random"] = run(folder / "random", **random, **stopping)
    try:
        run(folder / "nan", 67, bound=NotANumber())
    except NumericsError as error:
        told["error"] = str(error)
    torch.save(told, folder / f"rank_{os.environ['LOCAL_RANK']}.pt")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """(folder, what the first process tells, what the second tells)."""
    folder = tmp_path_factory.mktemp("ddp")
    python("-W", "ignore", __file__, folder, cwd=folder)
    return folder, *(torch.load(folder / f"rank_{rank}.pt") for rank in range(2))


def python(*arguments, cwd):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, start_new_session=True, **pipes
    ) as process:
        try:
            said, wrong = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # and the process that it has started
            raise
    assert process.returncode == 0, wrong
    return said, wrong


@pytest.mark.parametrize("name", CASES)
def test_two_processes_compute_what_one_computes(name, ranks, float64, tmp_path):
    """Weights and curves within 1e-12, also where the last batch has 7 data, or a single one.

    A process without a datum asks the model all the same, which is counted. Caught: a gradient
    that ``loss.backward`` keeps to itself, shares of 4 and 3 data that weigh the same, and an idle
    process whose numbers are logged.
    """
    folder, first, _ = ranks
    n, steps = CASES[name]
    alone = fit(tmp_path / "alone", n, steps_per_call=steps)
    for ours, theirs in zip(first[name]["weights"], alone["weights"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    for ours, theirs in zip(curves(folder / name), curves(tmp_path / "alone"), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-12)
    asked = [n * one["metrics"]["spent/decoder_evaluations"] for one in (first[name], alone)]
    assert asked[0] - asked[1] == pytest.approx(EPOCHS if name == "idle" else 0)
    assert first[name]["metrics"]["devices"] == 2


def test_all_processes_have_the_same_weights(ranks):
    """Bit for bit, with noise or without, and from a checkpoint on. Caught: ``loss.backward``."""
    _, *both = ranks
    for name in (*CASES, "random", "resumed"):
        assert all(map(torch.equal, *(told[name]["weights"] for told in both)))


def test_every_process_has_noise_of_its_own(ranks):
    """Caught: a seed without the rank."""
    _, first, second = ranks
    assert len({*first["seeds"], *second["seeds"]}) == len(first["seeds"]) + len(second["seeds"])


def test_a_resumed_run_is_the_whole_run(ranks):
    """Weights and what was spent. Caught: evaluations of the first run that each process adds."""
    _, first, _ = ranks
    assert all(map(torch.equal, first["resumed"]["weights"], first["uneven"]["weights"]))
    spent = "spent/encoder_evaluations"
    ours, theirs = (first[name]["metrics"][spent] for name in ("resumed", "uneven"))
    assert ours == theirs


def test_every_process_goes_on_with_its_own_plans(ranks):
    """Caught: a checkpoint of those of the first process alone."""
    folder, *both = ranks
    saved = torch.load(folder / "half" / "checkpoints" / "last.ckpt", weights_only=True)
    for rank, (kept, told) in enumerate(zip(saved["products"], both, strict=True)):
        own = {size: list(plan) for size, plan in own_plans(rank).items()}
        assert own.items() <= kept.items()
        assert own.items() <= told["plans"].items()


def test_all_processes_round_as_the_first(ranks):
    """Caught: a second process that found another way, and took it."""
    _, first, second = ranks
    assert first["rounding"] == second["rounding"] == [False] * len(first["rounding"])


def test_all_processes_stop_together(ranks):
    """Where the validation bound does not rise enough, and where one of them meets a NaN.

    Caught: a process that looks at its own numbers only, and the other waits for it.
    """
    _, *both = ranks
    assert {told["random"]["metrics"]["train/epochs"] for told in both} == {2}
    assert len({told["error"] for told in both}) == 1
    assert "loss became NaN at step 3" in both[0]["error"]


def test_the_shares_of_a_batch_are_the_batch():
    """Each datum once, and weights that make the mean of means the mean."""
    for world in (1, 2, 3, 5):
        for n in range(1, 12):
            x = torch.arange(float(n), dtype=torch.float64)
            shares = [Processes(rank, world).share(torch.arange(n)) for rank in range(world)]
            mean = sum(share.weight * x[share.index].mean() for share in shares) / world
            torch.testing.assert_close(mean, x.mean())
            rows = torch.cat([share.counting({"x": share.index})["x"] for share in shares])
            assert rows.sort().values.tolist() == list(range(n))


@pytest.mark.parametrize("name", [name for name in options("scheme") if name != "joint"])
def test_other_schemes_are_refused(name):
    scheme = object.__new__(resolve(target_of("scheme", name), "scheme"))
    with pytest.raises(ConfigurationError, match=r"devices=2 requires scheme=joint"):
        vi.fit(vi.BernoulliMixture((D,), 2), vi.data.Digits(), scheme=scheme, devices=2)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"batch_size": 1}, "batch_size=1 leaves some of trainer.devices=2 idle"),
        ({"max_evaluations": 3}, "max_evaluations is counted in one process"),
        ({"devices": 0}, "trainer.devices must be greater than 0"),
    ],
)
def test_what_cannot_be_shared_is_refused(chosen, message, tmp_path):
    with pytest.raises(ConfigurationError, match=message):
        fit(tmp_path, **{"devices": 2} | chosen)


def test_a_parameter_without_a_gradient_is_refused(tmp_path, float64, monkeypatch):
    monkeypatch.setattr("__main__.__file__", "script.py", raising=False)  # workers have none
    bound = AtTheMean()
    bound.baseline = torch.nn.Parameter(torch.zeros(()))
    with pytest.raises(ConfigurationError, match="baseline has none"):
        fit(tmp_path, bound=bound, devices=2)


def test_no_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert chosen_device("gpu", 1).type == "cuda"
    with pytest.raises(ConfigurationError, match="devices=2, but torch sees 1 CUDA"):
        chosen_device("auto", 2)


@pytest.mark.slow
@pytest.mark.parametrize("command", [[ROOT / "train.py"], ["-m", "vi", "train"]])
def test_the_command_line_leaves_one_run(command, tmp_path):
    """One directory, one report, and nothing of the second process."""
    options = [
        "trainer.devices=2",
        "trainer.device=cpu",
        "data=digits",
        "evaluation.num_samples=5",
    ]
    run = tmp_path / "run"
    short = ["trainer.max_epochs=2", "evaluation.num_samples=5", f"hydra.run.dir={run}"]
    said, wrong = python(*command, *options, *short, cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert len(list(run.glob("events.*"))) == len(list((run / "csv").iterdir())) == 1
    assert json.loads((run / "metrics.json").read_text())["devices"] == 2
    assert said.count("next:") == 1
    assert not wrong


if __name__ == "__main__":
    main(Path(sys.argv[1]))
