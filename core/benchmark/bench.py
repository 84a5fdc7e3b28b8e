"""How fast training and embedding are, against what the device alone can do and against a plain PyTorch pipeline.

A task, as it loads torch and has the worker's environment. Everything takes turns, round after round; what has a bound takes
the shortest turns with it, in this one process: a shared machine changes its pace from one second to the next. A ratio is
taken within a round. Writes nothing but the trace it is asked for.
"""

import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch

from core import config as configuration
from core.benchmark import plain_pytorch, workloads
from core.benchmark.printing import N_TRACED, TITLES
from core.benchmark.workloads import Case, Subject
from core.errors import InputError
from core.files import Json
from core.jobs import tasks
from core.jobs.tasks import Report
from core.training.device import resolve_device
from core.wording import failure

_TURN = {"cpu": 0.3, "cuda": 1.5}  # seconds a turn takes at least, or one step; a GPU's pace is even, its steps are short
_GOALS: dict[str, dict[str, float | None]] = {
    "cpu": {"train": 0.95, "plain": 3.5, "embed": 0.95},  # plain: of MobileNetV2-0.35 at 224 px, batch 64
    "cuda": {"train": 0.90, "plain": None, "embed": 0.95}}
_RATIOS = {"train": ("train", "train_bound"), "plain": ("train", "plain"), "embed": ("embed", "embed_bound")}


def measure(case: Case, n_rounds: int, seconds: float, progress: Callable[[str], None]) -> dict:
    """Times everything in turn.

    Args:
        case: what to time.
        n_rounds: rounds that count; one more before them does not.
        seconds: what each gets in a round, in two turns at least.
        progress: told what is being done.

    Returns:
        `images_per_second`: medians by name; `ratios`; `left_out`: by name, why something was not timed.
    """
    together = [{"train": workloads.training(case), "train_bound": workloads.training_bound(case)},
                {"embed": workloads.embedding(case), "embed_bound": workloads.embedding_bound(case)}]
    left_out = {}
    with ExitStack() as stack:
        if case.config.dataset.source == "digits":
            left_out["plain"] = "the digits are no files that could be opened"
        else:
            together.insert(1, {"plain": stack.enter_context(plain_pytorch.process(case))})
        plans = []
        for subjects in together:
            progress(f"warming up: {', '.join(TITLES[name] for name in subjects)}")
            speeds = _speeds(subjects, dict.fromkeys(subjects, 2), 1, case.device)
            plans.append(_turns(speeds, subjects, case.device, seconds))
        speeds_of: dict[str, list[float]] = {name: [] for subjects in together for name in subjects}
        for number in range(1, n_rounds + 1):
            for subjects, plan in list(zip(together, plans))[::1 if number % 2 else -1]:  # there and back: no drift is favour
                progress(f"round {number} of {n_rounds}: {', '.join(TITLES[name] for name in subjects)}")
                for name, speed in _speeds(subjects, *plan, case.device).items():
                    speeds_of[name].append(speed)
    return {"images_per_second": {name: statistics.median(speeds) for name, speeds in speeds_of.items()},
            "ratios": ratios(speeds_of, case.device.type), "left_out": left_out}


def ratios(speeds: dict[str, list[float]], kind: str) -> dict[str, dict]:
    """Speeds over each other, round by round.

    Args:
        speeds: images/s of each round by name, all of one length.
        kind: 'cpu' or 'cuda', which the goals depend on.

    Returns:
        By name: what is divided (`of`) by what (`to`), the `median` over rounds, `low`, `high` and the `goal`; only of what
        was timed.
    """
    ratio_of: dict[str, Json] = {}
    for name, (above, below) in _RATIOS.items():
        if above in speeds and below in speeds:
            each = [a / b for a, b in zip(speeds[above], speeds[below])]
            ratio_of[name] = {"of": above, "to": below, "median": statistics.median(each), "low": min(each), "high": max(each),
                              "goal": _GOALS[kind][name]}
    return ratio_of


