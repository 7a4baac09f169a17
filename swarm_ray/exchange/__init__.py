"""How rollouts travel between trainers, and how a trainer follows the swarm's state."""
