"""The Hugging Face Hub: repositories, commits and tags. The token comes from HF_TOKEN or a login and is never stored.

`huggingface_hub` is imported when it is needed, so that a driver that pushes nothing does not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from swarm_ray.config.schema import HubConfig
from swarm_ray.errors import UserError


def repository_of(hub: HubConfig, node: str) -> str:
    """The repository of one node."""
    return f"{hub.repository}-{node}"


def require_hub(hub: HubConfig, nodes: Iterable[str]) -> None:
    """Make sure that pushing can begin; makes no network call, so a refused token shows later.

    Raises:
        UserError: a repository's name is not valid, no token is set, or the Hub is switched off.
    """
    if not hub.repository:
        return
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if not all(hub.repository.partition("/")):
        raise UserError(f"hub.repository={hub.repository!r} is not possible; it must be owner/name")
    for node in nodes:
        try:
            validate_repo_id(repository_of(hub, node))
        except HFValidationError as error:
            why = " ".join(str(error).split())
            raise UserError(
                f"hub.repository={hub.repository!r} is not possible with node {node}: {why}"
            ) from error
    if constants.HF_HUB_OFFLINE:
        raise UserError("hub.repository is set, and so is HF_HUB_OFFLINE: unset one of them")
    if not get_token():
        raise UserError(
            "hub.repository needs a token for the Hugging Face Hub; set HF_TOKEN to one that may "
            "write, or log in by `hf auth login`"
        )


def push_folder(folder: Path, repository: str, *, private: bool, message: str, tag: str) -> None:
    """Make the repository if it is not there, commit the folder's files to it, and tag the commit.

    Args:
        folder: what is pushed.
        repository: `owner/name`.
        private: whether a new repository is private; one that is there stays as it is.
        message: of the commit.
        tag: a name for it; a tag of that name that is there stays.

    Raises:
        Exception: what `huggingface_hub.HfApi` raises; see `push_failures`.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    disable_progress_bars()
    api = HfApi(library_name="swarm-ray")
    api.create_repo(repository, private=private, exist_ok=True)
    commit = api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    api.create_tag(repository, tag=tag, revision=commit.oid, exist_ok=True)


def push_failures() -> tuple[type[Exception], ...]:
    """What `push_folder` raises over the network, the token or the Hub's answers.

    The client's own error derives from the base of its transport's errors and from `OSError`; which transport that is
    depends on the version of the client.
    """
    from huggingface_hub.errors import HfHubHTTPError

    bases = [kind for kind in HfHubHTTPError.__mro__ if issubclass(kind, Exception) and kind is not Exception]
    return (*bases, RuntimeError, ValueError)
