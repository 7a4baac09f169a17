"""What the report says of learning and of sharing, and what it does not dare to say."""

import math
from pathlib import Path

import pytest
from reports_for_tests import FullExperiment, config_of, evidence_of, full

from swarm_ray.observe.report.evidence import Evidence
from swarm_ray.observe.report.findings import gain_of, learning_of
from swarm_ray.observe.report.sharing import ratio_of, settings_of, sharing_of
from swarm_ray.records.metrics import Evaluation


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evidence]:
    """Twelve runs of three settings under four seeds, and a few others."""
    root, found = tmp_path_factory.mktemp("root"), {}
    for seed in range(4):
        for name, rising, split in (
            ("shared", 0.03, ()),
            ("fewer", 0.03, ("local=6", "external=2")),
            ("alone", 0.01, ("local=8", "external=0")),
        ):
            config = config_of(f"seed={seed}", "rounds=20", *split)
            experiment = FullExperiment(root, f"{name}-{seed}", config, rising=rising, seed=seed)
            experiment.run(18 if name == "alone" else 20, files=False)
            found[experiment.name] = evidence_of(experiment)
    level = FullExperiment(root, "level", config_of("rounds=30"), rising=0.0)
    level.run(30, files=False)
    level.log_evaluations(0.3, 0.31)
    small = FullExperiment(root, "small", config_of("nodes=2", "rounds=20", "local=8", "external=0"))
    small.run(20, files=False)
    fresh = FullExperiment(root, "fresh", config_of("local=8", "external=0"))
    return found | {e.name: evidence_of(e) for e in (level, small, fresh)}


def pair(start: float, end: float, questions: int) -> tuple[Evaluation, Evaluation]:
    return (
        Evaluation("a", "start", start, {"lcm": start}, {"lcm": questions}),
        Evaluation("a", "end", end, {"lcm": end}, {"lcm": questions}),
    )


def test_the_error_of_a_gain_is_that_of_the_questions_however_many_nodes_were_asked() -> None:
    one = gain_of({"a": pair(0.25, 0.75, 98)})
    many = gain_of({name: pair(0.25, 0.75, 98) for name in "abcdefgh"})
    assert one is not None
    assert many is not None
    cautious = (0.25 * 98 + 1) / 100
    expected = 1.96 * math.sqrt(2 * cautious * (1 - cautious) / 98)
    assert one.error == many.error == pytest.approx(expected)
    assert (one.nodes, many.nodes, many.improved, many.questions) == (1, 8, 8, 98)


def test_a_share_of_nothing_is_not_certain() -> None:
    gain = gain_of({"a": pair(0.0, 0.0, 5)})
    assert gain is not None
    assert gain.low < 0 < gain.high
    assert gain_of({}) is None


def test_learning_is_shown_by_held_out_questions(tmp_path: Path) -> None:
    finding = learning_of(evidence_of(full(tmp_path, "good", config_of(), rising=0.03)))
    assert finding.answer == "yes"
    assert "from 0.100 to 0.700" in finding.said
    assert "rose in 3 of 3 nodes" in finding.because[0]


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("level", "open", "No gain beyond chance: held-out pass@1"),
        ("shared-0", "partly", "It is running: this is how it stands so far."),
        ("fresh", "open", "Own rewards: 0 rounds have closed"),
    ],
)
def test_less_gain_is_less_of_an_answer(runs: dict[str, Evidence], name: str, answer: str, said: str) -> None:
    finding = learning_of(runs[name])
    assert finding.answer == answer
    assert said in " ".join((finding.said, *finding.because))


def test_several_runs_of_a_setting_are_the_sample(runs: dict[str, Evidence]) -> None:
    eight = [one for name, one in runs.items() if name[:-2] in ("shared", "alone")]
    assert [len(runs) for runs in settings_of(eight)] == [4, 4]
    (finding,) = sharing_of(eight)
    assert finding.answer == "yes"
    assert "p = 0.029" in finding.because[0]
    assert "Holm" not in finding.because[0]
    assert "first 18 rounds" in finding.because[1]


def test_several_settings_against_one_baseline_are_adjusted_for(runs: dict[str, Evidence]) -> None:
    twelve = [one for name, one in runs.items() if name[:-2] in ("shared", "fewer", "alone")]
    findings = sharing_of(twelve)
    assert [finding.answer for finding in findings] == ["open", "open"], "alone each would be certain"
    for finding in findings:
        assert "p = 0.029, 0.057 after Holm's adjustment for 2 settings." in finding.because[0]
        assert "2 settings against 4 runs: of so few seeds no difference can be certain" in finding.because[1]
    few = [one for one in twelve if one.name[:-2] != "fewer" or one.name == "fewer-0"]
    certain, single = sharing_of(few)
    assert (certain.answer, single.answer) == ("yes", "partly"), "what is not tested is not adjusted for"
    assert single.because[0].startswith("One run is one draw.")


def test_few_runs_are_never_certain(runs: dict[str, Evidence]) -> None:
    (finding,) = sharing_of([runs[f"{name}-{seed}"] for name in ("shared", "alone") for seed in range(3)])
    assert finding.answer == "open"
    assert finding.said.startswith("Not certain: over 3 and 3 runs")
    assert "fewer than 4 runs" in finding.because[1]


def test_one_run_of_each_tells_what_happened_and_no_more(runs: dict[str, Evidence]) -> None:
    (finding,) = sharing_of([runs["shared-0"], runs["alone-0"]])
    assert sharing_of([runs["shared-0"], runs["alone-0"], runs["fresh"]])[0].said == finding.said, (
        "has not begun"
    )
    assert finding.answer == "partly"
    assert finding.said.startswith("In this run it did")
    assert "no interval is given" in finding.because[0]
    assert "nodes that trained apart" in finding.because[1]
    ratio = ratio_of(runs["shared-0"], runs["alone-0"])
    assert ratio == pytest.approx(runs["shared-0"].cumulative(18) / runs["alone-0"].cumulative())
    assert f"{ratio:.2f} times" in finding.said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["shared-0", "shared-1"], "no experiment named was run without external rollouts"),
        (["alone-0"], "no experiment named has external rollouts"),
        (["shared-0", "small"], "different numbers of nodes"),
        (["shared-0", "fresh"], "no round has closed on one side"),
    ],
)
def test_what_cannot_be_said_is_not_said(runs: dict[str, Evidence], names: list[str], said: str) -> None:
    (finding,) = sharing_of([runs[name] for name in names])
    assert finding.answer == "open"
    assert said in finding.said
    assert len(names) < 2 or runs[names[1]].config.external or ratio_of(*(runs[n] for n in names)) is None


def test_other_differences_are_named(runs: dict[str, Evidence], tmp_path: Path) -> None:
    config = config_of("local=6", "external=0", "rounds=20", "grpo.learning_rate=0.01")
    other = FullExperiment(tmp_path, "other", config)
    other.run(20, files=False)
    (finding,) = sharing_of([runs["shared-0"], evidence_of(other)])
    assert "different numbers of rollouts" in " ".join(finding.because)
    assert "grpo.learning_rate" in " ".join(finding.because)


def test_who_claims_the_most_questions_makes_nothing_more_certain() -> None:
    honest = {f"node-{i}": pair(0.1, 0.2, 20) for i in range(4)}
    assert gain_of(honest | {"node-0": pair(0.1, 0.2, 1_000_000)}) == gain_of(honest)
    assert gain_of(honest | {"node-0": (pair(0.1, 0.2, 20)[0], pair(0.1, 0.2, -5)[1])}) is not None
