"""How a number is written for people: the same on page, command line and report."""


def percent(mean: float, sd: float | None = None, n_seeds: int = 1) -> str:
    """A share of 0 to 1 as percent, with its standard deviation over several seeds: '91.6 ± 0.4'."""
    return f"{100 * mean:.1f}" + (f" ± {100 * sd:.1f}" if sd is not None and n_seeds > 1 else "")


def duration(seconds: float) -> str:
    """Seconds as a person says them: '75 s', '12 min', '2.5 h'."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
