"""Forks the processes that train, and torch's launcher of them, from one that has loaded what they import.

`python -m tests.trainers SOCKET PADDING`, started by the first that asks (`tests/children/forked.py`); ends with the process
that runs the tests, whose number DUET_TESTS holds. PADDING is long: a fork shows its own command line in place of this one. A
process that would have started otherwise, with other threads or processor kernels, is not forked.
"""

import ctypes
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import sklearn.linear_model  # noqa: F401 - what each trainer would have to load
import timm  # noqa: F401

MODULE = "core.jobs.series"
_OF_ONE_LAUNCH = ("TORCHELASTIC_",)  # what torch's launcher tells its processes, which they read later
_AT_START = ("OMP_", "MKL_", "OPENBLAS_", "GOMP_", "KMP_", "ATEN_", "ONEDNN_", "DNNL_", "MALLOC_", "GLIBC_", "CUDA_", "TORCH",
             "LD_", "HF_", "PYTHONWARN", "PYTHONHASH")  # what a process reads once


@dataclass(frozen=True)
class _Child:
    """A fork.

    Attributes:
        pid: its number.
        exit: a descriptor that is readable once it has ended.
        worker: who asked for it; readable once that process has ended.
    """

    pid: int
    exit: int
    worker: socket.socket


def main(path: Path) -> None:
    """Forks whenever a worker asks, and tells it how the process ended."""
    importlib.import_module(MODULE)
    del sys.modules[MODULE]  # each runs it as its main module
    tests = psutil.Process(int(os.environ["DUET_TESTS"]))
    children: list[_Child] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{path}.new")
        listening.listen()
        os.rename(f"{path}.new", path)
        while tests.is_running():
            watched = [listening, *(child.exit for child in children), *(child.worker for child in children)]
            ready = select.select(watched, [], [], 1.0)[0]
            if listening in ready and (child := _answer(listening.accept()[0])):
                children.append(child)
            for child in list(children):
                if child.exit in ready:
                    _, status = os.waitpid(child.pid, 0)
                    os.close(child.exit)
                    children.remove(child)
                    with child.worker, suppress(OSError):  # it may be gone
                        child.worker.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, signed=True))
                elif child.worker in ready:  # its worker is gone: a real child would be killed too
                    os.kill(child.pid, signal.SIGKILL)


def _answer(worker: socket.socket) -> _Child | None:
    """Forks what a worker asks for, and tells it the number: 0 where the process would have started otherwise."""
    try:
        asked, descriptors = _asked(worker)
    except (OSError, ValueError):  # it was killed while it asked
        worker.close()
        return None
    pid = _fork(asked, descriptors) if _starts_alike(asked) else 0
    print(pid, *asked["command"], flush=True)
    for descriptor in descriptors:
        os.close(descriptor)
    with suppress(OSError):  # it may be gone by now
        worker.sendall(pid.to_bytes(4))
    if pid == 0:
        worker.close()
        return None
    return _Child(pid, os.pidfd_open(pid), worker)


def _asked(worker: socket.socket) -> tuple[dict, list[int]]:
    """What is asked for, and the process's input, output and errors.

    Raises:
        OSError, ValueError: if who asks ends while it does.
    """
    size = worker.recv(4, socket.MSG_WAITALL)
    if len(size) < 4:
        raise ValueError("nothing was asked for")
    first, descriptors, _, _ = socket.recv_fds(worker, 1, 3)
    return json.loads(first + worker.recv(int.from_bytes(size) - 1, socket.MSG_WAITALL)), descriptors


def _starts_alike(asked: dict) -> bool:
    """Whether nothing that a process reads once, at its start, differs between what is asked for and this process."""
    environment = asked["environment"]
    own = dict(line.split("=", 1) for line in Path("/proc/self/environ").read_text().split("\0") if "=" in line)
    return asked["folder"] == os.getcwd() and all(
        environment.get(key) == own.get(key) for key in environment.keys() | own.keys()
        if key.startswith(_AT_START) and not key.startswith(_OF_ONE_LAUNCH))


def _fork(asked: dict, descriptors: list[int]) -> int:
    """Forks the process that was asked for; returns its number."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        os.setsid()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        np.random.seed()  # else every fork would draw the same
        os.environ.clear()
        os.environ.update(asked["environment"])
        _show_arguments(asked["command"])
        if "DUET_HOLD" in os.environ:
            import holding  # a neighbour of sitecustomize

            holding.begin()
        command = [argument for argument in asked["command"] if argument != "-u"]
        sys.argv = command[2:]
        if command[2] == "torch.distributed.run":
            import forked

            forked.begin()
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # nothing of what this process was before comes to its end here


def _show_arguments(command: list[str]) -> None:
    """Has the system show these arguments as the process's: tests find a trainer by them."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end of proc(5)
    shown = "\0".join(command).encode()[:end - start - 1]
    ctypes.memmove(start, shown.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
