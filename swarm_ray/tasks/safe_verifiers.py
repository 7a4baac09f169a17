"""No verifier evaluates text: which of reasoning-gym's would, and what is done about each.

An answer may come from a stranger. A data set's module is searched for names that evaluate text:

- none, or only uses that were read and never see an answer (`REVIEWED`): the verifier is used as it is;
- `eval` inside `score_answer` alone: a copy of the verifier is used whose `eval` reads literals only;
- anything else (sympy's `parse_expr` evaluates): the verifier scores own completions, never a peer's.

The search decides, not a list of names: a data set that is new to us is refused until somebody has read it.
"""

from __future__ import annotations

import ast
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from enum import Enum
from functools import cache
from typing import Any

from swarm_ray.tasks.task import gym_datasets, registered

EVALUATING = frozenset({"eval", "exec", "parse_expr", "sympify", "lambdify", "parse_latex", "__import__"})

REVIEWED: dict[str, frozenset[str]] = {
    # These calls see generated text only (read in reasoning-gym 0.1.25).
    "basic_arithmetic": frozenset({"eval(exp.replace('/', '//'))"}),
    "bitwise_arithmetic": frozenset({"eval(problem_str)", "eval(problem)"}),
    "codeio": frozenset({"exec(full_code, local_vars, local_vars)"}),
    # Its own parse_expr, a parser of its five operators that evaluates nothing.
    "propositional_logic": frozenset(
        {
            "parse_expr(expr)",
            "parse_expr(expr[1:-1])",
            "parse_expr(left_expr)",
            "parse_expr(right_expr)",
            "parse_expr(sub_expr)",
        }
    ),
}

MAX_LITERAL_CHARS = 100_000
MAX_LITERAL_DEPTH = 50


class Verdict(Enum):
    """How a data set's verifier may be used."""

    PLAIN = "plain"
    LITERAL = "literal"
    """With `literal` in place of `eval`."""
    OWN_ONLY = "own only"
    """It evaluates text: refused for external completions."""


def is_safe_for_external(dataset_name: str) -> bool:
    """Whether a stranger's text may be given to the verifier of a data set or registered task.

    A task that a user registered is the user's own code and counts as safe; an unknown name does not.
    """
    if registered(dataset_name) is not None:
        return True
    cls, _ = gym_datasets().get(dataset_name, (None, None))
    return cls is not None and verdict(dataset_name, cls) is not Verdict.OWN_ONLY


@cache
def verdict(dataset_name: str, cls: type) -> Verdict:
    """Judge a data set by the source of its module and of its base classes' modules."""
    found: list[tuple[str, bool]] = []
    for module in _modules(cls):
        try:
            tree = ast.parse(inspect.getsource(module))
        except (OSError, TypeError):
            return Verdict.OWN_ONLY  # no source to read: nothing is known of it
        if _scores_with_sympy(tree):
            return Verdict.OWN_ONLY
        found += [use for use in _uses(tree) if use[0] not in REVIEWED.get(dataset_name, ())]
    if not all(text.startswith("eval(") and in_score for text, in_score in found):
        return Verdict.OWN_ONLY
    return Verdict.LITERAL if found else Verdict.PLAIN


def safe_score(dataset_name: str, cls: type) -> Callable[[Any, str, Any], Any]:
    """The function `score_answer(dataset, answer, entry)` to use for a data set.

    The literal version is a copy of the library's function with globals of its own in which `eval` is
    `literal`; the library itself stays as it is.
    """
    original: Callable[[Any, str, Any], Any] = cls.score_answer  # type: ignore[attr-defined]
    if verdict(dataset_name, cls) is not Verdict.LITERAL:
        return original
    assert isinstance(original, types.FunctionType)
    scope = {**original.__globals__, "eval": literal}
    return types.FunctionType(
        original.__code__, scope, original.__name__, original.__defaults__, original.__closure__
    )


def literal(text: str) -> object:
    """Read a Python literal, as `eval` would, and nothing else.

    Raises:
        ValueError: Not a literal, or is longer or nested deeper than an honest answer.
    """
    if len(text) > MAX_LITERAL_CHARS or _depth(text) > MAX_LITERAL_DEPTH:
        raise ValueError("the text is too long or nested too deep for a literal")
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError("not a literal") from error


def _depth(text: str) -> int:
    """The deepest nesting of brackets and longest run of signs; those within quotes count too, to be safe."""
    depth = deepest = signs = 0
    for char in text:
        signs = signs + 1 if char in "+-~" else 0
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        deepest = max(deepest, depth, signs)
    return deepest


def _modules(cls: type) -> Iterator[types.ModuleType]:
    """The modules whose source decides: of the class and its bases, less the library's abstract base."""
    names = {base.__module__ for base in cls.__mro__}
    for name in sorted(names - {"builtins", "abc", "typing", "collections.abc", "reasoning_gym.dataset"}):
        yield sys.modules[name]


def _uses(tree: ast.AST, in_score: bool = False) -> Iterator[tuple[str, bool]]:
    """Every call or mention of an evaluating name: its source, and whether it stands in a `score_answer`."""
    for node in ast.iter_child_nodes(tree):
        inside = in_score or (isinstance(node, ast.FunctionDef) and node.name == "score_answer")
        if isinstance(node, ast.Call) and _named(node.func):
            yield ast.unparse(node), inside
            for argument in [*node.args, *node.keywords]:
                yield from _uses(
                    ast.Expression(argument) if isinstance(argument, ast.expr) else argument, inside
                )
            continue
        if _named(node):
            yield ast.unparse(node), inside
        yield from _uses(node, inside)


def _named(node: ast.AST) -> bool:
    """Whether a node is an evaluating name: `eval`, `sympy.parse_expr`, `from sympy import sympify`."""
    if isinstance(node, ast.Name):
        return node.id in EVALUATING
    if isinstance(node, ast.Attribute):
        return node.attr in EVALUATING
    return isinstance(node, ast.alias) and node.name.split(".")[-1] in EVALUATING


def _scores_with_sympy(tree: ast.Module) -> bool:
    """Whether a `score_answer` mentions anything from sympy, whose functions evaluate the text they get."""
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
        if (alias.name if isinstance(node, ast.Import) else node.module or "").split(".")[0] == "sympy"
    }
    return any(
        isinstance(name, ast.Name) and name.id in imported
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "score_answer"
        for name in ast.walk(node)
    )
