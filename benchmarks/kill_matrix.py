"""The whole kill matrix, and four machines over one folder: `make kill-matrix` (about half an hour on two cores)."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path += [str(ROOT), str(ROOT / "tests" / "support")]
os.environ.setdefault("SWARM_RAY_CACHE", str(ROOT / ".cache" / "swarm-ray"))

from cells_for_tests import PHASES, VICTIMS, Outcome, Undisturbed, run_cells, run_undisturbed  # noqa: E402
from losses_for_tests import Part, Play, Played, play  # noqa: E402

FOUR = Play(
    (
        Part("worker-1"),
        Part("worker-2", killed=True),
        Part("worker-3", slow=True),
        Part("worker-4", joins_at=10),
    ),
    30,
    18,
)


def main() -> int:
    """Run the cells that were asked for; the exit status says whether all of them held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS)
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--cells-only", action="store_true", help="leave the four machines out")
    asked = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # so that what was started is ended, in the background too
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="kill-matrix-"))
    held = _run_cells(folder, asked.victims, asked.phases)
    if not asked.cells_only:
        held = _run_machines(folder / "machines") and held
    if held:
        shutil.rmtree(folder)
    else:
        print(f"what failed lies in {folder}")
    return 0 if held else 1


def _run_cells(folder: Path, victims: Sequence[str], phases: Sequence[str]) -> bool:
    undisturbed = run_undisturbed(folder / "undisturbed")
    print(f"{'':12}" + "".join(f"{phase:>17}" for phase in phases))
    failed: list[Outcome] = []
    for victim in victims:
        print(f"{victim:12}", end="", flush=True)
        for phase in phases:
            outcome = _run_one(folder / f"{victim}-{phase}", victim, phase, undisturbed)
            seconds = "".join(f"{s:.1f} s" for s in outcome.next_round_s) or "-"
            print(f"{('ok ' if not outcome.problems else 'FAILED ') + seconds:>17}", end="", flush=True)
            failed += [outcome] if outcome.problems else []
        print()
    print("seconds: from the kill until the next round had closed")
    for outcome in failed:
        print(f"\n{' x '.join(outcome.cells[0])}:")
        for line in [*outcome.problems, *outcome.said]:
            print(f"  {line}")
    return not failed


def _run_one(folder: Path, victim: str, phase: str, undisturbed: Undisturbed) -> Outcome:
    outcome = run_cells(folder, [(victim, phase)], undisturbed)
    if not outcome.problems:
        shutil.rmtree(folder)
    return outcome


def _run_machines(folder: Path) -> bool:
    print("\nfour machines over one folder:")
    played = play(folder, FOUR)
    for line in _report_lines(played):
        print(line)
    return not played.problems


def _report_lines(played: Played) -> list[str]:
    """A line for each worker, and what did not hold."""
    lines = []
    for part in played.play.parts:
        rows = played.rows[part.name]
        offered, used = sum(r.counters.offered for r in rows), sum(r.counters.used for r in rows)
        peers = sorted({peer for row in rows for peer in row.counters.used_from})
        what = ", ".join(
            word
            for word, holds in (
                ("killed and restarted", part.killed),
                ("twice as slow", part.slow),
                (f"joined late, in round {played.joined.get(part.name)}", part.joins_at > 0),
            )
            if holds
        )
        lines.append(
            f"  {part.name}: {len(rows)} rounds, external rollouts used {used} of {offered} offered "
            f"({used / max(1, offered):.0%}) from {', '.join(peers)}, reward {sum(r.reward for r in rows):.2f}"
            + (f" ({what})" if what else "")
        )
    lines += [f"  resumed: {text}" for text in played.resumed]
    return lines + [f"  FAILED: {problem}" for problem in played.problems]


if __name__ == "__main__":
    sys.exit(main())
