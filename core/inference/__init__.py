"""A trained encoder at work: folders, queries, exports."""
