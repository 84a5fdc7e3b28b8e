"""Forks the processes that train from one that has loaded what they import: `python -m tests.trainers SOCKET ROOM`.

Started by the first worker that asks (`tests/children/forked.py`); ends with the process that runs the tests, whose number
DUET_TESTS holds. ROOM has no meaning: a fork writes its own arguments over this process's, and they may be as long. A process
whose environment would have had another start — threads, processor kernels — is not forked.
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
from pathlib import Path

import psutil
import sklearn.linear_model  # noqa: F401 - what each trainer would have to load
import timm  # noqa: F401

MODULE = "core.jobs.series"
_AT_START = ("OMP_", "MKL_", "OPENBLAS_", "GOMP_", "ATEN_", "ONEDNN_", "MALLOC_", "CUDA_", "TORCH", "LD_", "HF_", "PYTHONWARN")


def main(path: Path) -> None:
    """Forks whenever it is asked to, and tells who asked how the process ended."""
    importlib.import_module(MODULE)
    del sys.modules[MODULE]  # each runs it as its main module
    tests = psutil.Process(int(os.environ["DUET_TESTS"]))
    children: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{path}.new")
        listening.listen()
        os.rename(f"{path}.new", path)
        while tests.is_running():
            if select.select([listening], [], [], 0.02)[0]:
                connection, _ = listening.accept()
                asked, descriptors = _asked(connection)
                pid = _fork(asked, descriptors) if _starts_alike(asked["environment"]) else 0
                for descriptor in descriptors:
                    os.close(descriptor)
                connection.sendall(pid.to_bytes(4))
                if pid:
                    children[pid] = connection
            for pid, connection in list(children.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    _tell(children.pop(pid), os.waitstatus_to_exitcode(status))
                elif select.select([connection], [], [], 0)[0]:  # the worker is gone, which its own child would be told
                    os.kill(pid, signal.SIGKILL)


def _asked(connection: socket.socket) -> tuple[dict, list[int]]:
    """What is asked for, and the process's input, output and errors."""
    size = int.from_bytes(connection.recv(4, socket.MSG_WAITALL))
    first, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    return json.loads(first + connection.recv(size - 1, socket.MSG_WAITALL)), descriptors


def _starts_alike(environment: dict[str, str]) -> bool:
    """Whether nothing that is read once, at the start, differs between an environment and the one this process began in."""
    own = dict(line.split("=", 1) for line in Path("/proc/self/environ").read_text().split("\0") if "=" in line)
    return all(environment.get(key) == own.get(key) for key in environment.keys() | own.keys() if key.startswith(_AT_START))


def _tell(connection: socket.socket, code: int) -> None:
    with connection, suppress(OSError):  # who asked may be gone
        connection.sendall(code.to_bytes(4, signed=True))


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
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        _show_arguments(asked["command"])
        if "DUET_HOLD" in os.environ:
            import holding  # a neighbour of sitecustomize

            holding.begin()
        sys.argv = asked["command"][2:]
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
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
