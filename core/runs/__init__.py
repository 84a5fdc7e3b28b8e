"""Processes and folders: a run is a folder, a process writes it, everything else reads it."""
