"""Work on many small files spread over processes beside this one: threads would wait for each other.

Most of what opening a small image takes is Python's own work, which one thread of a process does at a time. A helper is
`python -m core.data.processes`; it works until its standard input ends, so it never outlives the process that started it.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

MANY = 1_000  # files from which on processes are worth their start

_PROJECT = Path(__file__).resolve().parents[2]


def in_parallel(work: Callable[[Chunk], Result], chunks: list[Chunk], in_processes: bool,
                lost: Callable[[object], object] | None = None) -> Generator[Result]:
    """The results of `work` on each chunk, in order, computed on every core. If the caller closes the generator early, chunks
    in work are finished and the others are dropped.

    Args:
        work: a function; in processes, of a module that imports little, or `functools.partial` of one.
        chunks: what to work on.
        in_processes: else in threads.
        lost: makes the result of an item at which a helper process ends, given the item. Chunks and results are then lists:
            the items of such a chunk are worked on again, one by one, in other helpers.

    Raises:
        ChildProcessError: if a helper ends before its work is done and `lost` is not given.
        Exception: what `work` raises.
    """
    n = min(os.cpu_count() or 1, len(chunks))
    if n == 0:
        return
    with ExitStack() as stack:
        call = work
        if in_processes:
            idle: queue.SimpleQueue[_Helper] = queue.SimpleQueue()
            helpers: list[_Helper] = []
            stack.callback(lambda: _close(helpers))

            def started() -> _Helper:
                helpers.append(_Helper())
                return helpers[-1]

            for _ in range(n):
                idle.put(started())

            def once(chunk: Any) -> Any:
                helper = idle.get()
                try:
                    return helper.call(work, chunk)
                except ChildProcessError:
                    if lost is not None:
                        helper = started()
                    raise
                finally:
                    idle.put(helper)

            def alone(part: Any) -> Any:
                try:
                    return once([part])
                except ChildProcessError:
                    return [lost(part)] if lost else []

            def in_helpers(chunk: Any) -> Any:
                try:
                    return once(chunk)
                except ChildProcessError:
                    if lost is None:
                        raise
                    return [result for part in chunk for result in alone(part)]

            call = in_helpers

        pool = ThreadPoolExecutor(n)
        stack.callback(pool.shutdown, cancel_futures=True)
        yield from pool.map(call, chunks)


class _Helper:
    """A process that works on one chunk at a time."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(_PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen([sys.executable, "-m", "core.data.processes"], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path},
                                         start_new_session=True)  # Ctrl-C is this process's to hear
        assert self._process.stdin and self._process.stdout, "both are pipes"
        self._asked, self._answers = self._process.stdin, self._process.stdout

    def call(self, work: Callable[[Any], Any], chunk: Any) -> Any:
        try:
            pickle.dump((work, chunk), self._asked)
            self._asked.flush()
            is_done, result = pickle.load(self._answers)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            self._process.kill()  # if it is not dead but talks nonsense
            raise ChildProcessError(f"a process that helped to read images must not end, it ended with code "
                                    f"{self._process.wait()}; if memory is short, free some, and start again") from None
        if not is_done:
            raise result
        return result

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self._asked.close()
        self._answers.close()
        self._process.wait()


def _close(helpers: list[_Helper]) -> None:
    for helper in helpers:
        helper.close()


def main() -> None:
    """A helper's whole life: takes (function, chunk), gives (True, result) or (False, the exception it raised)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    while True:
        try:
            work, chunk = pickle.load(requests)
        except (EOFError, pickle.UnpicklingError):
            os._exit(0)  # at once: nothing is left to tidy up, and somebody waits
        try:
            answer = (True, work(chunk))
        except Exception as error:
            error.add_note(traceback.format_exc())
            answer = (False, error)
        try:
            pickle.dump(answer, answers)
            answers.flush()
        except BrokenPipeError:
            os._exit(0)


if __name__ == "__main__":
    main()
