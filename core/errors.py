"""Duet's own errors: what someone else can mend, said in one line.

Whatever else leaves a command or a screen is a fault of Duet's, and is shown as the traceback that it is. The classes are
kinds of Python's own as well: pydantic's validators must raise a ValueError, and a missing file is a FileNotFoundError to
every library.
"""

from pathlib import Path

from core.visible import printable, visible


class InputError(ValueError):
    """What was given or asked for cannot be used: what it must be, what it is and, where known, what to do; in one line,
    whatever the user's own text in it holds."""

    def __str__(self) -> str:
        return visible(super().__str__())


class ParameterError(InputError):
    """A parameter that cannot be what it is set to, raised where it is validated.

    Args:
        parameter: its key, from the group of settings that raises this; of the group's own validator.
        what: 'must be …, got …'.
    """

    def __init__(self, parameter: str, what: str) -> None:
        self.parameter, self.what = parameter, what
        super().__init__(f"{parameter} {what}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.parameter, self.what)


class ConfigError(InputError):
    """A parameter of an experiment file: its name, what it must be, what it is."""


class NotFound(InputError, FileNotFoundError):
    """A file, a folder, an experiment or a run that must exist and does not."""


class AlreadyExists(InputError, FileExistsError):
    """A name that must be new and is not."""


class Unreachable(InputError, ConnectionError):
    """An address that does not answer, or not to the end."""


class ChangedFile(InputError):
    """A file that is no longer the sample: its bytes are not those that were scanned."""


class DataError(InputError):
    """The images on disk are no longer those of the manifest."""


class Damaged(InputError):
    """A file or folder that cannot be used: missing, broken, or written by a newer version.

    Args:
        path: the file or folder.
        what: what it must be and what it is, without a subject: 'must be JSON, got nothing'.
        remedy: what can be done; empty where the reader cannot know.
        is_newer: whether a newer version wrote it.
    """

    def __init__(self, path: Path, what: str, remedy: str = "", is_newer: bool = False) -> None:
        self.path, self.what, self.remedy, self.is_newer = path, what, remedy, is_newer
        super().__init__(f"{printable(str(path))} {what}{f'; {remedy}' if remedy else ''}")

    def __reduce__(self) -> tuple[type, tuple[Path, str, str, bool]]:  # caches and other processes pass it on
        return type(self), (self.path, self.what, self.remedy, self.is_newer)
