"""The errors that a user of Swarm Ray can meet; all derive from `SwarmError`.

Each message says what happened, to which file or node, and what to do about it. An exception of several arguments keeps
them in ``args``, so that it survives a process boundary (an actor's error is pickled on its way to the driver).
"""


class SwarmError(Exception):
    """Base of every error that Swarm Ray raises on purpose."""


class UserError(SwarmError):
    """The user asked for something that cannot be done; the command prints it in one line and exits with 2."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook, too, it is one line: IPython asks an exception for this."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(UserError):
    """A configuration key or value is unknown, impossible or must not be stored."""


class ExperimentExistsError(UserError):
    """An experiment of that name is in the folder already."""


class ExperimentNotFoundError(UserError):
    """No experiment of that name is in the folder."""


class ModelError(UserError):
    """A model cannot be loaded, does not fit the device, or has no usable tokenizer."""


class TaskError(SwarmError):
    """A question cannot be made, or a verifier failed on its own question."""


class UnknownQuestionError(TaskError):
    """A question reference names no question of this experiment's training pool."""


class ScoringError(SwarmError):
    """The scoring process did not answer, and could not be brought back."""


class CheckpointError(SwarmError):
    """A checkpoint cannot be written, or no whole one was found where there must be one."""


class CheckpointMismatch(UserError):
    """A checkpoint is of another model or shape than the one that should continue it."""


class NodeTakenError(UserError):
    """Another living process trains a node of that id, or one with the same identity."""


class IdentityError(UserError):
    """A node's key cannot be made, read or taken over."""


class Superseded(SwarmError):
    """Another process has taken this one's place while it was thought dead; it must stop."""


class NodeFailure(SwarmError):
    """One node's data failed (a loss that is not finite, say): the node is marked and the others continue."""


class ActorFailure(SwarmError):
    """An actor died, or did not answer in time."""


class OutOfMemory(ActorFailure):
    """An actor ran out of the host's or the device's memory."""


class MissingResource(ActorFailure):
    """An actor was never placed: it asked for more than this Ray has."""


class MalformedFile(SwarmError):
    """Another node's file is whole and is not what it should be; it is refused and counted."""


class SwarmStateError(SwarmError):
    """The state log did not continue in time, or holds a record that this version cannot read."""


class LinkError(SwarmError):
    """A direct link does not start, or did not store or fetch a value in time; the folder carries it then."""


class StopRequested(SwarmError):
    """The experiment ended or the worker was asked to stop while it waited; not a failure."""
