"""The command line: one module per command, the parser, and what they print. `main.py` is its entry point.

A command's module says what it does (`HELP`), which options it shares with others (`SHARED`, keys of `parser.parse`) and what
else it takes (`arguments`), and runs it (`main`, which returns the exit code). `run` is what the command line does without a
command, and has neither `HELP` nor `SHARED`.
"""
