"""Whether an experiment says the same on every machine: python -m benchmarks.same_verdict configs/demo.yaml

Runs it ten times, as the command line does: with one thread and with two, with the kernels of two older processors, and six
times from first weights that differ in their last bits. Prints each difference, its interval and its verdict, and ends with 1
unless all verdicts agree and every run gave numbers of its own. Not a test: it takes ten times as long as the experiment.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from core.cli.output import aligned
from core.experiments.handles import Experiment
from core.jobs.tasks import PROJECT
from core.results import result
from core.results.result import Pair

LAST_BITS = PROJECT / "benchmarks" / "last_bits"
KERNELS = {
    "one thread": {},
    "two threads": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"},
    "kernels of AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
    "kernels of SSE4.1": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OPENBLAS_CORETYPE": "Prescott",
                          "MKL_CBWR": "COMPATIBLE"},
}
PERTURBATIONS = KERNELS | {f"last bits {draw}": {"LAST_BITS": str(draw)} for draw in range(1, 7)}


@dataclass(frozen=True)
class Outcome:
    """What one perturbation came to."""

    name: str
    pairs: tuple[Pair, ...]
    seconds: float

    @property
    def verdicts(self) -> tuple[str, ...]:
        return tuple(pair.differences[0].verdict for pair in self.pairs)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The two arms' means at each images per class, to the bit."""
        return tuple(mean for pair in self.pairs for mean in (pair.differences[0].a, pair.differences[0].b))


def outcome(config: Path, name: str, overrides: list[str], folder: Path) -> Outcome:
    """Runs the experiment from the command line under one perturbation.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    path = os.pathsep.join(map(str, (LAST_BITS, PROJECT, *filter(None, [os.environ.get("PYTHONPATH")]))))
    command = [sys.executable, "main.py", "--config", str(config), "--name", "same", "--device", "cpu", "--checkpoints",
               str(folder)]
    started = time.perf_counter()
    subprocess.run([*command, *(f"--set={text}" for text in overrides)], cwd=PROJECT, check=True, capture_output=True,
                   env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **PERTURBATIONS[name]})
    verdict = result.read(Experiment(folder / "same"))
    return Outcome(name, verdict.comparisons, time.perf_counter() - started)


def rows(found: Outcome) -> list[list[str]]:
    """A row for each pair: what, images per class, both arms, difference, interval, verdict, seconds."""
    lines = []
    for pair in found.pairs:
        gap = pair.differences[0]
        lines.append([found.name, str(pair.images_per_class), f"{100 * gap.a:.2f}", f"{100 * gap.b:.2f}",
                      f"{100 * gap.difference:+.2f}", f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}", gap.verdict,
                      f"{found.seconds:.0f}"])
    return lines


def main() -> int:
    """Prints a table and a sentence; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    for name in PERTURBATIONS:
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(outcome(options.config.resolve(), name, options.overrides, Path(folder)))
        for line in rows(outcomes[-1]):
            print("  ".join(line), file=sys.stderr, flush=True)
    head = ["perturbation", "images per class", "A", "B", "B - A", "95 %", "verdict", "seconds"]
    print(aligned([head, *(line for found in outcomes for line in rows(found))], to_left=(0, 6)))
    same = [found.name for position, found in enumerate(outcomes)
            if found.numbers in [earlier.numbers for earlier in outcomes[:position]]]
    agree = len({found.verdicts for found in outcomes}) == 1
    print(f"{len(outcomes)} runs, {len({found.numbers for found in outcomes})} different results: "
          + ("every verdict the same" if agree else "VERDICTS DIFFER")
          + (f"; changed no number: {', '.join(same)}" if same else ""))
    return 0 if agree and not same else 1


if __name__ == "__main__":
    sys.exit(main())
