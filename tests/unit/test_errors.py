"""Bad input is told from a fault of Duet's own: one line and exit code 2, or a traceback and exit code 1."""

import ast
import pickle
from pathlib import Path

import pytest

import main
from core.cli import list_experiments
from core.errors import AlreadyExists, ChangedFile, ConfigError, Damaged, DataError, InputError, NotFound, Unreachable
from core.jobs import failures
from tests import PROJECT

CORE = PROJECT / "core"
OURS = (InputError, ConfigError, NotFound, AlreadyExists, Unreachable, ChangedFile, DataError)

# Where a ValueError is raised still: a caller's mistake in an analysis, or over a file's bytes by a reader whose caller says
# which file they are of.
MISUSE = {"analysis/agreement.py", "analysis/changes.py", "analysis/neighbors.py", "analysis/paired_tests.py",
          "analysis/projection.py", "analysis/table.py", "analysis/trust.py", "data/decoding.py", "results/examination.py",
          "results/repeated.py"}


@pytest.mark.parametrize("error", [kind("dataset.root must exist") for kind in OURS] + [Damaged(Path("x"), "must be whole")])
def test_each_of_our_errors_is_one_line_and_2(error: InputError, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    raising(error, monkeypatch)
    assert main.main(["list", "--checkpoints", str(tmp_path / "c"), "--data", str(tmp_path / "d")]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: {error}\n")
    assert str(pickle.loads(pickle.dumps(error))) == str(error), "processes pass them on"


@pytest.mark.parametrize("error", [ValueError("operands could not be broadcast"), KeyError("seed"), TypeError("no"),
                                   RuntimeError("shape"), AssertionError("never")])
def test_a_fault_inside_is_a_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    raising(error, monkeypatch)
    with pytest.raises(type(error)) as raised:  # which Python prints as a traceback, with exit code 1
        main.main(["list", "--checkpoints", str(tmp_path / "c"), "--data", str(tmp_path / "d")])
    assert raised.value is error
    assert capsys.readouterr() == ("", "")


def raising(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the command `list` end with an error."""
    def command(options: object) -> int:
        raise error

    monkeypatch.setattr(list_experiments, "main", command)


@pytest.mark.parametrize("error, kind", [
    (InputError("training.lr must be above 0"), "input"), (Unreachable("no answer"), "input"), (DataError("changed"), "data"),
    (NotFound("no such file"), "data"), (ValueError("operands could not be broadcast"), "error"), (KeyError("seed"), "error")])
def test_a_failed_run_says_whether_its_input_or_duet_is_at_fault(error: Exception, kind: str) -> None:
    found, message = failures.diagnose(error)
    assert found == kind
    assert ("the log has the details" in message) == (kind == "error")


def test_core_refuses_input_with_its_own_errors() -> None:
    found = {path.relative_to(CORE).as_posix() for path in CORE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))
              if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
              and node.exc.func.id in {"ValueError", "FileNotFoundError", "FileExistsError"}}
    assert found == MISUSE

