import json
import random
import subprocess
import sys
from collections import Counter

import msgspec
import pytest
import reasoning_gym
from own_tasks_for_tests import Doubles, make_obedient
from reasoning_gym.factory import DATASETS

from swarm_ray.config.schema import TasksConfig
from swarm_ray.config.specialties import SETS
from swarm_ray.errors import ConfigError, UnknownQuestionError, UserError
from swarm_ray.tasks.gym import UNSTABLE
from swarm_ray.tasks.questions import TaskSet, require_modules
from swarm_ray.tasks.task import register

BOTH = tuple(
    {"name": f"{which}-{s['name']}", "task": s["name"], "options": s.get("options", {})}
    for which in ("paper", "easy")
    for s in SETS[which]
)
KEY = r"tasks\.specialties\[1\]"
ODD_OPTION = {"name": "g", "task": "base_conversion", "options": {"min_bas": 3}}


@pytest.fixture(scope="module")
def easy():
    return TaskSet(TasksConfig())


@pytest.fixture(scope="module")
def both():
    return TaskSet(TasksConfig(specialties=BOTH))


def training_question(tasks, specialty="gcd"):
    made = (tasks.question(specialty, 1, i) for i in range(100))
    return next(question for question in made if not tasks.is_held_out(question.text))


@pytest.fixture(scope="module")
def elsewhere(both):
    """What a process with another seed of hashes makes: our questions, and those of the data sets called unstable."""
    program = (
        "import json, sys, reasoning_gym as rg\nfrom swarm_ray.config.schema import TasksConfig\n"
        "from swarm_ray.tasks.questions import TaskSet\n"
        "tasks = TaskSet(TasksConfig.model_validate_json(sys.argv[1]))\n"
        # In another order, so that nothing may depend on what was drawn before.
        "made = {n: [tasks.question(n, 1, i) for i in (41, 7, 0)] for n in reversed(tasks.specialties)}\n"
        "sets = {n: rg.create_dataset(n, seed=1, size=20) for n in sys.argv[2:]}\n"
        "print(json.dumps([{n: [[q.text, q.reference] for q in made[n][::-1]] for n in made},"
        " {n: [sets[n][i]['question'] for i in range(20)] for n in sets}]))"
    )
    command = [sys.executable, "-c", program, both.config.model_dump_json(), *UNSTABLE]
    environment = {"PYTHONHASHSEED": "12345", "PYTHONPATH": ":".join(sys.path)}
    return json.loads(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)


def test_a_second_process_makes_the_same_questions(both, elsewhere):
    here = {name: [both.question(name, 1, i) for i in (0, 7, 41)] for name in both.specialties}
    assert {name: [[q.text, q.reference] for q in made] for name, made in here.items()} == elsewhere[0]


def test_the_data_sets_called_unstable_are(elsewhere):
    sets = {name: reasoning_gym.create_dataset(name, seed=1, size=20) for name in UNSTABLE}
    here = {name: [sets[name][i]["question"] for i in range(20)] for name in UNSTABLE}
    # One that makes the same questions in both can be allowed.
    assert {name for name in UNSTABLE if here[name] != elsewhere[1][name]} == UNSTABLE


def test_other_seed_or_index_gives_other_questions(both):
    for name in both.specialties:
        one, other = ([both.question(name, seed, i).text for i in range(30)] for seed in (1, 5000))
        assert len(set(one)) > 5
        assert one != other


@pytest.mark.parametrize("specialty", [s["name"] for s in BOTH])
def test_the_reference_of_50_questions_is_right(both, specialty):
    task = both.tasks[specialty]
    questions = [both.question(specialty, 1, i) for i in range(50)]
    assert [task.score(q.reference, q.entry) for q in questions] == [1.0] * 50
    assert task.score("no such answer", questions[3].entry) < 0.5


def test_drawing_prints_nothing(both, capsys):
    TaskSet(both.config).question("paper-bf", 1, 0)
    assert capsys.readouterr().out == ""
    cls, config = DATASETS["bf"]
    assert cls(config(seed=1))[0]["question"] == both.question("paper-bf", 1, 0).text
    assert capsys.readouterr().out != "", "the library no longer prints: the redirection can go"


