"""Which rules the numbers in a file were scored by, so that those of an earlier version are not shown as today's."""

KEY, VERSION = "scored_by", 3  # 2: a query leaves out its own group, not itself alone; 3: the probe's C is chosen
EARLIER = "scored by an earlier version, in which a query's own group counted"
OTHERWISE = "scored by the rules of an earlier version"
UNTUNED = "scored by an earlier version, whose linear probe had C = 1 in every space"


def are_mixed(records: list[dict]) -> bool:
    """Whether some of a run's records leave out a query's own group and others do not: an earlier version began it."""
    return len({leaves_out_own_group(record) for record in records}) > 1


def is_current(values: dict) -> bool:
    """Whether what a file says of itself names today's rules."""
    return values.get(KEY) == VERSION


def leaves_out_own_group(values: dict) -> bool:
    """Whether retrieval was scored as today: all that matters to a file that holds no number of the probe."""
    version = values.get(KEY)
    return isinstance(version, int) and version >= 2


def earlier(values: dict) -> str:
    """By which rules an earlier version scored a file, in words; empty for one scored by today's."""
    if is_current(values):
        return ""
    return UNTUNED if leaves_out_own_group(values) else EARLIER
