"""The command line: everything the screens do, without a browser.

Exit code 0: done. 1: the work failed. 2: bad input, with one line on standard error. A fault of Duet's own is a traceback
and 1.
"""

import sys

from core.cli import embed, export, parser
from core.cli.output import say
from core.errors import Damaged, InputError
from core.experiments import leftovers
from core.wording import failure


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = parser.parse(arguments)
    leftovers.sweep(options.checkpoints, options.data)
    try:
        return options.command(options)
    except BrokenPipeError:  # whoever read the output has had enough
        sys.stderr.close()
        return 0
    except InputError as error:
        say(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        is_work = isinstance(error, Damaged) and options.command in (export.main, embed.main)  # its run was whole once
        return 1 if is_work else 2
    except OSError as error:  # a full disk, a cache that cannot be written
        say(f"error: {failure(error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
