"""Files whole or not at all, what killed processes leave, and the fall-backs of systems that are not Linux."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core import files, identity
from core.errors import Damaged
from tests.conftest import PROJECT


def python(code: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code, *arguments], cwd=PROJECT, capture_output=True,
                          text=True, check=check)


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"n": 1})
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert files.read_json(path) == {"n": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_content_and_name_are_on_the_disk_before_a_file_counts_as_written(tmp_path: Path) -> None:
    code = ("import os, sys\nfrom core import files\nfrom pathlib import Path\n"
            "seen, fsync, replace = [], os.fsync, os.replace\n"
            "os.fsync = lambda fd: (seen.append('fsync'), fsync(fd))\n"
            "os.replace = lambda a, b: (seen.append('replace'), replace(a, b))\n"
            "files.write_json(Path(sys.argv[1]) / 'a.json', {})\nprint(*seen)")
    assert python(code, str(tmp_path)).stdout.split() == ["fsync", "replace", "fsync"]


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    code = ("import sys, time\nfrom core import files\nfrom pathlib import Path\nroot = Path(sys.argv[1])\n"
            "(root / f'.new-{files.mark()}').mkdir()\n(root / f'.deleted-{files.mark()}').mkdir()\n"
            "with files.replacing(root / 'a.npy') as temporary:\n"
            "    temporary.write_bytes(bytes(1000))\n    print('there', flush=True)\n    time.sleep(600)")
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT, stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout.readline() == "there\n"
        assert files.sweep(tmp_path) == []
        assert len(os.listdir(tmp_path)) == 3
        process.send_signal(signal.SIGKILL)
    (tmp_path / "kept.tmp").write_text("someone's, new, without a mark")
    assert len(files.sweep(tmp_path)) == 3
    assert os.listdir(tmp_path) == ["kept.tmp"]
    os.utime(tmp_path / "kept.tmp", (0, 0))
    files.sweep(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"3", b"\0" * 50, b"\xff\xfe", b"[" * 100_000])
def test_json_that_is_no_object_is_damaged_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(Damaged, match=r"a\.json must (be JSON|hold a JSON object), got") as caught:
        files.read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_a_process_is_known_whatever_the_clock() -> None:
    me = identity.of(os.getpid())
    for step in (-86_400.0, -1.5, 0.0, 1.5, 3_600.0):  # what a step of the clock makes of the time of its start
        assert identity.is_alive(me["pid"], me["pid_created"] + step, me["pid_started"])
    assert not identity.is_alive(me["pid"], me["pid_created"], me["pid_started"] + "0")
    assert identity.is_alive(me["pid"], me["pid_created"])  # as older versions wrote it
    assert not identity.is_alive(me["pid"], me["pid_created"] - 5)


def test_of_another_boot_the_same_pid_and_ticks_are_another_process(tmp_path: Path) -> None:
    found = []
    for boot in ("first", "second"):
        proc = tmp_path / boot
        (proc / "sys" / "kernel" / "random").mkdir(parents=True)
        (proc / "sys" / "kernel" / "random" / "boot_id").write_text(f"{boot}\n")
        for name in ("self", "7"):
            (proc / name).mkdir()
            (proc / name / "stat").write_text("7 (a name) with ) S " + " ".join(str(field) for field in range(4, 53)))
        found.append(identity.started(7, proc))
    assert found == ["first/22", "second/22"]
    (tmp_path / "first" / "7" / "stat").write_text("7 (gone) Z " + "0 " * 50)
    assert identity.started(7, tmp_path / "first") == ""


def test_a_zombie_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert identity.started(process.pid) == ""
    process.wait()


WITHOUT = """
import os, sys
import psutil  # which has its own way on each system
for name in ("posix_fallocate", "fdatasync", "pwrite", "sched_getaffinity", "nice"):
    delattr(os, name)
sys.modules["resource"] = None  # cannot be imported
"""


def test_images_are_decoded_to_the_same_pixels_without_what_linux_alone_has(image_folder: Path, tmp_path: Path) -> None:
    code = """
from pathlib import Path
import numpy as np
from core.config import DatasetConfig
from core.data import pixels, sources
source = sources.open_source(DatasetConfig(source="folder", root=sys.argv[1]))
np.save(sys.argv[2], pixels.load(source.scan(None, None), source, 32, Path(sys.argv[3])))
"""
    for number, beginning in enumerate(("import sys\n", WITHOUT)):
        python(beginning + code, str(image_folder), str(tmp_path / f"{number}.npy"), str(tmp_path / f"cache-{number}"))
    assert np.array_equal(np.load(tmp_path / "0.npy"), np.load(tmp_path / "1.npy"))
    assert not list((tmp_path / "cache-1").glob("*.tmp"))


def test_memory_and_processes_are_told_without_what_linux_alone_has(tmp_path: Path) -> None:
    code = WITHOUT + """
from pathlib import Path
from core import identity
from core.training.clock import peak_memory
assert peak_memory() > 1_000_000
there = identity.started(os.getpid(), Path(sys.argv[1]))  # no /proc
assert there.startswith("at ") and identity.started(2 ** 22 + 1, Path(sys.argv[1])) == ""
me = identity.of(os.getpid())
assert identity.is_alive(me["pid"], me["pid_created"], there)
"""
    python(code, str(tmp_path / "nothing"))
