"""The documentation builds without a warning, and its generated pages and quoted messages are those of the code."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "api.html").read_text()
    assert [name for name in ("simulate", "list_experiments", "StoreTests") if f">{name}<" not in page] == []
    asked = re.findall(r'(?:src|href)="(https?:[^"]+)"', (tmp_path / "index.html").read_text())
    assert [url for url in asked if re.search(r"\.(js|css|woff2?)\b|fonts", url)] == []


def test_the_reference_says_what_the_code_says(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DOCS / "write_reference.py", tmp_path], cwd=ROOT, check=True)
    for page in ("configuration.md", "commands.md"):
        assert (DOCS / page).read_text() == (tmp_path / page).read_text(), "run: make docs"


def test_the_messages_that_are_explained_exist() -> None:
    rows = re.findall(r"(?m)^\| `([^`]+)` \|", (DOCS / "troubleshooting.md").read_text())
    texts = list(literals())
    assert len(rows) > 15
    assert [row for row in rows if not any(row in text for text in texts)] == []


def literals() -> list[str]:
    """Every text in the code; of an f-string the constant parts, with `{}` between them."""
    found: list[str] = []
    for package in ("swarm_ray", "actors", "drive_store"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found
