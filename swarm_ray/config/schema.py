"""The typed configuration of a swarm: every default stands here once, with its meaning beneath it.

Presets (`swarm_ray/config/presets/*.yaml`) and `key=value` overrides are laid over these defaults;
`swarm_ray.config.load` does that and turns every mistake into one line. Neither torch nor Ray is imported.
"""

from __future__ import annotations

import json
from typing import Any, Literal, TypeGuard

from pydantic import BaseModel, Field, PositiveInt, ValidationInfo, field_validator, model_validator

from swarm_ray.config.specialties import SETS

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""Names that become parts of paths, tables and messages."""
Share = float


class Section(
    BaseModel,
    extra="forbid",
    frozen=True,
    use_attribute_docstrings=True,
    protected_namespaces=(),
    allow_inf_nan=False,
):
    """Base of every part: frozen, unknown keys refused; docstrings under fields are their descriptions."""

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false, which Python takes for 1 and 0, where no field wants them."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError(f"{str(value).lower()} is neither a number nor a text")
        return value


def is_section(annotation: object) -> TypeGuard[type[Section]]:
    """Whether a field's type is a section."""
    return isinstance(annotation, type) and issubclass(annotation, Section)


def dotted_keys(section: type[Section], prefix: str = "") -> tuple[str, ...]:
    """All keys of a section, those of the sections in it dotted: `rounds`, `grpo`, `grpo.learning_rate`."""
    found = {f"{prefix}{name}": field.annotation for name, field in section.model_fields.items()}
    below = {key: dotted_keys(kind, f"{key}.") for key, kind in found.items() if is_section(kind)}
    return tuple(one for key in found for one in (key, *below.get(key, ())))


class SpecialtyConfig(Section):
    """One kind of question."""

    name: str = Field(pattern=NAME)
    """How the specialty is called in records, logs and tables."""
    task: str = ""
    """The reasoning-gym dataset, or a task registered by one of `tasks.modules`; empty means `name`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The dataset's own configuration; the same for all nodes."""
    weight: float = Field(default=1.0, gt=0)
    """Relative chance of being drawn."""

    @field_validator("options")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Options as JSON has them, in which form they are stored, hashed and sent; tuples become lists."""
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
            return dict(json.loads(text.encode()))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"only what JSON can hold is allowed here ({error})") from error


class TasksConfig(Section):
    """Questions, answers and verifiers."""

    specialties: tuple[SpecialtyConfig, ...] = Field(default=(), validate_default=True)
    """The specialties, or the name of a set: `paper` (nine) or `easy` (eight)."""
    seed: int = Field(default=1, ge=0)
    """Seed of the question pools, common to all nodes; nodes draw from them with streams of their own."""
    pool: PositiveInt = 3000
    """Questions per specialty (indices 0 to pool - 1). The paper does not say how many it had."""
    held_out: Share = Field(default=0.1, ge=0, le=0.5)
    """Share of question texts, split off by hash, that no warm start and no training ever draws."""
    answer: Literal["whole", "tagged"] = "whole"
    """What of a completion is scored: all of it, stripped, or what stands between `<answer>` tags."""
    score_timeout_s: float = Field(default=2.0, gt=0)
    """Seconds that a verifier may take for one completion before it counts as a failure with reward 0."""
    modules: tuple[str, ...] = ()
    """Python modules that register tasks of your own. A worker imports only those named on its own command line."""

    @field_validator("specialties", mode="before")
    @classmethod
    def _named_sets(cls, value: object) -> object:
        if isinstance(value, str) and value not in SETS:
            raise ValueError(
                f"no set of specialties is called {value!r}; there are {', '.join(sorted(SETS))}, and a list "
                "names data sets, such as [gcd, lcm]"
            )
        if isinstance(value, str) or value == ():
            return SETS[value or "easy"]
        if isinstance(value, (list, tuple)):
            return tuple({"name": item} if isinstance(item, str) else item for item in value)
        return value

    @model_validator(mode="after")
    def _names_differ(self) -> TasksConfig:
        names = [s.name for s in self.specialties]
        if len(set(names)) != len(names) or not names:
            raise ValueError(
                f"tasks.specialties needs at least one specialty and different names, not {names}"
            )
        return self


class PolicyConfig(Section):
    """The language model of every node, and how it decodes."""

    model: str = "tiny"
    """`tiny` for the embedded model, else a path or Hugging Face name of a causal language model."""
    start: Literal["C0", "C1", "C5", "B2", "base", "blank"] = "C5"
    """Where the embedded model starts: a skill with a habit that hides it (docs/tiny.md says which letter is which),
    `base` for the skill alone, `blank` for untrained weights."""
    start_seed: int = Field(default=0, ge=0)
    """Seed of the embedded model's warm start; the start is common to every run that has the same one."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`; each machine may have its own."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of activations; weights and Adam stay float32, since small steps vanish in bfloat16 weights. Not stated in the
    paper. Each machine may have its own."""
    max_new_tokens: PositiveInt = 5
    """Longest completion, in tokens. Not stated in the paper."""
    temperature: float = Field(default=1.0, gt=0)
    """Of sampling over the whole vocabulary (no top-k, no top-p). Not stated in the paper."""
    packing: Literal["auto", "off"] = "auto"
    """`auto`: prompt once with its completions in one row, where a probe at the start agrees to 1e-4. Each machine may
    have its own."""
    micro_batch_tokens: PositiveInt = 16384
    """Most tokens (padding included) in one forward and backward pass; gradients add up over the passes. Each machine
    may have its own."""
    generate_batch: PositiveInt = 512
    """Most completions decoded in one batch. Each machine may have its own."""
    system_prompt: str = ""
    """For chat models; empty means reasoning-gym's own `DeepSeekZero` prompt when answers are tagged."""

    @property
    def is_tiny(self) -> bool:
        """Whether the embedded model is meant."""
        return self.model == "tiny"


