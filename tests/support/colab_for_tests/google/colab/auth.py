"""Asks for permission to act for the person; here it is always given."""

from google.colab.calls import note


def authenticate_user(clear_output=True, project_id=None):
    note("authenticate_user")
