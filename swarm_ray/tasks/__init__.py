"""Questions and verifiers: what a node is asked, and what its answers are worth."""
