"""Named sets of specialties: the paper's nine, and eight easy ones that a tiny model can learn.

Plain data, so that a configuration is checked without importing reasoning-gym. The options of the easy set
keep every prompt under 16 tokens of the embedded tokenizer and every answer under 5.
"""

from __future__ import annotations

from typing import Any

SETS: dict[str, tuple[dict[str, Any], ...]] = {
    "paper": tuple(
        {"name": name}
        for name in (
            "base_conversion",
            "basic_arithmetic",
            "arc_1d",
            "bf",
            "propositional_logic",
            "fraction_simplification",
            "decimal_arithmetic",
            "calendar_arithmetic",
            "binary_matrix",
        )
    ),
    "easy": (
        {
            "name": "basic_arithmetic",
            "options": {
                "min_terms": 2,
                "max_terms": 2,
                "min_digits": 1,
                "max_digits": 1,
                "allow_parentheses": False,
                "operators": ["+", "-"],
            },
        },
        {
            "name": "base_conversion",
            "options": {"min_base": 2, "max_base": 4, "min_value": 1, "max_value": 15},
        },
        {
            "name": "fraction_simplification",
            "options": {
                "min_value": 1,
                "max_value": 9,
                "min_factor": 2,
                "max_factor": 5,
                "styles": ["plain"],
            },
        },
        {"name": "chain_sum", "options": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}},
        {"name": "products", "options": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}},
        {"name": "lcm", "options": {"min_numbers": 2, "max_numbers": 2, "min_value": 1, "max_value": 9}},
        {"name": "gcd", "options": {"min_numbers": 2, "max_numbers": 2, "min_value": 1, "max_value": 20}},
        {"name": "count_bits", "options": {"min_n": 1, "max_n": 31}},
    ),
}
