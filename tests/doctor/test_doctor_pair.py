"""What two machines find out together, on a made-up clock, and what one believes of the other's notes."""

import json
from functools import partial
from pathlib import Path

import msgspec
import pytest
from doctored_for_tests import Turns, View, left_in, means, together

from drive_store import Header, Store, seal_json
from drive_store.doctor import Findings, Means, examine
from drive_store.doctor.channel import KIND, NOTE_LIMIT, Channel, Met, Note
from drive_store.doctor.workspace import OwnFiles, SessionPaths
from swarm_ray.config.load import load_config

ALL = [
    "other machine", "visibility", "overwriting", "other's removal", "exclusive names", "whole files",
    "other's listing", "mount stays",
]  # fmt: skip
WELL = dict.fromkeys(ALL, "OK")


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
def views(tmp_path: Path, turns: Turns) -> tuple[View, View]:
    return View(str(tmp_path), turns), View(str(tmp_path), turns)


def levels(findings: Findings) -> dict[str, str]:
    """Of what two machines find out together."""
    return {f.check: f.level for f in findings.findings if f.check in ALL}


def setting(findings: Findings, key: str) -> float:
    (found,) = [line for line in findings.settings if line.startswith(f"pace.{key}=")]
    return float(found.partition("=")[2])


def test_a_good_folder_is_called_good(turns: Turns, views: tuple[View, View], tmp_path: Path) -> None:
    said: list[str] = []
    one, other = together(turns, *views, said=said)
    for findings in (one, other):
        assert levels(findings) == WELL
        assert [f.check for f in findings.findings if f.level != "OK"] == ["mount"]
        assert findings.of("visibility").figures["one_way_samples"] == 4
        assert findings.of("visibility").figures["one_way_max_s"] < 0.1
        assert findings.verdict.startswith("A swarm can run here; a file takes up to ")
        assert json.loads(Path(findings.report).read_text())["id"] == findings.id
    assert one.settings == other.settings
    assert one.preset == "tiny"
    assert left_in(tmp_path) == []
    assert sorted(p.name for p in (tmp_path / "check" / "pair").iterdir()) == sorted(
        f"report-{findings.id}.json" for findings in (one, other)
    )
    assert [line for line in said if line.startswith("waiting for the other machine in ")] != []


@pytest.mark.parametrize("delay_s", [20.0, 150.0])
def test_the_delay_of_files_is_measured_and_settings_follow(
    turns: Turns, views: tuple[View, View], delay_s: float
) -> None:
    for view in views:
        view.faults.delay_s = delay_s
    for findings in together(turns, *views, rounds=2):
        figures = findings.of("visibility").figures
        assert delay_s <= figures["one_way_p50_s"] <= figures["one_way_p99_s"] <= 1.3 * delay_s
        assert levels(findings)["visibility"] == ("WARN" if delay_s > 120 else "OK")
        assert findings.preset == "colab"
        assert setting(findings, "settle_s") >= figures["one_way_p99_s"]
        assert setting(findings, "dead_after_s") >= max(600, 3 * figures["one_way_p99_s"])
        assert setting(findings, "retry_s") >= max(600, 3 * figures["one_way_p99_s"])
        config = load_config("colab", overrides=list(findings.settings))
        assert config.pace.settle_s == setting(findings, "settle_s")


def test_both_directions_count(turns: Turns, views: tuple[View, View]) -> None:
    views[0].faults.delay_s = 60.0
    one, other = together(turns, *views, rounds=2)
    assert one.settings == other.settings
    assert 30 <= one.of("visibility").figures["one_way_p50_s"] <= 36


def test_files_that_grow_are_seen_to(turns: Turns, views: tuple[View, View]) -> None:
    for view in views:
        view.grows = True
    for findings in together(turns, *views):
        assert levels(findings)["whole files"] == "WARN"
        figures = findings.of("whole files").figures
        assert figures["empty_first"] >= 4
        assert figures["beginning_first"] >= 4
        assert levels(findings)["visibility"] == "OK"


@pytest.mark.parametrize(
    ("spoil", "says"), [("lose", "was not seen within"), ("tear", "a beginning of it was")]
)
def test_a_file_that_does_not_arrive_is_a_failure(
    turns: Turns, views: tuple[View, View], spoil: str, says: str
) -> None:
    alone = 25  # files that are written before the two register
    views[0].spoil_at = {alone + 4: spoil}
    views[1].spoil_at = {alone + 4: spoil}
    found = together(turns, *views)
    assert all(findings.level == "FAIL" and findings.settings == () for findings in found)
    assert all("visibility" in findings.verdict for findings in found)
    assert any(says in findings.of("visibility").found for findings in found)


@pytest.mark.parametrize("flips", ["ping", "pong", "copy-"])
def test_a_changed_byte_is_a_failure(turns: Turns, views: tuple[View, View], flips: str) -> None:
    for view in views:
        view.flips = flips
    found = together(turns, *views, wait_s=60)
    assert all(findings.level == "FAIL" for findings in found)
    damaged = [findings for findings in found if levels(findings)["whole files"] == "FAIL"]
    assert damaged
    assert "are not what it wrote" in damaged[0].of("whole files").found


