"""Which rules the numbers in a file were scored by, so that those of an earlier version are not shown as today's."""

KEY, VERSION = "scored_by", 2  # 2: a query leaves out its own group, not itself alone
EARLIER = "scored by an earlier version, in which a query's own group counted"


def are_mixed(records: list[dict]) -> bool:
    """Whether some of a run's records name today's rules and others do not: an earlier version began it."""
    return len({is_current(record) for record in records}) > 1


def is_current(values: dict) -> bool:
    """Whether what a file says of itself names today's rules."""
    return values.get(KEY) == VERSION
