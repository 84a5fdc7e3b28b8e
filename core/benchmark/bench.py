"""How fast training and embedding are, against what the device alone can do and against a plain PyTorch pipeline.

A process of its own, started by name with the worker's environment. Everything takes turns, round after round; what has a
bound takes the shortest turns with it, in this one process: a shared machine changes its pace from one second to the next. A
ratio is taken within a round. Writes nothing but the trace it is asked for.
"""

import argparse
import json
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
from core.benchmark.workloads import Case, Subject
from core.errors import InputError
from core.files import Json
from core.training.device import resolve_device
from core.wording import failure

N_TRACED = 10
_TURN = {"cpu": 0.3, "cuda": 1.5}  # seconds a turn takes at least, or one step; a GPU's pace is even, its steps are short
_ROUND = 6.0  # seconds each gets in a round, in two turns at least
_KEYS = {"train": "training, end to end", "train_bound": "training, compute only", "plain": "training, plain PyTorch",
         "embed": "embedding, end to end", "embed_bound": "embedding, forward only"}
_GOALS: dict[str, dict[str, float | None]] = {
    "cpu": {"train": 0.95, "plain": 3.5, "embed": 0.95},  # plain: of MobileNetV2-0.35 at 224 px, batch 64
    "cuda": {"train": 0.90, "plain": None, "embed": 0.95}}
_RATIOS = {"train": ("train", "train_bound"), "plain": ("train", "plain"), "embed": ("embed", "embed_bound")}


def measure(case: Case, n_rounds: int, progress: Callable[[str], None]) -> dict:
    """Times everything in turn.

    Args:
        case: what to time.
        n_rounds: rounds that count; one more before them does not.
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
            progress(f"warming up: {', '.join(_KEYS[name] for name in subjects)}")
            plans.append(_turns(_speeds(subjects, dict.fromkeys(subjects, 2), 1, case.device), subjects, case.device))
        found: dict[str, list[float]] = {name: [] for subjects in together for name in subjects}
        for number in range(1, n_rounds + 1):
            for subjects, plan in list(zip(together, plans))[::1 if number % 2 else -1]:  # there and back: no drift is favour
                progress(f"round {number} of {n_rounds}: {', '.join(_KEYS[name] for name in subjects)}")
                for name, speed in _speeds(subjects, *plan, case.device).items():
                    found[name].append(speed)
    return {"images_per_second": {name: statistics.median(speeds) for name, speeds in found.items()},
            "ratios": ratios(found, case.device.type), "left_out": left_out}


def ratios(speeds: dict[str, list[float]], kind: str) -> dict[str, dict]:
    """Speeds over each other, round by round.

    Args:
        speeds: images/s of each round by name, all of one length.
        kind: 'cpu' or 'cuda', which the goals depend on.

    Returns:
        By name: what is divided (`of`) by what (`to`), the `median` over rounds, `low`, `high` and the `goal`; only of what
        was timed.
    """
    found: dict[str, Json] = {}
    for name, (above, below) in _RATIOS.items():
        if above in speeds and below in speeds:
            each = [a / b for a, b in zip(speeds[above], speeds[below])]
            found[name] = {"of": above, "to": below, "median": statistics.median(each), "low": min(each), "high": max(each),
                           "goal": _GOALS[kind][name]}
    return found


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


def _turns(speeds: dict[str, float], subjects: dict[str, Subject], device: torch.device) -> tuple[dict[str, int], int]:
    """Steps of one turn by name, and how many turns each gets in a round, at these speeds in images/s."""
    steps = {name: max(1, math.ceil(_TURN[device.type] * speed / subjects[name].images)) for name, speed in speeds.items()}
    seconds = max(steps[name] * subjects[name].images / speed for name, speed in speeds.items())
    return steps, max(2, round(_ROUND / seconds))


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


def _table(found: dict) -> str:
    machine, case, speeds = found["machine"], found["case"], found["images_per_second"]
    lines = [["what", "images/s", "ratio", "range", "goal", ""]]
    for name, speed in speeds.items():
        ratio = found["ratios"].get(name)
        cells = ["", "", "", ""]
        if ratio:
            goal = "" if ratio["goal"] is None else f"{ratio['goal']:.2f}"
            cells = [f"{ratio['median']:.3f}", f"{ratio['low']:.3f} to {ratio['high']:.3f}", goal,
                     f"{_KEYS[ratio['of']]} ÷ {_KEYS[ratio['to']]}"]
        lines.append([_KEYS[name], f"{speed:,.1f}", *cells])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    text = ["  ".join(cell.rjust(width) if 0 < place < 5 else cell.ljust(width)
                      for place, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines]
    text.insert(1, "  ".join("─" * width for width in widths[:5]))
    text += [f"left out: {_KEYS[name]} ({reason})" for name, reason in found["left_out"].items()]
    text.append(f"{case['encoder']} at {case['image_size']} px, {case['objective']}, batch {case['batch']}, "
                f"{case['precision']}{', compiled' if case['compile'] else ''}; {case['images']:,} images; medians of "
                f"{found['rounds']} round{'s' if found['rounds'] > 1 else ''}, ratios taken within a round")
    text.append(f"{machine['device']}, {machine['cores']} cores, torch {machine['torch']}, Python {machine['python']}")
    return "\n".join(text)


def _operators(found: list[dict], path: str) -> str:
    lines = [f"{path}: {N_TRACED} training steps; the heaviest operators, ms a step by their own, calls a step"]
    lines += [f"{item['ms']:10.2f}  {100 * item['share']:4.1f} %  {item['calls']:6.0f}  {item['name']}" for item in found]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m core.benchmark.bench EXPERIMENT --data DATA`; the experiment as JSON. Returns the
    exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment", type=json.loads)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trace", type=Path)
    options = parser.parse_args(arguments)
    torch.set_float32_matmul_precision("high")
    is_terminal = sys.stderr.isatty()

    def progress(text: str) -> None:
        if is_terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    try:
        case = workloads.prepare(configuration.parse(options.experiment), options.data, resolve_device(options.device))
        found = {**describe(case), "rounds": options.rounds, **measure(case, options.rounds, progress)}
        progress("")
        if options.trace:
            found["trace"] = {"file": str(options.trace), "operators": trace(case, options.trace)}
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except (OSError, MemoryError, torch.OutOfMemoryError) as error:
        print(f"error: {failure(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    if options.json:
        print(json.dumps(found))
        return 0
    print(_table(found))
    if "trace" in found:
        print(_operators(found["trace"]["operators"], found["trace"]["file"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
