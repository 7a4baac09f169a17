import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from swarm_ray.config.schema import TasksConfig
from swarm_ray.config.specialties import SETS
from swarm_ray.errors import ScoringError
from swarm_ray.records.rollouts import QuestionRef
from swarm_ray.tasks import scoring, scoring_client
from swarm_ray.tasks.questions import TaskSet
from swarm_ray.tasks.scoring import Scorer
from swarm_ray.tasks.scoring_client import FOLDER_PREFIX, Score, ScoreItem

EVAL = ("binary_matrix", "string_insertion", "spiral_matrix", "n_queens")
SYMPY = ("puzzle24", "countdown", "simple_integration", "intermediate_integration")
OWN = {"specialties": ["obedient", "twice", "unstable"], "modules": ["own_tasks_for_tests"]}


def unnamed(specialty, seed, index, text, external=False):
    """An item whose question's text is not checked."""
    return ScoreItem(QuestionRef(specialty, seed, index, ""), text, external)


@pytest.fixture(scope="module")
def config():
    easy = [s | {"name": f"easy-{s['name']}", "task": s["name"]} for s in SETS["easy"]]
    others = (*EVAL, *SYMPY, "prime_factorization", "propositional_logic")
    return TasksConfig(specialties=[*easy, *others], score_timeout_s=10)


@pytest.fixture(scope="module")
def scorer(config):
    with Scorer(config) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def tasks(config):
    return TaskSet(config)


@pytest.fixture(scope="module")
def own():
    """Tasks that do what the answer says, with a time limit short enough to wait for."""
    with Scorer(TasksConfig(**OWN, score_timeout_s=0.3)) as made:
        yield made


def do(scorer, *doings):
    return scorer.score([unnamed("obedient", 1, 0, doing) for doing in doings])


