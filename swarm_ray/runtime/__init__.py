"""A machine's actors: started, placed, supervised and ended."""
