"""GenRL games over a shared folder: a communication back end, a coordinator, a game manager, a trainer."""