@pytest.mark.parametrize("forgets", ["ping", "pong"])
def test_a_file_that_vanishes_is_a_failure(turns: Turns, views: tuple[View, View], forgets: str) -> None:
    for view in views:
        view.forgets = forgets + "-"
    found = together(turns, *views)
    (lost,) = [findings for findings in found if levels(findings)["whole files"] == "FAIL"]
    assert lost.of("whole files").figures["vanished"] == 4


@pytest.mark.parametrize(
    ("fault", "value", "check", "level", "figure", "least", "most"),
    [
        ("stale_s", 70.0, "overwriting", "OK", "after_s", 69, 75),
        ("mixes", True, "overwriting", "WARN", "mixed", 1, 1),
        ("stale_s", 1e9, "overwriting", "WARN", "after_s", -1, -1),
        ("ghost_s", 50.0, "other's removal", "OK", "name_s", 50, 55),
        ("ghost_s", 1e9, "other's removal", "WARN", "name_s", -1, -1),
        ("listing_s", 20.0, "other's listing", "WARN", "lag_max_s", 19, 25),
        ("listing_s", 1e9, "other's listing", "WARN", "unlisted", 4, 99),
        ("fails_at", "p", "whole files", "WARN", "errors", 4, 6),
        ("twins", True, "exclusive names", "WARN", "both", 3, 3),
    ],
)
def test_each_fault_is_found(
    turns: Turns, views: tuple[View, View], tmp_path: Path,
    fault: str, value: object, check: str, level: str, figure: str, least: float, most: float,
) -> None:  # fmt: skip
    for view in views:
        setattr(view, fault, value)
    found = together(turns, *views)
    assert any(
        findings.of(check).level == level and least <= findings.of(check).figures[figure] <= most
        for findings in found
    ), [findings.of(check) for findings in found]
    others = [check for check in ALL if check != "whole files"]
    for findings in found:
        assert [name for name in others if findings.of(name).level == "FAIL"] == []
        assert findings.level != "FAIL"
    assert left_in(tmp_path) == []


def test_nobody_comes(turns: Turns, views: tuple[View, View], tmp_path: Path) -> None:
    (findings,) = together(turns, views[0], wait_s=77)
    assert turns.now == pytest.approx(77, abs=1)
    assert levels(findings) == {"other machine": "FAIL", "mount stays": "OK"}
    assert "no other machine has registered" in findings.of("other machine").found
    assert findings.verdict == "Whether a swarm can run here is not known: the other machine was not met."
    assert left_in(tmp_path) == []


