"""Runs that are killed at random moments and go on until they are done, held to one that is not.

``python -m tests.support.kills --count 200 [--tmpfs] [--seed 0]``: so many kills -9, spread over
the kinds of runs below. After every kill the checkpoints are whole and the curves have no gap and
no duplicate up to the last of them; in the end parameters, numbers and curves are bit-equal.

A process that has imported everything is forked for every attempt, so that a kill costs about
what is left of a run of a second. Nothing here may start a thread.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import (
    Event,  # pyright: ignore[reportAttributeAccessIssue]
)
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR

import vi
from tests.support.tiny import D, mixture, vae
from vi.data.base import DynamicBits, LoadedData, Values
from vi.files.checkpoint_file import fault, read_checkpoint
from vi.training.callbacks.diagnostics import LatentDiagnostics
from vi.training.callbacks.early_stopping import EarlyStopping
from vi.training.callbacks.ledger import EMLedger
from vi.training.resuming import checkpoint_files

N = 270
MOST_KILLS = 4  # of one run


class Kind(NamedTuple):
    """One kind of run."""

    model: Callable[[], Any]
    scheme: Callable[[], Any]
    patience: int | None = None
    options: dict[str, Any] = {}
    still: bool = False


KINDS = {
    "joint": Kind(vae, lambda: vi.Joint(schedule=partial(ExponentialLR, gamma=0.9))),
    "joint_early_stopping": Kind(
        vae,
        lambda: vi.Joint(partial(SGD, lr=0.1), partial(ExponentialLR, gamma=2.0), 1.0),
        patience=2,
        options={"epochs": 40},
    ),
    "joint_max_evaluations": Kind(
        vae, lambda: vi.Joint(gradient_clip_norm=1.0), options={"max_evaluations": 15.3}
    ),
    "alternating": Kind(vae, lambda: vi.Alternating(None, 1)),
    "alternating_max_steps": Kind(vae, lambda: vi.Alternating(2, 1), options={"max_steps": 101}),
    "exact_em": Kind(mixture, lambda: vi.ExactEM(0.0), still=True),
    "exact_em_convergence": Kind(
        mixture, lambda: vi.ExactEM(2e-3), still=True, options={"epochs": 100}
    ),
}


def train(kind: Kind, folder: Path) -> None:
    """Begin the run, or go on with it where its last checkpoint is."""
    last = folder / "checkpoints" / "last.ckpt"
    options = {"epochs": 10, "batch_size": 20, "log_every_n_steps": 10, "steps_per_call": 5}
    callbacks = [EarlyStopping(kind.patience), LatentDiagnostics(), EMLedger()]
    vi.fit(
        kind.model(),
        _data(still=kind.still),
        scheme=kind.scheme(),
        run_dir=folder,
        callbacks=callbacks,
        device="cpu",
        threads=1,
        progress_bar=False,
        evaluation=vi.ImportanceSampling(2),
        ckpt_path=last if last.is_file() else None,
        **options | kind.options,
    )


def _data(*, still: bool) -> LoadedData:
    def draws(n: int, seed: int, most: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(0, most, (n, D), generator=generator).to(torch.uint8)

    first = Values(draws(N, 1, 2)) if still else DynamicBits(draws(N, 1, 256))
    return LoadedData(first, Values(draws(13, 2, 2)), Values(draws(9, 3, 2)), (D,))


class Attempt(NamedTuple):
    """What became of one process."""

    killed: bool
    seconds: float  # of the processor


def attempt(work: Callable[[], None], seconds: float | None = None) -> Attempt:
    """Do the work in a process of its own, and kill that when it has computed for some time.

    Time of the processor does not depend on who else computes.

    Raises:
        AssertionError: The work failed by itself.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _do(work)
    if seconds is not None:
        _wait(child, seconds)
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or os.WEXITSTATUS(status) == 0, "the run failed; see above"
    return Attempt(killed, used.ru_utime + used.ru_stime)


def _do(work: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, seconds: float) -> None:
    """Until a process has computed for so long, or has ended."""
    path, tick = Path(f"/proc/{child}/stat"), 1 / os.sysconf("SC_CLK_TCK")
    while True:
        state, *numbers = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        left = seconds - (int(numbers[10]) + int(numbers[11])) * tick
        if left < tick or state == "Z":
            time.sleep(max(left, 0.0))
            return
        time.sleep(tick / 4)


def rows(folder: Path) -> list[dict[str, str]]:
    """Of the CSV file, without times; not the last one, where its end is missing."""
    found = []
    for path in sorted(folder.glob("csv/version_*/metrics.csv")):
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1].splitlines()
        found += [{k: v for k, v in r.items() if v and _same(k)} for r in csv.DictReader(whole)]
    return found


