"""The secrets of the person, from `secrets.json`; one whose value is null may not be read by this notebook."""

import json

from google.colab.calls import note, vm_folder


class SecretNotFoundError(Exception):
    def __init__(self, key):
        super().__init__(f"Secret {key} does not exist.")


class NotebookAccessError(Exception):
    def __init__(self, key):
        super().__init__(f"Notebook does not have access to secret {key}")


class TimeoutException(Exception):
    def __init__(self, key):
        super().__init__(
            f"Requesting secret {key} timed out. Secrets can only be fetched when running from the Colab UI."
        )


def get(key):
    note("userdata.get", key=key)
    path = vm_folder() / "secrets.json"
    secrets = json.loads(path.read_text()) if path.exists() else {}
    if key not in secrets:
        raise SecretNotFoundError(key)
    if secrets[key] is None:
        raise NotebookAccessError(key)
    return secrets[key]