def trace(case: Case, path: Path) -> list[dict]:
    """Writes a profile of ten training steps for chrome://tracing or Perfetto.

    Returns:
        The ten heaviest operators: `name`, `ms` a step by their own, `share` of all, and `calls` a step.
    """
    trainer = case.trainer()
    for _ in range(3):
        trainer.train_step()
    on_gpu = case.device.type == "cuda"
    activities = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * on_gpu
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(N_TRACED):
            trainer.train_step()
        _synchronize(case.device)
    profile.export_chrome_trace(str(path))
    times = [(item.self_device_time_total if on_gpu else item.self_cpu_time_total, item) for item in profile.key_averages()]
    total = sum(microseconds for microseconds, _ in times)
    heaviest = sorted(times, key=lambda pair: -pair[0])[:10]
    return [{"name": item.key, "ms": microseconds / 1000 / N_TRACED, "share": microseconds / total,
             "calls": item.count / N_TRACED} for microseconds, item in heaviest]


def describe(case: Case) -> dict:
    """The machine and what is timed on it."""
    training = case.config.training
    on_gpu = case.device.type == "cuda"
    return {
        "machine": {"device": torch.cuda.get_device_name(case.device) if on_gpu else platform.machine(),
                    "kind": case.device.type, "cores": os.cpu_count(), "threads": torch.get_num_threads(),
                    "torch": torch.__version__, "python": platform.python_version()},
        "case": {"dataset": case.config.dataset.source, "images": len(case.manifest), "encoder": case.config.encoder.name,
                 "image_size": case.data_config.image_size, "objective": case.config.objective.name,
                 "batch": case.config.images_per_step, "embed_batch": workloads.EMBED_BATCH,
                 "precision": "bfloat16 autocast" if on_gpu else "float32", "compile": training.compile},
    }


def _turns(speeds: dict[str, float], subjects: dict[str, Subject], device: torch.device,
           seconds: float) -> tuple[dict[str, int], int]:
    """Steps of one turn by name, and how many turns each gets in a round of so many seconds, at these speeds in images/s."""
    turn = min(_TURN[device.type], seconds / 2)
    steps = {name: max(1, math.ceil(turn * speed / subjects[name].images)) for name, speed in speeds.items()}
    longest = max(steps[name] * subjects[name].images / speed for name, speed in speeds.items())
    return steps, max(2, round(seconds / longest))


def _speeds(subjects: dict[str, Subject], steps: dict[str, int], n_turns: int, device: torch.device) -> dict[str, float]:
    """Images/s by name, over all turns; who begins changes from turn to turn."""
    seconds = dict.fromkeys(subjects, 0.0)
    with ExitStack() as stack:
        work = {name: stack.enter_context(subject.ready()) for name, subject in subjects.items()}
        for name, subject in subjects.items():
            work[name](subject.lead_in)
        for turn in range(n_turns):
            for name in list(subjects)[::-1 if turn % 2 else 1]:
                _synchronize(device)
                started = time.perf_counter()
                work[name](steps[name])
                _synchronize(device)
                seconds[name] += time.perf_counter() - started
    return {name: n_turns * steps[name] * subjects[name].images / seconds[name] for name in subjects}


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_experiment(arguments: dict, report: Report) -> dict:
    """In the process: times an experiment's first run.

    Args:
        arguments: `experiment`, as JSON; `data`, root of decoded images; `device`; `rounds` and `seconds` as in
            `measure`; `trace`, a file or None.
        report: told what is being timed.

    Returns:
        What `describe` and `measure` return, `rounds`, and `trace` with its `file` and `operators` where one was asked for; or
        `failure` alone, in one line, where memory or the disk ran out.

    Raises:
        InputError: if there is nothing to time.
    """
    torch.set_float32_matmul_precision("high")
    try:
        case = workloads.prepare(configuration.parse(arguments["experiment"]), Path(arguments["data"]),
                                 resolve_device(arguments["device"]))
        result = {**describe(case), "rounds": arguments["rounds"],
                  **measure(case, arguments["rounds"], arguments["seconds"], lambda text: report(0, 0, text))}
        if arguments["trace"]:
            result["trace"] = {"file": arguments["trace"], "operators": trace(case, Path(arguments["trace"]))}
    except InputError:
        raise
    except (OSError, MemoryError, torch.OutOfMemoryError) as error:
        return {"failure": failure(error)}
    return result


if __name__ == "__main__":
    sys.exit(tasks.main(time_experiment))
