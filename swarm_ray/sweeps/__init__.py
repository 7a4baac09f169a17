"""Sweeps: a grid over configuration keys and seeds, run as ordinary experiments, and one report on all of them.

`file` reads what the user wrote, `plan` makes the list of runs of it, `standing` says which of them are done,
`runner` does the rest. `results` reckons, `remarks` says how far that goes, and `table`, `files`, `charts` and `page`
show. Only `runner` and `capacity` need torch and Ray.
"""
