"""The typed configuration: every default once, YAML, `key=value`, presets. Neither torch nor Ray."""
