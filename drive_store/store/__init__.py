"""One shared folder through fsspec: its operations, what it guarantees, and its typed errors."""
