"""Without GenRL, or with one of another series, a user reads one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from swarm_ray.errors import UserError
from swarm_ray.genrl import require_genrl

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("version", ["0.4.0", "1.0", "0.1.11", "0", "junk"])
def test_another_series_is_refused(tmp_path, monkeypatch, version):
    folder = tmp_path / "gensyn_genrl-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: gensyn-genrl\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError) as refused:
        require_genrl()
    assert f"work with gensyn-genrl 0.3, and {version} is installed" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_where_it_is_not_installed_one_line_says_what_to_do():
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from swarm_ray.genrl import require_genrl\n"
        "try:\n    require_genrl()\nexcept Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.startswith("UserError GenRL's games need the package gensyn-genrl, which is not")
    assert "pip install 'swarm-ray[genrl]'" in done.stdout