def test_what_an_earlier_machine_left_is_passed_over(
    turns: Turns, views: tuple[View, View], tmp_path: Path
) -> None:
    check = tmp_path / "check" / "pair"
    kept: list[tuple[Path, bytes]] = []

    def say(line: str) -> None:
        if line.startswith("waiting for"):
            kept.extend((path, path.read_bytes()) for path in check.glob("machine.*.json"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examine(Store(str(tmp_path)), pair_name="pair", means=Means(say=say))
    ((path, registration),) = kept
    path.write_bytes(registration)
    (check / f"machine.{'0' * 8}.json").write_bytes(b"{" * 500_000)
    for name in ("..x", "abcd123g", "0" * 8):
        (check / name).mkdir()
    assert all(levels(findings) == WELL for findings in together(turns, *views))


def test_three_machines_of_one_name_are_told(turns: Turns, views: tuple[View, View], tmp_path: Path) -> None:
    found = together(turns, *views, View(str(tmp_path), turns), wait_s=60)
    alone = [findings for findings in found if findings.level == "FAIL"]
    assert len(alone) in (1, 3), "two of three may meet"
    assert any("more than two machines" in findings.of("other machine").found for findings in alone)
    assert all(levels(findings) == WELL for findings in found if findings not in alone)
    assert left_in(tmp_path) == []


def test_an_interrupt_removes_what_was_written_and_the_other_notices(
    turns: Turns, views: tuple[View, View], tmp_path: Path
) -> None:
    def stop(line: str) -> None:
        if line.startswith("round 2"):
            raise KeyboardInterrupt

    found: list[Findings] = []
    with pytest.raises(KeyboardInterrupt):
        turns.run(
            lambda: examine(views[0], pair_name="pair", means=means(turns, say=stop)),
            lambda: found.append(examine(views[1], pair_name="pair", means=means(turns))),
        )
    (findings,) = found
    assert "the other machine has removed its files" in findings.of("visibility").found
    assert turns.now < 60
    assert left_in(tmp_path) == []


def test_folders_that_drive_keeps_twice_are_both_looked_into(tmp_path: Path, turns: Turns) -> None:
    """Each machine made `check` itself, and is shown the other's as `check (1)`."""
    for number in (0, 1):
        (tmp_path / f"cloud-{number}").mkdir()
        (tmp_path / f"vm-{number}").mkdir()
        (tmp_path / f"vm-{number}" / "check").symlink_to(tmp_path / f"cloud-{number}")
        (tmp_path / f"vm-{number}" / "check (1)").symlink_to(tmp_path / f"cloud-{1 - number}")
    for findings in together(turns, *(View(str(tmp_path / f"vm-{n}"), turns) for n in (0, 1))):
        assert levels(findings) == WELL | {"exclusive names": "WARN"}
        assert findings.of("twins").level == "WARN"


def test_two_ends_on_one_machine_say_nothing_of_others(turns: Turns, views: tuple[View, View]) -> None:
    for findings in together(turns, *views, rounds=2, machine="the same"):
        assert findings.of("other machine").level == "WARN"
        said = "This machine can work with the folder. What other machines see was not"
        assert findings.verdict.startswith(said)


def test_the_smaller_number_of_rounds_counts(turns: Turns, views: tuple[View, View]) -> None:
    found: list[Findings] = []
    look = partial(examine, pair_name="pair", means=means(turns))
    turns.run(
        *(lambda v=v, n=n: found.append(look(v, rounds=n)) for v, n in zip(views, (3, 1000), strict=True))
    )
    assert [f.of("visibility").figures["one_way_samples"] for f in found] == [3, 3]


ONE, OTHER = "00000001", "00000002"


@pytest.fixture
def own(tmp_path: Path) -> OwnFiles:
    store = Store(str(tmp_path))
    for id_ in (ONE, OTHER):
        store.make_folder(f"check/pair/{id_}")
    return OwnFiles(store, SessionPaths("pair"), ONE)


def channel(own: OwnFiles, peer: str) -> Channel:
    return Channel(own, Met(peer, own.paths.folder, Note()), Means(), 0.0)


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"[" * 100_000,
        b'{"other": 1}',
        b'{"figures": {"a": "1"}}',
        b'{"figures": {"a": 1e999}}',
        b'{"figures": {"a": -1e10}}',
        b'{"figures": {"A b": 1}}',
        b'{"texts": {"a": "\\u001b[31m"}}',
        b'{"texts": {"a": "../x"}}',
        b'{"texts": {"a": "%s"}}' % (b"x" * 65),
        msgspec.json.encode({"figures": {f"a{n}": 1 for n in range(41)}}),
    ],
)
def test_what_is_no_note_is_refused(own: OwnFiles, payload: bytes) -> None:
    header, reader = Header(kind=KIND, experiment="pair", node=OTHER), channel(own, OTHER)
    try:
        data = seal_json(header, payload)
    except ValueError:  # not JSON either
        data = payload
    own.store.create(f"check/pair/{OTHER}/note.json", data)
    assert reader.peek_file("note.json") is None
    assert list(reader.sights.damaged) == ["note.json"]


def test_a_note_is_read_by_those_it_is_from_and_for(own: OwnFiles) -> None:
    note = Note(figures={"rounds": 2.0}, texts={"python": "3.13.0+"}, filler="x")
    channel(own, OTHER).tell("hello", note)
    other, third = OwnFiles(own.store, own.paths, OTHER), OwnFiles(own.store, SessionPaths("other"), OTHER)
    assert channel(other, ONE).peek("hello") == note
    assert channel(other, ONE).peek("absent") is None
    stranger = Channel(third, Met(ONE, own.paths.folder, Note()), Means(), 0.0)
    assert stranger.peek("hello") is None
    assert "and 'other' is expected" in stranger.sights.damaged[f"hello.{OTHER}.json"]
    copied = own.store.read(own.key(f"hello.{OTHER}.json"), 9_999) or b""
    own.store.create(f"check/pair/{OTHER}/hello.{ONE}.json", copied)
    assert channel(own, OTHER).peek("hello") is None, "another machine wrote it"


def test_what_is_too_large_or_no_file_is_refused(own: OwnFiles) -> None:
    header, reader = Header(kind=KIND, experiment="pair", node=ONE), channel(own, ONE)
    own.create(own.key("large.json"), seal_json(header, b'"%s"' % (b"x" * NOTE_LIMIT)))
    own.create(own.key("huge.json"), b"x" * 2_000_000)
    own.store.make_folder(own.key("folder.json"))
    names = ["folder.json", "huge.json", "large.json"]
    assert [reader.peek_file(name) for name in names] == [None] * 3
    assert sorted(reader.sights.damaged) == names


def test_only_own_files_are_removed(own: OwnFiles) -> None:
    own.create(own.key("mine.txt"), b"mine")
    own.store.create("check/pair/race.txt", b"theirs")
    assert own.create_shared("check/pair/race2.txt", b"mine")
    assert not own.create_shared("check/pair/race.txt", b"mine")
    Path(own.store.root, "check/pair/race2 (1).txt").write_bytes(b"theirs")
    Path(own.store.root, "check/pair/race2.txt").rename(Path(own.store.root, "check/pair/race2 (2).txt"))
    own.store.create(own.key("strange.txt"), b"of another")
    assert own.clear() == 0
    left = sorted(path.name for path in Path(own.store.root).rglob("*") if path.is_file())
    assert left == ["race.txt", "race2 (1).txt", "strange.txt"]
