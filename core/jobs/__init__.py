"""Processes: what starts, trains, waits its turn, stops and goes on."""