def is_alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def folders():
    return set(Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"))


def test_scores_are_those_of_the_verifiers(scorer, tasks):
    items, expected = [], []
    for name in tasks.specialties:
        if name in SYMPY:
            continue
        for index in range(4):
            question = tasks.question(name, 1, index)
            for text in (question.reference, f" {question.reference}\n", "12", "1/2"):
                items.append(ScoreItem(question.ref, text, external=True))
                try:
                    expected.append(Score(tasks.tasks[name].score(text.strip(), question.entry), "ok"))
                except ValueError:
                    expected.append(Score(0.0, "error"))
    assert scorer.score(items) == expected
    assert len(set(expected)) > 4
    assert scorer.score(items) == expected


@pytest.mark.parametrize("name", EVAL)
def test_eval_attacks_leave_no_file(scorer, tmp_path, name):
    touched = tmp_path / "touched"
    command = f"__import__('os').system('touch {touched}')"
    opening = f"[open({str(touched)!r}, 'w')]"
    attacks = (command, f"[{command}]", f"[[{command}]]", opening, f"(lambda: {command})()")
    scores = scorer.score([unnamed(name, 1, 0, text, external=e) for text in attacks for e in (True, False)])
    assert set(scores) == {Score(0.0, "ok")}
    assert not touched.exists()


@pytest.mark.parametrize("name", SYMPY)
def test_verifiers_that_parse_expressions_refuse_external_text(scorer, tasks, tmp_path, name):
    question = tasks.question(name, 1, 0)
    touched = tmp_path / "touched"
    attack = f"__import__('os').system('touch {touched}')"
    own = ScoreItem(question.ref, question.reference, external=False)
    external = ScoreItem(question.ref, question.reference, external=True)
    assert scorer.score([ScoreItem(question.ref, attack, external=True)]) == [Score(0.0, "refused")]
    assert not touched.exists()
    refused = Score(0.0, "refused")
    assert scorer.score([external, own, external]) == [refused, Score(1.0, "ok"), refused]


def test_a_verifier_that_raises_and_an_unknown_specialty_are_errors_of_their_items_alone(scorer):
    items = [unnamed("prime_factorization", 1, 0, text) for text in ("two times three", "7")]
    scores = scorer.score([*items, unnamed("tarot", 1, 0, "1"), unnamed("easy-gcd", 1, 0, "no")])
    assert scores == [Score(0.0, "error"), Score(0.01, "ok"), Score(0.0, "error"), Score(0.0, "ok")]


def test_a_question_that_the_process_makes_otherwise_is_an_error(own):
    question = TaskSet(TasksConfig(**OWN)).question("unstable", 1, 0)
    items = [ScoreItem(question.ref, "1"), unnamed("unstable", 1, 0, "1")]
    assert own.score(items) == [Score(0.0, "error"), Score(1.0, "ok")]


def test_big_and_odd_texts(scorer, tasks):
    right = tasks.question("easy-gcd", 1, 0).reference
    odd = ("\x00", "\ud800", "\N{MATHEMATICAL DOUBLE-STRUCK DIGIT FOUR}")
    texts = ["9" * 90_000, "9" * 2_000_000, "[" * 90_000, *odd, "-" * 90_000 + "1", right]
    for name in ("easy-gcd", "binary_matrix", "propositional_logic"):
        scores = scorer.score([unnamed(name, 1, 0, text, external=True) for text in texts])
        assert scores[1] == Score(0.0, "error")
        assert all(s.reward < 1 and s.outcome in {"ok", "error"} for s in scores[:-1])
    assert scorer.score([unnamed("easy-gcd", 1, 0, right)]) == [Score(1.0, "ok")]


def test_equal_items_are_sent_once_and_known_ones_not_at_all(monkeypatch):
    sent = []
    real = scoring_client.ScoringClient.scores

    def counted(self, jobs, each_s):
        sent.extend(jobs)
        return real(self, jobs, each_s)

    monkeypatch.setattr(scoring_client.ScoringClient, "scores", counted)
    monkeypatch.setattr(scoring, "CACHED_SCORES", 3)
    with Scorer(TasksConfig(**OWN)) as scorer:
        item = unnamed("twice", 1, 0, "1")
        scorer.score([item, item, unnamed("twice", 1, 0, " 1 ", external=True)])
        assert len(sent) == 1
        scorer.score([item])
        assert len(sent) == 1
        scorer.score([unnamed("twice", 1, i, "1") for i in (1, 2, 3)])
        assert len(sent) == 4
        scorer.score([item])
        assert len(sent) == 5, "the oldest of more than three is forgotten"
        assert scorer.score([]) == []


def test_tagged_answers():
    with Scorer(TasksConfig(**OWN, answer="tagged")) as scorer:
        right = TaskSet(TasksConfig(**OWN)).question("twice", 1, 0).reference
        scores = scorer.score([unnamed("twice", 1, 0, text) for text in (f"<answer>{right}</answer>", right)])
        assert [s.reward for s in scores] == [1.0, 0.0]


def test_what_hangs_is_interrupted_and_the_others_are_scored(own):
    before = do(own, "pid")
    outcomes = [s.outcome for s in do(own, "half", "sleep", "half", "swallow", "half")]
    assert outcomes == ["ok", "timeout", "ok", "timeout", "ok"]
    remembered = {key[-1] for key in own._cache}
    assert "half" in remembered
    assert "sleep" not in remembered
    own._cache.clear()
    assert do(own, "pid") == before, "no new process was needed"


def test_values_that_are_no_rewards_and_noise(own):
    noise = do(own, "print", "read", "half")
    assert noise == [Score(0.5, "ok"), Score(0.0, "ok"), Score(0.5, "ok")]  # it does not reach the pipe
    names = ("raise", "sysexit", "nan", "two", "below", "text", "none", "memory", "no such doing")
    assert do(own, *names, "half") == [Score(0.0, "error")] * len(names) + [Score(0.5, "ok")]


def test_the_environment_and_the_folder_are_empty(monkeypatch):
    monkeypatch.setenv("SECRET", "token")
    with Scorer(TasksConfig(**OWN)) as scorer:
        assert do(scorer, "environ", "folder") == [Score(0.0, "ok"), Score(0.0, "ok")]
        assert "SECRET" not in Path(f"/proc/{scorer._child._process.pid}/environ").read_text()
        assert len(psutil.Process(scorer._child._process.pid).open_files()) == 0


@pytest.mark.parametrize("deed", ["exit", "beyond"])
def test_what_ends_or_blocks_the_process_is_found_and_the_others_are_scored(deed, monkeypatch):
    monkeypatch.setattr(scoring, "GRACE_S", 1.0)
    with Scorer(TasksConfig(**OWN, score_timeout_s=0.3)) as scorer:
        first = do(scorer, "half")
        pid = scorer._child._process.pid
        items = [unnamed("twice", 1, i, "2") for i in range(5)]
        items.insert(2, unnamed("obedient", 1, 0, deed, external=True))
        scores = scorer.score(items)
        assert first == [Score(0.5, "ok")]
        assert [s.outcome for s in scores] == ["ok", "ok", "killed", "ok", "ok", "ok"]
        assert scores[2].reward == 0.0
        assert not is_alive(pid)
        survivor = scorer._child._process.pid
        assert do(scorer, deed) == [Score(0.0, "killed")], "a killer is remembered"
        assert scorer._child._process.pid == survivor
    assert not psutil.pid_exists(survivor)


def test_a_process_that_died_by_itself_costs_no_reward(own):
    item = unnamed("twice", 1, 0, "killed while idle")
    own.score([item])
    os.kill(own._child._process.pid, signal.SIGKILL)
    other = unnamed("twice", 1, 0, "after that")
    assert [s.outcome for s in own.score([item, other])] == ["ok", "ok"]


def test_a_process_that_does_not_start(monkeypatch):
    stranger = Scorer(TasksConfig(**OWN), allowed_modules=())
    with stranger, pytest.raises(ScoringError, match=r"'own_tasks_for_tests'.*command line"):
        do(stranger, "half")
    monkeypatch.setattr(scoring_client, "_program", lambda: "raise SystemExit('broken installation')")
    broken = Scorer(TasksConfig(specialties=["gcd"]))
    with broken, pytest.raises(ScoringError, match=r"does not start.*broken installation"):
        broken.score([unnamed("gcd", 1, 0, "1")])


def test_close_leaves_nothing_and_scoring_again_starts_again(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # other tests score at the same time
    before = folders()
    scorer = Scorer(TasksConfig(**OWN))
    scorer.close()
    item = unnamed("twice", 1, 0, "1")
    for _ in range(2):
        scorer._cache.clear()
        assert scorer.score([item])[0].outcome == "ok"
        pid = scorer._child._process.pid
        assert len(folders() - before) == 1
        scorer.close()
        scorer.close()
        assert not psutil.pid_exists(pid)
        assert folders() == before


def test_the_process_ends_with_its_parent():
    program = (
        "import time\nfrom swarm_ray.config.schema import TasksConfig\n"
        "from swarm_ray.records.rollouts import QuestionRef\n"
        "from swarm_ray.tasks.scoring import Scorer\nfrom swarm_ray.tasks.scoring_client import ScoreItem\n"
        f"s = Scorer(TasksConfig(**{OWN})); s.score([ScoreItem(QuestionRef('twice', 1, 0, ''), '1')])\n"
        "print(s._child._process.pid, s._child._folder.name, flush=True); time.sleep(600)"
    )
    command, known = [sys.executable, "-c", program], {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=known) as parent:
        pid, folder = parent.stdout.readline().split()
        assert is_alive(int(pid))
        parent.kill()
    assert wait_until(lambda: not is_alive(int(pid)))
    assert not Path(folder).exists()
