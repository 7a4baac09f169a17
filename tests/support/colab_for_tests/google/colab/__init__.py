"""Stands for Colab's package of this name, as far as our notebooks call it.

`COLAB_FOR_TESTS_DRIVE` names the folder that is the account's Drive, `COLAB_FOR_TESTS_VM` one of this VM's own, with
`calls.jsonl` (what was asked of this package) and, where a test wants them, `secrets.json`.
"""
