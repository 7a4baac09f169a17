"""What travels between nodes and what is logged: plain msgspec structs, with neither torch nor Ray."""
