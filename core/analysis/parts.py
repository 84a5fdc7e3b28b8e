"""Much work in parts: rows whose products with many others fit in memory, and independent tasks on all cores."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

_NUMBERS = 25_000_000  # products at a time: 0.2 GB in float64
_ROWS = 1024

_Result = TypeVar("_Result")


def of_rows(n: int, width: int) -> list[np.ndarray]:
    """Rows in parts whose products with `width` others fit in memory; the same parts on every machine."""
    step = max(1, min(_ROWS, _NUMBERS // width))
    return [np.arange(start, min(start + step, n)) for start in range(0, n, step)]


def at_once(tasks: list[Callable[[], _Result]]) -> Iterator[_Result]:
    """The results of independent tasks in their order, as many at work as there are cores, each within one thread."""
    def alone(task: Callable[[], _Result]) -> _Result:
        with threadpool_limits(1, user_api="openmp"):  # OpenMP counts its threads for each of ours
            return task()

    if len(tasks) == 1:
        yield tasks[0]()
        return
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()) as pool:
        yield from pool.map(alone, tasks)
