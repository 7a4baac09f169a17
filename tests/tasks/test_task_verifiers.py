import importlib
import sys
from itertools import product

import pytest
from reasoning_gym.factory import DATASETS
from reasoning_gym.utils import extract_answer

from swarm_ray.tasks.safe_verifiers import Verdict, is_safe_for_external, literal, safe_score, verdict
from swarm_ray.tasks.scoring import extract
from swarm_ray.tasks.task import gym_datasets

LITERAL = ("binary_matrix", "n_queens", "number_sorting", "spiral_matrix", "string_insertion")
OWN_ONLY = ("countdown", "intermediate_integration", "polynomial_multiplication", "puzzle24")
OWN_ONLY += ("simple_integration",)
MALFORMED = (
    "", "?", "[", "[[1,", "1 2 3", "A, B", "[1 2]", "{}", "None", "[[]]", "'", "12", "[1, 'a']", "[[1], 2]",
)  # fmt: skip


def make(name):
    cls, config = DATASETS[name]
    return cls(config(seed=3, size=50))


def listed(name, entry):
    """The right answer in the form of a Python list, for which these verifiers call `eval`."""
    if name == "binary_matrix":
        return str(entry["metadata"]["solution"])
    if name == "n_queens":
        return str([row.split(" ") for row in entry["metadata"]["valid_answers"][0].split("\n")])
    if name == "spiral_matrix":
        return str([int(x) for x in entry["answer"].split()])
    if name == "string_insertion":
        return str(list(entry["answer"]))
    return entry["answer"]


def test_which_verifiers_are_replaced_and_which_refused():
    found = {name: verdict(name, cls) for name, (cls, _) in gym_datasets().items()}
    assert tuple(n for n in found if found[n] is Verdict.LITERAL) == LITERAL
    assert tuple(n for n in found if found[n] is Verdict.OWN_ONLY) == OWN_ONLY
    safe = [is_safe_for_external(n) for n in ("gcd", "binary_matrix", "puzzle24", "tarot")]
    assert safe == [True, True, False, False]


@pytest.mark.parametrize("name", LITERAL)
def test_the_literal_verifier_scores_honest_answers_as_the_library_does(name):
    dataset = make(name)
    score = safe_score(name, type(dataset))
    assert score is not type(dataset).score_answer
    seen = set()
    for index in range(6):
        entry, other = dataset[index], dataset[index + 6]
        right = entry["answer"] if isinstance(entry["answer"], str) else entry["metadata"]["valid_answers"][0]
        for answer in (right, listed(name, entry), listed(name, other), right + " ", " " + right, *MALFORMED):
            expected = dataset.score_answer(answer, entry)
            assert score(dataset, answer, entry) == expected, answer
            seen.add(expected)
    # number_sorting reads the answer as JSON, so a list is its only form.
    assert seen > {0.0, 1.0} or name == "number_sorting"
    assert {0.0, 1.0} <= seen


@pytest.mark.parametrize("name", LITERAL)
def test_the_literal_verifier_runs_nothing(name, tmp_path):
    dataset = make(name)
    touched = tmp_path / "touched"
    attack = f"[__import__('os').system('touch {touched}')]"
    if name != "number_sorting":
        dataset.score_answer(attack, dataset[0])
        assert touched.exists(), "the library no longer evaluates answers: the replacement can go"
        touched.unlink()
    safe_score(name, type(dataset))(dataset, attack, dataset[0])
    assert not touched.exists()


def test_literal():
    assert literal("[[1, -2], ['a', 3.5]]") == [[1, -2], ["a", 3.5]]
    deep = ("[" * 60 + "]" * 60, "[" * 50_000, "-" * 90_000 + "1", "0," * 60_000, "(" * 40 + "\x00")
    for text in ("1+1", "a", "[1", *deep):
        with pytest.raises(ValueError, match="literal"):
            literal(text)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def score_answer(self, answer, entry): return 1.0", Verdict.PLAIN),
        ("def score_answer(self, answer, entry): return eval(answer)", Verdict.LITERAL),
        ("def score_answer(self, answer, entry): return eval(exec(answer))", Verdict.OWN_ONLY),
        ("def score_answer(self, answer, entry): return exec(answer)", Verdict.OWN_ONLY),
        ("def score_answer(self, answer, entry): return (lambda f: f(answer))(eval)", Verdict.OWN_ONLY),
        ("def helper(self, answer): return eval(answer)", Verdict.OWN_ONLY),
        ("import builtins\n    def score_answer(self, a, e): return builtins.eval(a)", Verdict.OWN_ONLY),
        (
            "from sympy import parse_expr as p\n    def score_answer(self, a, e): return p(a)",
            Verdict.OWN_ONLY,
        ),
        ("import sympy as s\n    def score_answer(self, a, e): return s.simplify(a)", Verdict.OWN_ONLY),
        ("import sympy as s\n    def make(self): return s.Symbol('x')", Verdict.PLAIN),
    ],
)
def test_a_data_set_unknown_to_us_is_judged_by_its_source(source, expected, tmp_path, monkeypatch, request):
    name = f"unknown_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(f"class Unknown:\n    {source}\n")
    monkeypatch.syspath_prepend(tmp_path)
    cls = importlib.import_module(name).Unknown
    assert verdict(name, cls) is expected
    sys.modules.pop(name)


def test_a_data_set_without_source_is_refused():
    cls = type("Unseen", (), {"__module__": "math"})
    assert verdict("unseen", cls) is Verdict.OWN_ONLY


def test_a_reviewed_data_set_with_a_new_call_is_refused(tmp_path, monkeypatch):
    (tmp_path / "changed_arithmetic.py").write_text(
        "def evaluate(exp):\n    return eval(exp.replace('/', '//'))\n\n"
        "class Changed:\n    def score_it(self, answer):\n        return eval(answer)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cls = importlib.import_module("changed_arithmetic").Changed
    assert verdict("basic_arithmetic", cls) is Verdict.OWN_ONLY


def test_tagged_answers_are_those_of_the_library():
    opening, closing = "<answer>", "</answer>"
    texts = {
        "so <answer> 7 </answer> and <answer>8\n</answer> end",
        "<ANSWER>7</ANSWER>",
        "<answer>\n\n7 \t</answer>",
    }
    texts |= {"".join(parts) for n in range(6) for parts in product((opening, closing, "7"), repeat=n)}
    assert [t for t in texts if extract(t, "tagged") != (extract_answer(t) or "")] == []


def test_whole_answers():
    assert extract("  <answer>7</answer>\n", "whole") == "<answer>7</answer>"
    assert extract("π\ud800", "whole") == "π?"


def test_a_hostile_text_is_read_in_one_pass():
    """The library's expression would take minutes; the suite's time limit would end this test."""
    assert extract("<answer>" * 300_000, "tagged") == ""
