"""The algorithm, pure: it knows neither Ray nor files."""