def test_held_out_texts_are_never_drawn_and_the_others_are(easy):
    drawn = {q.text for q in easy.draw(random.Random(0), 20_000)}
    assert not any(easy.is_held_out(text) for text in drawn)
    held = {q.text for qs in easy.held_out(24).values() for q in qs}
    assert held
    assert not held & drawn
    for name in easy.specialties:
        pool = pool_texts(easy, name)
        assert len(pool & drawn) > 0.9 * len(pool)


def pool_texts(tasks, name):
    return {t for t in (tasks.question(name, 1, i).text for i in range(3000)) if not tasks.is_held_out(t)}


def test_held_out_questions_are_the_first_distinct_ones_of_the_pool(easy):
    found = easy.held_out(6)
    assert set(found) == set(easy.specialties)
    for name, questions in found.items():
        texts = [q.text for q in questions]
        assert len(set(texts)) == len(texts)
        indices = [q.index for q in questions]
        assert indices == sorted(indices)
        expected = dict.fromkeys(
            t for t in (easy.question(name, 1, i).text for i in range(indices[-1] + 1)) if easy.is_held_out(t)
        )
        assert texts == list(expected)
    assert len(found["gcd"]) == 6
    assert len(pool_texts(easy, "count_bits")) + len(easy.held_out(1000)["count_bits"]) == 31


def test_the_share_held_out_is_the_one_asked_for():
    texts = [f"question {i}" for i in range(20_000)]
    for share in (0.0, 0.1, 0.5):
        tasks = TaskSet(TasksConfig(specialties=["lcm"], held_out=share))
        assert sum(map(tasks.is_held_out, texts)) / len(texts) == pytest.approx(share, abs=0.015)


def test_draws_follow_weights_and_the_generator():
    specialties = [{"name": "lcm", "weight": 3.0}, {"name": "gcd", "weight": 1.0}]
    tasks = TaskSet(TasksConfig(specialties=specialties))
    counts = Counter(q.specialty for q in tasks.draw(random.Random(5), 2000))
    assert counts["lcm"] / 2000 == pytest.approx(0.75, abs=0.04)
    assert tasks.draw(random.Random(9), 40) == tasks.draw(random.Random(9), 40)
    assert tasks.draw(random.Random(9), 40) != tasks.draw(random.Random(10), 40)


def test_a_specialty_that_is_wholly_held_out_is_a_configuration_error():
    base = TaskSet(TasksConfig(specialties=["lcm"], held_out=0.5, pool=1))
    seed = next(s for s in range(100) if base.is_held_out(base.question("lcm", s, 0).text))
    tasks = TaskSet(TasksConfig(specialties=["lcm"], held_out=0.5, pool=1, seed=seed))
    with pytest.raises(ConfigError, match="lcm has no question to train on"):
        tasks.draw(random.Random(0), 1)


def test_verify_accepts_what_was_drawn_and_nothing_held_out(easy):
    for question in easy.draw(random.Random(2), 50):
        assert easy.verify(question.ref) == question
    with pytest.raises(UnknownQuestionError, match="held out"):
        easy.verify(easy.held_out(1)["gcd"][0].ref)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"specialty": "tarot"}, "unknown specialty"),
        ({"specialty": "lcm"}, "other text"),
        ({"seed": 2}, "other seed"),
        *(({"index": index}, "index outside the pool") for index in (3000, -1, 10**30)),
        ({"text_hash": "0" * 16}, "other text"),
        ({"text_hash": ""}, "other text"),
    ],
)
def test_verify_refuses(easy, changes, reason):
    ref = training_question(easy).ref
    easy.verify(ref)
    with pytest.raises(UnknownQuestionError) as raised:
        easy.verify(msgspec.structs.replace(ref, **changes))
    assert str(raised.value) == reason


