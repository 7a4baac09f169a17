"""The embedded model: a quarter of a million parameters, and the starts it is given."""
