"""The command line: a module a command, the parser, and what they print. `main.py` is its door.

A command's module says what it does (`HELP`), which options it shares with others (`SHARED`, keys of `parser.parse`) and what
else it takes (`arguments`), and runs it (`main`, which returns the exit code).
"""