class GrpoConfig(Section):
    """The policy gradient (GRPO) and its optimizer."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Of Adam. The paper: "default hyperparameters (e.g., learning rate 0.001)"."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Adam's default, as in the paper."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Adam's default, as in the paper."""
    adam_epsilon: float = Field(default=1e-8, gt=0)
    """Adam's default, as in the paper."""
    clip_low: float = Field(default=0.2, ge=0, lt=1)
    """The ratio is clipped below 1 - clip_low (paper: 0.2)."""
    clip_high: float = Field(default=0.28, ge=0)
    """The ratio is clipped above 1 + clip_high (paper: 0.28)."""
    advantage_epsilon: float = Field(default=1e-4, ge=0)
    """Added to the unbiased standard deviation of a group's rewards. Neither is stated in the paper."""
    max_grad_norm: float | None = Field(default=None, gt=0)
    """Clip the gradient to this norm; null does not. Not stated in the paper."""


class PaceConfig(Section):
    """When a stage closes, and who counts as living; all durations in seconds."""

    mode: Literal["barrier", "async"] = "barrier"
    """barrier: nodes wait for the record that closes their round; async: nobody waits, and the records are a ledger
    from which each node takes its peers' newest files."""
    staleness: PositiveInt = 4
    """async: files listed more than so many records ago are not learned from."""
    strategy: Literal["completion", "time", "hybrid"] = "completion"
    """completion: a share of the members, or the maximum time; time: the maximum time; hybrid: (a share and the minimum
    time) or the maximum time."""
    share: Share = Field(default=1.0, gt=0, le=1)
    """Share of the round's living members whose files must be in."""
    min_s: float = Field(default=0.0, ge=0)
    """Shortest stage (hybrid)."""
    max_s: float = Field(default=60.0, gt=0)
    """Longest stage; one with no file in it stays open all the same (the experiment is then waiting)."""
    min_nodes: PositiveInt = 1
    """A round opens only with at least so many living members."""
    expect: PositiveInt = 1
    """Round 0 opens when so many nodes have registered."""
    beat_s: float = Field(default=2.0, gt=0)
    """A node that has published nothing for so long writes a beat."""
    dead_after_s: float = Field(default=20.0, gt=0)
    """A node whose beats and files have not changed for so long is left out of the next round."""
    poll_min_s: float = Field(default=0.01, gt=0)
    """Shortest pause between two looks at the folder, just after something changed."""
    poll_max_s: float = Field(default=1.0, gt=0)
    """Longest pause between two looks at the folder."""
    settle_s: float = Field(default=5.0, ge=0)
    """A file that the state log names may take so long to become visible to another machine."""
    drain_s: float = Field(default=60.0, gt=0)
    """After the last round, so long may nodes take for their last step, evaluation, spools and logs; a node that makes
    progress with them is waited for longer."""
    retry_s: float = Field(default=120.0, gt=0)
    """A published file that the state log has not answered for so long (or for three times the observed p99, if that is
    more) is published again under a new name."""
    alone_after_s: float = Field(default=120.0, gt=0)
    """A node that has heard nothing of a coordinator, or has not reached the folder, for so long trains on alone."""
    alone_rounds: int = Field(default=100, ge=0)
    """At most so many steps in a row are taken alone; then the node waits."""

    @model_validator(mode="after")
    def _consistent(self) -> PaceConfig:
        for low, high in (("min_s", "max_s"), ("poll_min_s", "poll_max_s")):
            least, most = getattr(self, low), getattr(self, high)
            if least > most:
                raise ValueError(f"pace.{low} ({least:g}) is above pace.{high} ({most:g})")
        if self.dead_after_s < 2 * self.beat_s:
            raise ValueError(
                f"pace.dead_after_s ({self.dead_after_s:g}) is less than twice pace.beat_s ({self.beat_s:g})"
            )
        return self


