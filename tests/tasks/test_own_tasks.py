"""Tasks of one's own from two functions, and the document that shows them, executed as it stands."""

import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from swarm_ray import register_task
from swarm_ray.config.load import load_config
from swarm_ray.config.schema import TasksConfig
from swarm_ray.errors import ConfigError, TaskError
from swarm_ray.experiments.folder import ExperimentAddress
from swarm_ray.experiments.open import open_or_create
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer
from swarm_ray.tasks.scoring_client import ScoreItem
from swarm_ray.tasks.task import registered

DOCUMENT = Path(__file__).parents[2] / "docs" / "own_tasks.md"


def halve(stream: random.Random, largest: int = 50) -> tuple[str, str]:
    number = stream.randint(1, largest)
    return f"Halve {2 * number}: ", str(number)


def tasks(name: str, **options: Any) -> TaskSet:
    return TaskSet(TasksConfig(specialties=[{"name": "own", "task": name, "options": options}]))


def test_two_functions_are_a_task() -> None:
    register_task("halves", halve, lambda answer, right: 0.5 + 0.5 * (answer == right))
    made = tasks("halves", largest=3)
    questions = [made.question("own", 1, index) for index in range(30)]
    assert {q.text for q in questions} == {"Halve 2: ", "Halve 4: ", "Halve 6: "}
    again = tasks("halves", largest=3)
    assert [again.question("own", 1, index) for index in range(30)] == questions
    assert [q.text for q in questions] != [made.question("own", 2, i).text for i in range(30)]
    first = questions[0]
    assert made.tasks["own"].score(first.reference, first.entry) == 1.0
    assert made.tasks["own"].score("x", first.entry) == 0.5


def test_without_a_verifier_the_same_text_is_right() -> None:
    register_task("halves-plain", halve)
    made = tasks("halves-plain")
    question, score = made.question("own", 1, 0), made.tasks["own"].score
    assert [score(text, question.entry) for text in (question.reference, "", "1.0")] == [1, 0, 0]


def test_a_cell_that_runs_again_is_no_second_task() -> None:
    register_task("halves-again", halve)
    before = registered("halves-again")
    register_task("halves-again", halve)
    assert registered("halves-again") is not before

    def other(stream: random.Random) -> tuple[str, str]:
        return halve(stream)

    with pytest.raises(ConfigError, match="two tasks are registered as 'halves-again'"):
        register_task("halves-again", other)
    with pytest.raises(ConfigError, match="reasoning-gym has a data set of that name"):
        register_task("gcd", halve)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"largst": 3}, "does not take these options: .*largst.*; it has largest"), ({"stream": 3}, "stream")],
)
def test_options_that_it_does_not_take(options: Mapping[str, Any], expected: str) -> None:
    register_task("halves-options", halve)
    with pytest.raises(ConfigError, match=expected):
        tasks("halves-options", **options)


def test_a_question_that_is_none_shows_at_once() -> None:
    register_task("halves-wrong", lambda stream: stream.randint(1, 2))  # type: ignore[arg-type, return-value]
    with pytest.raises(TaskError, match=r"it must be two texts, the question and a right answer"):
        tasks("halves-wrong")


@pytest.mark.parametrize(
    ("specialty", "expected"),
    [
        ({"name": "gcdd"}, r"no data set .* is 'gcdd'; did you mean gcd"),
        ({"name": "leg_counting", "options": {"max_animals": 0}}, "leg_counting refuses them"),
    ],
)
def test_a_bad_task_makes_no_experiment(tmp_path: Path, specialty: dict[str, Any], expected: str) -> None:
    """Nor does it remove the one that was to be overwritten."""
    address = ExperimentAddress(str(tmp_path), "first")
    before = load_config("tiny", overrides={"tasks.specialties": ["gcd"]})
    config = load_config("tiny", overrides={"tasks.specialties": [specialty]})
    with pytest.raises(ConfigError, match=expected):
        open_or_create(address, config, overwrite=False)
    assert list(tmp_path.iterdir()) == []
    open_or_create(address, before, overwrite=False)
    with pytest.raises(ConfigError, match=expected):
        open_or_create(address, config, overwrite=True)
    assert open_or_create(address, before, overwrite=False).config == before


def test_the_document_says_it_in_ten_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tests/documents` runs all blocks of the page; here is what the first of them makes."""
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```", DOCUMENT.read_text())
    (module,) = [text for text in blocks if "register_task(" in text]
    assert len([line for line in module.splitlines() if line and not line.startswith("#")]) <= 10
    (tmp_path / "my_tasks.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    specialty = {"name": "doubles", "options": {"largest": 20}}
    config = TasksConfig.model_validate({"modules": ["my_tasks"], "specialties": [specialty]})
    question = TaskSet(config).question("doubles", 1, 0)
    with Scorer(config) as scorer:
        given = [question.reference, "0", "no"]
        scores = scorer.score([ScoreItem(question.ref, text, external=True) for text in given])
    assert [score.reward for score in scores] == [1.0, 0.1, 0.0]