def events(folder: Path) -> list[tuple[int, str, float]]:
    """Of TensorBoard's files in one folder, without times: step, tag and value."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            found += [
                (event.step, value.tag, value.simple_value)
                for value in event.summary.value
                if _same(value.tag)
                and value.HasField("simple_value")
                and value.simple_value == value.simple_value
            ]
    return found


def events_of_splits(folder: Path) -> list[tuple[int, str, float]]:
    """The same of the folders of the splits, one after the other."""
    return [
        (step, f"{split}/{tag}", value)
        for split in ("train", "val", "test")
        for step, tag, value in events(folder / split)
    ]


def before_results(points: list) -> list:
    """Those of training and validation: the test data are measured after the last checkpoint."""
    return [p for p in points if not (isinstance(p, tuple) and p[1].startswith("test/"))]


def _same(name: str) -> bool:
    return "seconds" not in name


def check_killed(folder: Path, whole: Path) -> None:
    """What a kill has left: whole files, and curves up to the last checkpoint."""
    for path in folder.glob("checkpoints/*.ckpt"):
        assert fault(path.read_bytes()) is None, path
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return
    step = read_checkpoint(last)["global_step"]
    for curve in (rows, events):
        expected = [point for point in before_results(curve(whole)) if _step(point) <= step]
        assert curve(folder)[: len(expected)] == expected, (curve.__name__, step)
    found, expected = (
        [point for point in before_results(events_of_splits(d)) if _step(point) <= step]
        for d in (folder, whole)
    )
    assert found == expected, ("events_of_splits", step)


def _step(point: Any) -> int:
    return int(point["step"] if isinstance(point, dict) else point[0])


def check_same(folder: Path, whole: Path) -> None:
    """Parameters, optimisers, numbers and curves are those of the run that was not killed."""
    one, other = (read_checkpoint(d / "checkpoints" / "last.ckpt") for d in (folder, whole))
    for name in ("state_dict", "optimizer_states", "lr_schedulers", "scheme"):
        assert _equal(one[name], other[name]), name
    best, other_best = (
        read_checkpoint(d / "checkpoints" / "best.ckpt")["state_dict"] for d in (folder, whole)
    )
    assert _equal(best, other_best), "best"
    weights = [(d / "model" / "model.safetensors").read_bytes() for d in (folder, whole)]
    assert weights[0] == weights[1], "model.safetensors"
    numbers = [json.loads((d / "metrics.json").read_text()) for d in (folder, whole)]
    differ = _timeless(numbers[0]).items() ^ _timeless(numbers[1]).items()
    assert not differ, f"metrics.json: {sorted(differ)}"
    assert rows(folder) == rows(whole), "metrics.csv"
    assert events(folder) == events(whole), "TensorBoard"
    assert events_of_splits(folder) == events_of_splits(whole), "TensorBoard"
    assert _ledger(folder) == _ledger(whole), "ledger.csv"
    assert not list(folder.rglob("*.tmp")), "something was left over"


def _ledger(folder: Path) -> str:
    """Empty where the scheme has no split."""
    path = folder / "ledger.csv"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _timeless(numbers: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in numbers.items() if _same(name)}


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other


def kill(count: int, home: Path, seed: int = 0, kinds: dict[str, Kind] | None = None) -> int:
    """Kill runs so often, and hold what becomes of them to runs that were not killed.

    Returns:
        How many runs that were.
    """
    kinds, draw, killed, runs = kinds or KINDS, random.Random(seed), 0, 0
    checkpoint_files.INTERVAL = 0.0  # a file for every epoch, however short
    torch.set_num_threads(1)
    train(KINDS["joint"], home / "first")  # so that every process finds all imported
    for name, kind in kinds.items():
        attempt(partial(train, kind, home / name / "whole"))
    seconds = {}
    for name, kind in kinds.items():
        seconds[name] = attempt(partial(train, kind, home / name / "again")).seconds
        check_same(home / name / "again", home / name / "whole")
    while killed < count:
        name = list(kinds)[runs % len(kinds)]
        folder, whole, work = home / name / str(runs), home / name / "whole", kinds[name]
        for _ in range(min(MOST_KILLS, count - killed)):
            done = attempt(partial(train, work, folder), draw.uniform(0, seconds[name]))
            if not done.killed:
                break
            killed += 1
            check_killed(folder, whole)
        attempt(partial(train, work, folder))
        check_same(folder, whole)
        shutil.rmtree(folder)
        runs += 1
        print(f"{killed} kills of {runs} runs", flush=True)
    return runs


def main() -> None:
    """Kill, and say how often."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tmpfs", action="store_true", help="in /dev/shm")
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="kills_", dir="/dev/shm" if given.tmpfs else None))
    started = time.perf_counter()
    try:
        kinds = {name: KINDS[name] for name in given.kinds}
        runs = kill(given.count, home, given.seed, kinds)
    finally:
        shutil.rmtree(home)
    print(
        f"{given.count} kills of {runs} runs, all bit-equal, {time.perf_counter() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
