"""Direct links between nodes through hivemind: starting and joining its DHT, storing and fetching values."""
