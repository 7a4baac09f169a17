"""The state log: the chain of records that says what counts."""
