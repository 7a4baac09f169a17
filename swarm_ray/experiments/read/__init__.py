"""What a folder says of its experiments, read without changing anything."""
