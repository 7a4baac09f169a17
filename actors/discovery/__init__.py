"""Discovery: registers a worker's nodes, writes their heartbeats, and finds peers."""
