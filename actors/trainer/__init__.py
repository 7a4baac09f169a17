"""The trainer: owns a device and runs the rounds of the nodes that live on it."""
