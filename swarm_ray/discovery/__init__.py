"""Which nodes the folder announces, whatever their experiment. Neither torch nor Ray."""