class CheckpointConfig(Section):
    """What a node that dies comes back with. Each machine may have its own."""

    every: PositiveInt | Literal["auto"] = "auto"
    """Rounds between two checkpoints on the machine's own disk; `auto`: as often as it costs under 2 %."""
    keep: PositiveInt = 2
    """Newest checkpoints of a node that are kept, on the disk and in the folder."""
    keep_best: int = Field(default=1, ge=0)
    """Beside them, so many of those with the highest mean own reward since the checkpoint before."""
    store_every_s: float = Field(default=600.0, ge=0)
    """Seconds between two uploads to the shared folder; the last checkpoint of a run is always uploaded."""
    store_bytes: int = Field(default=4_000_000_000, ge=0)
    """Most bytes of one upload: a larger one goes without the optimizer, then not at all, and says so."""


class RetentionConfig(Section):
    """What is removed from the folder, and how much may wait on a machine's own disk."""

    rounds: PositiveInt | None = None
    """Rollouts of rounds that closed more than so many rounds ago are removed by the node that wrote them; null keeps
    all. A node that resumes replays what is kept, so keep more than lies between two checkpoints."""
    spool_bytes: PositiveInt = 1_000_000_000
    """Most bytes of unanswered files on a machine's own disk; a node that has more waits. Each machine may have its
    own."""


class SupervisionConfig(Section):
    """Failure tolerance. Each machine may have its own."""

    restarts: int = Field(default=5, ge=0)
    """Restarts of actors without a finished round between them, before the run ends as failed."""
    data_failures: PositiveInt = 3
    """Rounds in a row in which a node's data may fail (a loss that is not finite, say) before it is given up."""


class EvaluationConfig(Section):
    """Held-out pass@1, measured before the first and after the last round."""

    questions: int = Field(default=24, ge=0)
    """Held-out questions per specialty (fewer where the question space is small); 0 measures nothing."""
    samples: PositiveInt = 2
    """Completions per question."""
    threshold: float = Field(default=0.99, gt=0, le=1)
    """A completion passes when its reward is at least this."""


class LogConfig(Section):
    """Metrics and events."""

    segment_s: float = Field(default=60.0, gt=0)
    """A node's rows are written as a closed segment at most so often (seconds)."""
    segment_bytes: PositiveInt = 1_000_000
    """A segment is closed earlier when it has grown to this size."""


class TrackingConfig(Section):
    """Trackers beside the experiment's own logs, which are always written. Each machine may have its own."""

    wandb: Literal["off", "offline", "online"] = "off"
    """Weights & Biases, one run per node, grouped by experiment. offline: into the experiment's folder, for `wandb
    sync` later; online: needs WANDB_API_KEY or a login."""
    wandb_project: str = "swarm-ray"
    """The project that the runs go to."""
    tensorboard: bool = False
    """Event files for TensorBoard, in the experiment's folder."""
    prometheus: bool = False
    """Gauges that Ray's own metrics agent exports for Prometheus; needs `ray[default]`."""


class HubConfig(Section):
    """Pushing nodes' models to the Hugging Face Hub, in the background. Each machine may have its own."""

    repository: str = ""
    """`owner/name`; each node has its own, with `-<node>` after it. Empty pushes nothing. Needs HF_TOKEN or a login."""
    every: PositiveInt = 100
    """Rounds between two pushes; the last model of a run is always pushed."""
    private: bool = True
    """Whether a repository that is not there yet is made as a private one."""


