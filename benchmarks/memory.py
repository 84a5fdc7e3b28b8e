"""Peak memory of a contrastive step with a large batch, whole and in micro-batches, each in a process of its own.

    python -m benchmarks.memory [--batch 256] [--micro 16] [--encoder test_convnext] [--size 96]
"""

import argparse
import subprocess
import sys

STEP = """
import resource, sys
import torch
from tests.process.test_large_batches import make_trainer
batch, micro, name, size = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
trainer = make_trainer("supcon", (4, batch // 4), name, size, micro_batch=micro or None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
trainer.train_step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--micro", type=int, default=16)
    parser.add_argument("--encoder", default="test_convnext")
    parser.add_argument("--size", type=int, default=96)
    options = parser.parse_args()
    used = []
    for micro in (0, options.micro):
        result = subprocess.run([sys.executable, "-c", STEP, str(options.batch), str(micro), options.encoder,
                                 str(options.size)], capture_output=True, text=True, check=True)
        used.append(int(result.stdout.split()[-1]) / 1024)
    print(f"peak memory of a step of {options.batch} images of {options.size} px through {options.encoder}: "
          f"{used[0]:,.0f} MiB whole, {used[1]:,.0f} MiB in micro-batches of {options.micro} "
          f"({used[1] / used[0]:.2f} of it)")


if __name__ == "__main__":
    main()
