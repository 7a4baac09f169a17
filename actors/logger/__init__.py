"""The logger: a worker's metrics and events, closed as segments."""