class DirectConfig(Section):
    """Direct links between nodes through hivemind (`exchange=hivemind`). Each machine may have its own."""

    listen: str = "0.0.0.0"  # noqa: S104
    """The IPv4 address that the link listens on; `127.0.0.1` for nodes of one machine alone."""
    port: int = Field(default=0, ge=0, le=65535)
    """The TCP port; 0 takes a free one."""
    announce: tuple[str, ...] = ()
    """Multiaddrs under which others reach this machine, where they differ from those it listens on."""
    bootnodes: tuple[str, ...] = ()
    """Multiaddrs of public peers to start with, `/p2p/...` included, beside those that the folder names."""
    relay: bool = False
    """Let public peers relay to this machine where it is behind NAT (Colab); needs a bootnode."""
    start_s: float = Field(default=15.0, gt=0)
    """Seconds that the link may take to start; after that, files carry all."""
    value_s: float = Field(default=5.0, gt=0)
    """Seconds that storing or fetching one node's rollouts may take; after that, the folder carries them."""


class SwarmConfig(Section):
    """A whole swarm; stored with the experiment."""

    preset: str = Field(default="tiny", pattern=NAME)
    """The preset that the values were laid over; for people."""
    seed: int = Field(default=0, ge=0)
    """Root of all random streams; every stream is derived from (seed, node, step, purpose)."""
    nodes: PositiveInt = 8
    """Nodes that `simulate` and `Swarm` start; each worker may have its own number."""
    rounds: PositiveInt = 100
    """Rounds that the experiment runs (paper: 2000)."""
    local: PositiveInt = 4
    """I: questions that a node draws and answers per round."""
    external: int = Field(default=4, ge=0)
    """J: rollouts of other nodes that a node learns from per round, at most."""
    completions: int = Field(default=8, ge=2)
    """G: completions per question (paper: 8)."""
    stages: PositiveInt = 1
    """Turns within a round: SAPO has one, a GenRL game may have more."""
    game: str = ""
    """The GenRL game that is played, by its recipe's name and hash; empty for SAPO itself."""
    selection: Literal["uniform"] = "uniform"
    """How J are selected: uniformly after the zero-advantage filter, as in the paper."""
    alarm_rounds: PositiveInt = 20
    """So many rounds without any informative group in the whole swarm raise the alarm "learned nothing"."""
    trainers: PositiveInt | Literal["auto"] = "auto"
    """Trainer processes per worker: `auto` hosts all nodes in one; n shares the device in exact n-ths. Each worker may
    have its own."""
    resume: Literal["all", "weights"] = "all"
    """What of its newest checkpoint a node of this worker continues with; `weights` leaves the optimizer and the
    counters at their beginning. Each start of a worker has its own."""
    exchange: Literal["folder", "hivemind"] = "folder"
    """How rollouts leave this worker. hivemind: directly, where peers can be reached, with a receipt in the folder; the
    folder carries what cannot be. Needs `swarm-ray[hivemind]`. Each worker may have its own."""
    slow_down_s: float = Field(default=0.0, ge=0)
    """Seconds that this worker adds to each of its rounds, to try how a swarm copes with a slow member."""
    tasks: TasksConfig = TasksConfig()
    policy: PolicyConfig = PolicyConfig()
    grpo: GrpoConfig = GrpoConfig()
    pace: PaceConfig = PaceConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    retention: RetentionConfig = RetentionConfig()
    supervision: SupervisionConfig = SupervisionConfig()
    log: LogConfig = LogConfig()
    tracking: TrackingConfig = TrackingConfig()
    hub: HubConfig = HubConfig()
    direct: DirectConfig = DirectConfig()

    @property
    def alarm_streak(self) -> int:
        """Rounds without any advantage that raise the alarm; in a short run all that the files tell of.

        A game's files tell of the round before, so that nothing is told of its last.
        """
        return min(self.alarm_rounds, max(1, self.rounds - 1) if self.game else self.rounds)

    @model_validator(mode="after")
    def _possible(self, info: ValidationInfo) -> SwarmConfig:
        if isinstance(self.trainers, int) and self.trainers > self.nodes:
            raise ValueError(f"trainers ({self.trainers}) is above nodes ({self.nodes}); each needs a node")
        if self.stages > 1 and self.pace.mode == "async":
            raise ValueError(
                "a game with several stages needs pace.mode=barrier: a stage builds on the one before"
            )
        joins = bool(info.context and info.context.get("joins"))  # then the experiment's nodes are there
        if self.external and self.nodes == 1 and self.pace.expect == 1 and not joins:
            raise ValueError("external rollouts need a second node: set external=0, nodes=2 or pace.expect=2")
        return self
