"""What a node publishes waits on the machine's own disk until the state log has answered it."""
