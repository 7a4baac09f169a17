"""Model inputs as plain rows, for data managers of ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any


class PlainInputs:
    """Gives a trainer its prompts as a list, where GenRL makes an Arrow table of them.

    A table needs one type per column, which metadata of different data sets do not have, and costs more than the round
    of a small model. Both GenRL's trainer and ours take either.
    """

    def prepare_input(
        self, inputs: Any, stage: int | None = None
    ) -> tuple[list[dict[str, Any]], dict[int, Any]]:
        """One row with a `prompt` (chat messages) per node of a stage, and where each belongs."""
        columns, mapping = self.flatten_tree_input(inputs, stage)  # type: ignore[attr-defined]
        rows = [{name: values[i] for name, values in columns.items() if values} for i in range(len(mapping))]
        return [self.prompt_map(row) for row in rows], mapping  # type: ignore[attr-defined]


def plain(value: Any) -> Any:
    """A question's metadata as what may travel: dates and other objects become text, sets become lists."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=repr)
    return value.isoformat() if isinstance(value, date) else str(value)
