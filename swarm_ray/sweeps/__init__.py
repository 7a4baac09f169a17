"""Sweeps: a grid over configuration keys and seeds, run as ordinary experiments, and one report on all of them.

`file` reads the sweep file, `plan` lists its runs, `runner` runs those that `results` does not find finished.
`results` computes the figures; `table`, `charts` and `page` show them. Only `runner` needs torch and Ray.
"""
