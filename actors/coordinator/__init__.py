"""The coordinator: opens and closes rounds by writing the state log."""