@pytest.mark.parametrize(
    ("specialty", "message"),
    [
        ({"name": "gcdd"}, rf"{KEY}\.task: .*'gcdd'.*did you mean gcd"),
        (
            {"name": "gcd", "options": {"max_value": "many"}},
            rf"{KEY}\.options\.max_value: 'many' .*a whole number",
        ),
        ({"name": "gcd", "options": {"max_value": True}}, "it must be a whole number"),
        ({"name": "gcd", "options": {"max_value": 2.5}}, "it must be a whole number"),
        ({"name": "basic_arithmetic", "options": {"allow_negation": 1}}, "it must be true or false"),
        (ODD_OPTION, rf"{KEY}\.options\.min_bas: .*did you mean min_base.*it has min_base, max_base"),
        ({"name": "gcd", "options": {"size": 3}}, r"\.options\.size: set tasks\.pool"),
        ({"name": "gcd", "options": {"seed": 3}}, r"\.options\.seed: set tasks\.seed"),
        ({"name": "arc_1d", "options": {"min_size": 3}}, rf"{KEY}\.options: arc_1d refuses them: min_size"),
        ({"name": "ransom_note"}, r"\.task: ransom_note makes other questions in every process"),
        ({"name": "composite"}, r"\.task: .*registered task is 'composite'"),
    ],
)
def test_wrong_configuration_is_one_line_that_names_the_key(specialty, message):
    with pytest.raises(ConfigError, match=message) as raised:
        TaskSet(TasksConfig(specialties=["lcm", specialty]))
    assert "\n" not in str(raised.value)


def test_propositional_logic_without_a_conclusion_gets_the_best_answer_there_is(both):
    """Item 158: both premises are tautologies; the library's example scores 0.05, the best answer 0.25."""
    question = both.question("paper-propositional_logic", 1, 158)
    score = both.tasks["paper-propositional_logic"].score
    assert question.entry["answer"] is None
    assert score(question.entry["metadata"]["example_answer"], question.entry) == 0.05
    assert score(question.reference, question.entry) == 0.25


def test_base_conversion_of_zero_is_learnable(both):
    name = "paper-base_conversion"
    library = DATASETS["base_conversion"]
    original = library[0](library[1](seed=1, size=3000))
    assert original[1513]["answer"] == ""
    assert original.score_answer("0", original[1513]) == 0.0
    question = both.question(name, 1, 1513)
    assert question.reference == "0"
    assert question.text == original[1513]["question"]
    assert both.tasks[name].score("0", question.entry) == 1.0
    for other in ("", "1", "00", "10", "zero"):
        assert both.tasks[name].score(other, question.entry) < 1.0


def test_a_reward_does_not_depend_on_what_was_drawn_before(both):
    import decimal

    before = decimal.getcontext().prec
    both.question("paper-decimal_arithmetic", 77, 0)
    assert decimal.getcontext().prec == before


def test_a_module_that_was_not_named_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    config = TasksConfig(specialties=["lcm"], modules=["own_tasks_for_tests", "stranger"])
    with pytest.raises(UserError, match=r"'stranger'.*your own command line"):
        TaskSet(config, allowed_modules=("own_tasks_for_tests",))
    assert not (tmp_path / "imported").exists()
    TaskSet(config, allowed_modules=("own_tasks_for_tests", "stranger"))
    assert (tmp_path / "imported").exists()


def test_a_module_that_is_not_there():
    with pytest.raises(ConfigError, match=r"tasks\.modules: cannot import 'no_such_module'"):
        TaskSet(TasksConfig(specialties=["lcm"], modules=["no_such_module"]))


def test_registering():
    register("obedient", make_obedient)  # again: its module may be imported again
    with pytest.raises(ConfigError, match="two tasks are registered as 'obedient'"):
        register("obedient", lambda options: Doubles())
    with pytest.raises(ConfigError, match="registered task is 'twicee'; did you mean twice"):
        TaskSet(TasksConfig(specialties=["twicee"]))


def test_no_module_is_imported_before_all_names_are_known(tmp_path, monkeypatch):
    (tmp_path / "known_tasks_for_tests.py").write_text("raise RuntimeError('it was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    config = TasksConfig(modules=["known_tasks_for_tests"])
    with pytest.raises(UserError, match="misspelt"):
        require_modules(config, ["known_tasks_for_tests", "misspelt"])
