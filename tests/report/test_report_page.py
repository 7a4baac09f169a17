"""The report as a file: what it says of whole, half, damaged and hostile experiments."""

import contextlib
import html
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from experiments_for_tests import FakeExperiment, incarnation_of, metrics_row
from reports_for_tests import HOSTILE, FullExperiment, config_of, evidence_of, full

from swarm_ray.cli import main
from swarm_ray.errors import ExperimentNotFoundError, UserError
from swarm_ray.observe.report import write_report
from swarm_ray.observe.report.page import Section, sections_of
from swarm_ray.records.metrics import Event
from swarm_ray.records.rollouts import StepCounters
from swarm_ray.records.state import Answers, FileRef, Refusal, StageClosed, StateRecord


def page_of(root: Path, *names: str) -> str:
    """The words of a page, without its markup."""
    return words(write_report(str(root), names, root / "page.html").read_text())


def sections(experiment: FakeExperiment) -> dict[str, Section]:
    """The parts of its report by their ids; their figures are not drawn yet."""
    return {section.id: section for section in sections_of([evidence_of(experiment)])}


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)).split())


def check_figures(figures: list[str]) -> None:
    """They share no id, link to nothing outside, hold text as text, and follow the theme of their page."""
    ids = [found for svg in figures for found in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(figures) == 8
    assert len(ids) == len(set(ids))
    for svg in figures:
        root = ET.fromstring(svg.replace("xlink:href", "href"))
        own = {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= own
        assert root.attrib["role"] == "img"
        assert "<style" not in svg
        assert not set(re.findall(r"#[0-9a-f]{6}\b", svg)) - {"#ffffff"}
        assert "var(--ink)" in svg
        assert any(element.tag.endswith("text") for element in root.iter())


def test_a_whole_report_has_every_section(tmp_path: Path) -> None:
    full(tmp_path, "shared", config_of())
    full(tmp_path, "alone", config_of("local=8", "external=0"), rising=0.01)
    path = write_report(str(tmp_path), ["shared", "alone"], tmp_path / "page.html")
    page = path.read_text()
    said = words(page)
    assert said.index("Did sharing pay?") < said.index("Did it learn?")
    for line in (
        "1093.31",
        "alone: every node learned from its own rollouts alone (J is 0).",
        "an actor was started again 3 3",
        "died: out of memory",
        "rejected in shared: other text (72)",
        "local 4 8 external 4 0",
        "Find the",
        "figures themselves, and the report checks no signatures",
        "The whole configuration of shared",
    ):
        assert line in said
    check_figures(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "http" not in re.sub(r'content="[^"]*"|xmlns[:a-z]*="[^"]*"|http-equiv', "", page)


def test_an_experiment_before_its_first_round(tmp_path: Path) -> None:
    FakeExperiment(tmp_path, "fresh", config_of())
    said = page_of(tmp_path, "fresh")
    assert "fresh: no round has closed yet." in said
    assert "fresh: no node has registered yet." in said
    assert "Too little has been run to say so." in said
    assert "Nothing out of the ordinary was logged." in said


def test_one_that_runs_and_has_one_node(tmp_path: Path) -> None:
    FullExperiment(tmp_path, "running", config_of("nodes=1", "local=8", "external=0")).run(5)
    said = page_of(tmp_path, "running")
    assert "running running 8/0 1 5 of 24" in said
    assert "running: not ended yet; held-out pass@1 is measured again" in said


def test_what_is_gone_is_named(tmp_path: Path) -> None:
    experiment = full(tmp_path, "torn", config_of("rounds=3"))
    for kind in ("metrics", "events"):
        path = tmp_path / experiment.paths.segment("node-0", incarnation_of("node-0"), kind, 0)
        path.write_bytes(path.read_bytes()[:-9])
    shutil.rmtree(tmp_path / experiment.paths.rollouts_folder("node-0", incarnation_of("node-0")))
    said = page_of(tmp_path, "torn")
    assert "Not all of torn could be read" in said
    assert said.count("is torn or damaged; its rows were left out") == 2
    assert "Rewards are those that the node itself published. torn, round 0" in said
    shutil.rmtree(tmp_path / experiment.paths.rollouts_parent)
    (said,) = sections(experiment)["samples"].said
    assert said.startswith("torn: none of the round files that were looked for could be read")


def test_a_torn_state_record_is_named(tmp_path: Path) -> None:
    experiment = FullExperiment(tmp_path, "torn", config_of())
    experiment.run(4, files=False)
    records = sorted((tmp_path / experiment.paths.state_bucket(0)).iterdir())
    records[3].write_bytes(b"")
    (problem,) = evidence_of(experiment).problems
    assert "the state log of torn can be read up to record 2 only, and its newest record is 4" in problem
    records[0].unlink()
    (problem,) = [one for one in evidence_of(experiment).problems if "row of metrics" not in one]
    assert "the state log of torn cannot be read, and its newest record is 4" in problem
    (said,) = sections(experiment)["rewards"].said
    assert said == "torn: the state log could not be read, so no round is known."


def test_round_files_that_were_removed_are_not_missed(tmp_path: Path) -> None:
    experiment = full(tmp_path, "kept", config_of("rounds=9", "retention.rounds=4"))
    for path in (tmp_path / experiment.paths.rollouts_parent).rglob("r00000[0-4]*"):
        path.unlink()
    ((name, samples),) = sections(experiment)["samples"].samples
    assert name == "kept"
    assert [sample.round for sample in samples] == [5, 5, 5, 6, 6, 6, 8, 8, 8]
    assert [sample.node for sample in samples[:3]] == experiment.nodes
    assert not any(isinstance(sample.question, str) for sample in samples)


def test_incidents_of_the_state_log(tmp_path: Path) -> None:
    experiment = FullExperiment(tmp_path, "rough", config_of())
    ref = FileRef("node-2", incarnation_of("node-2"), "x/r000001-s0.0.aa.rollouts", "ab" * 32, 9)
    refusal = Refusal("node-1", "key", "Corrupt: the trailer is damaged")
    closed = msgspec.structs.replace(
        StageClosed.empty(1, 0), missing=("node-0",), late=(ref,), rejected=(refusal,)
    )
    experiment.append("running", closed=closed)
    record = StateRecord("stopped", 24, None, None, experiment.tallies(), note="<b>enough</b>")
    record = msgspec.structs.replace(record, answers=Answers(expired={"node-2": (3, 4)}))
    experiment.log.append(msgspec.json.encode(record), round=1, stage=0)
    counts, incidents = sections(experiment)["incidents"].tables
    assert {row[1:4] for row in incidents.rows} == {
        ("node-1", "rejected", "Corrupt: the trailer is damaged"),
        ("node-2", "late", "r000001-s0.0.aa.rollouts"),
        ("node-0", "missing", "no file of this node counted"),
        ("node-2", "expired", "rounds 3, 4 never arrived"),
        ("\N{EN DASH}", "stopped", "<b>enough</b>"),
    }
    files = {"missing files": "1", "late files": "1", "rejected files": "1", "files that never arrived": "2"}
    assert dict(counts.rows) == files


def test_text_of_others_never_becomes_markup(tmp_path: Path) -> None:
    experiment = FullExperiment(tmp_path, "hostile", config_of("rounds=3"), text=HOSTILE)
    experiment.problems["node-0"] = HOSTILE
    experiment.run(3)
    told = [Event(HOSTILE[:40], HOSTILE, "node-0", 1), Event("evaluation", "{" * 9000, "node-0")]
    experiment.log_evaluations(0.1, 0.2, *told)
    liar = msgspec.structs.replace(
        metrics_row("node-1", 3),
        reward_by_specialty={HOSTILE: 1.0},
        seconds={HOSTILE: 1e300, "generate": 1e300},
        counters=StepCounters(used_from={HOSTILE: 5}, rejected={HOSTILE: 2}),
    )
    strange = msgspec.structs.replace(metrics_row("node-1", 4), node=HOSTILE[:30])
    fair = msgspec.structs.replace(liar, round=5, step=5, seconds={HOSTILE: 1.0})
    experiment.log_rows("node-1", [liar, strange, fair], start=1)
    experiment.finish(note=HOSTILE)
    page = write_report(str(tmp_path), ["hostile"], tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert page.count("</style>") == 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", page)
    said = words(page)
    assert "holds an impossible number; it was left out" in said
    assert "which took no part; it was left out" in said
    assert "\\x1b[31m\\u202eabc\\x00 {{ names }} $x^2$" in said


def test_the_command_writes_over_reports_and_over_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of("nodes=1", "rounds=2", "local=8", "external=0", "evaluation.questions=0")
    FullExperiment(tmp_path, "shared", config).run(2, files=False)
    here = tmp_path / "a folder"
    here.mkdir()
    monkeypatch.chdir(here)
    command = ["report", "shared", "--root", str(tmp_path), "--figures", "all figures"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(r"report: shared\.html \(\d+ kB\)\nfigures: all figures \(\d+ files\)\n", said)
    made = [Path("shared.html"), *sorted(Path("all figures").iterdir())]
    assert {path.suffix for path in made[1:]} == {".png", ".svg", ".csv"}
    for kind in (".html", ".csv", ".png", ".svg"):
        path = next(path for path in made if path.suffix == kind)
        before = {other: other.read_bytes() for other in made}
        path.write_bytes(b"my own work")
        assert main(command) == 2
        said = capsys.readouterr().err
        what = "report" if kind == ".html" else "figure"
        why = f"{path} exists, and it is not a {what} that this version of Swarm Ray wrote: take "
        assert said.startswith(f"swarm-ray: {why}")
        assert said.count("\n") == 1
        assert {o: o.read_bytes() for o in made} == before | {path: b"my own work"}, "nothing is half new"
        path.write_bytes(b"" if kind == ".csv" else before[path])  # nothing is lost of an empty file
    assert main(command) == 0
    made[0].write_bytes(b"my own work")
    assert main([*command[:-2], "--overwrite"]) == 0
    assert all(path.stat().st_size > 50 for path in made)


@pytest.mark.parametrize(
    ("words_given", "said"),
    [
        (["nobody"], "no experiment 'nobody'"),
        (["shared", "shared"], "'shared' is given twice"),
        (["shared", "-o", "."], "is a folder"),
        (["shared", "-o", "no/where.html"], "could not be written"),
        (["shared", "--figures", "page.html/x"], "a file stands where a folder is needed"),
        (["shared", "-o", "new.html", "--figures", "page.html"], "a file stands where a folder is needed"),
        (["shared", "-o", "/dev/null", "--overwrite"], "it is not an ordinary file"),
        (["../shared"], "cannot name an experiment"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words_given: list[str], said: str
) -> None:
    FakeExperiment(tmp_path, "shared", config_of())
    (tmp_path / "page.html").write_text("")
    there = sorted(path.name for path in tmp_path.iterdir())
    with contextlib.chdir(tmp_path):
        assert main(["report", "--root", str(tmp_path), *words_given]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert said in captured.err
    assert sorted(path.name for path in tmp_path.iterdir()) == there
    assert (tmp_path / "page.html").read_text() == "", "what is said to fail has written nothing"


def test_a_table_of_ones_own_is_told_from_that_of_a_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of("nodes=1", "rounds=2", "local=8", "external=0", "evaluation.questions=0")
    FullExperiment(tmp_path, "shared", config).run(2, files=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    page, folder = tmp_path / "page.html", tmp_path / "figs"
    command = ["report", "shared", "--root", str(tmp_path), "-o", "~/page.html", "--figures", "~/figs"]
    assert main(command) == 0
    assert capsys.readouterr().out.endswith(f"figures: {folder} ({len(list(folder.iterdir()))} files)\n")
    table = next(folder.glob("*.csv"))
    for other in folder.glob(f"{table.stem}.[ps]*"):
        other.unlink()
    before = page.read_bytes()
    assert main(command) == 2
    assert f"{table} exists, and it is not a figure that" in capsys.readouterr().err
    assert page.read_bytes() == before
    (tmp_path / "link.html").symlink_to(page)
    assert main([*command[:4], "-o", str(tmp_path / "link.html")]) == 0
    assert (tmp_path / "link.html").is_symlink(), "what it leads to is renewed"
    assert not [*tmp_path.rglob("*.part")]


def test_nothing_is_written_of_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs the name"):
        write_report(str(tmp_path), [], tmp_path / "page.html")
    with pytest.raises(ExperimentNotFoundError):
        write_report(str(tmp_path), ["nobody"], tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
