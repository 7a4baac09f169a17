"""Sweeps: a grid over configuration keys and seeds, run as ordinary experiments, and one report on all of them.

`file` reads what the user wrote, `plan` lists its runs, `standing` says which of them are done, `runner` does the rest.
`results` computes the figures; `table`, `charts` and `page` show them. Only `runner` and `capacity` need torch and Ray.
"""
