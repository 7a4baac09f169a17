"""What one machine finds out by itself: each fault is found and named, and settings follow from what was measured."""

import errno
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from doctored_for_tests import Turns, View, left_in

from drive_store import InvalidName, Store, StoreDenied
from drive_store.doctor import Findings, Means, examine, findings_text
from drive_store.doctor.mount import versions
from drive_store.doctor.report import is_slow, percentile, seconds, settings, size_text
from drive_store.store.transfer import UNCOMMITTED
from drive_store.testing import FaultyStore
from swarm_ray.config.load import load_config

COUNTS = (3, 10)


class Time:
    """A made-up clock for one machine."""

    def __init__(self) -> None:
        self.now = 0.0
        self.means = Means(clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def look(store: Store, **arguments: object) -> Findings:
    return examine(store, **{"counts": COUNTS, **arguments})  # type: ignore[arg-type]


@pytest.fixture
def mounted() -> Iterator[Path]:
    """A folder on another device than the machine's disk."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="swarm-ray-doctor-"))
    yield folder
    shutil.rmtree(folder)


def test_a_good_folder_is_called_good(mounted: Path) -> None:
    assert mounted.stat().st_dev not in {Path(p).stat().st_dev for p in ("/", tempfile.gettempdir())}
    findings = look(Store(str(mounted)))
    assert [f.check for f in findings.findings if f.level != "OK"] == []
    assert findings.level == "OK"
    assert findings.preset == "colab", "what other machines see was not measured"
    assert {"listing_3_s", "listing_10_s"} < set(findings.of("listing").figures)
    assert findings.of("small writes").figures["write_samples"] == 10
    assert "What other machines see was not measured" in findings.verdict
    assert left_in(mounted) == []
    stored = json.loads(Path(findings.report).read_text())
    assert stored["verdict"] == findings.verdict
    assert len(stored["findings"]) == len(findings.findings)


def test_the_own_disk_is_told_from_a_mount(tmp_path: Path) -> None:
    findings = look(Store(str(tmp_path)))
    assert findings.of("mount").level == findings.level == "WARN"
    assert findings.preset == "tiny"


def test_an_unmounted_drive_is_a_failure(tmp_path: Path) -> None:
    root = tmp_path / "drive" / "MyDrive" / "swarm"
    root.mkdir(parents=True)
    findings = look(Store(str(root)), pair_name="pair")
    assert findings.of("mount").level == findings.level == "FAIL"
    assert findings.settings == ()
    assert "not waited for" in findings.of("other machine").found


@pytest.mark.parametrize("make", [lambda path: None, Path.touch])
def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path, make: Callable[[Path], None]) -> None:
    root = tmp_path / "root"
    make(root)
    findings = look(Store(str(root)))
    assert [f.check for f in findings.findings] == ["versions", "folder"]
    assert findings.level == "FAIL"
    assert findings.report == ""
    assert not root.is_dir()


@pytest.mark.parametrize("at", [0, 2, 7])
@pytest.mark.parametrize("spoil", ["lose", "tear"])
def test_files_that_are_lost_or_cut_are_a_failure(tmp_path: Path, at: int, spoil: str) -> None:
    view = View(str(tmp_path), Turns())
    view.spoil_at = {at: spoil}
    findings = look(view)
    assert findings.of("writing" if at == 0 else "read back").level == findings.level == "FAIL"
    assert findings.settings == ()
    if at:
        assert findings.of("read back").figures["gone" if spoil == "lose" else "changed"] == 1


@pytest.mark.parametrize(
    ("fault", "value", "says"),
    [
        *((fault, True, "for a test") for fault in ("full", "denied", "unavailable")),
        ("hang_s", 100, "did not answer"),
    ],
)
def test_a_store_that_fails_or_hangs_is_a_failure(
    tmp_path: Path, fault: str, value: float, says: str
) -> None:
    over = threading.Event()
    store = FaultyStore(str(tmp_path), deadline_s=0.05 if fault == "hang_s" else 60.0, sleep=over.wait)
    setattr(store.faults, fault, value)
    findings = look(store)
    over.set()
    assert findings.of("store").level == findings.level == "FAIL"
    assert says in findings.of("store").found
    assert findings.settings == ()


@pytest.mark.parametrize(
    ("hang_s", "warned"), [(1, set()), (6, {"small writes"}), (11, {"small writes", "listing"})]
)
def test_a_slow_folder_is_told(tmp_path: Path, hang_s: float, warned: set[str]) -> None:
    made_up = Time()
    store = FaultyStore(str(tmp_path), sleep=made_up.sleep)
    store.faults.hang_s = hang_s
    findings = look(store, means=made_up.means)
    assert {f.check for f in findings.findings if f.level != "OK"} - {"mount", "clocks"} == warned
    assert findings.of("small writes").figures["write_p50_s"] == hang_s


def test_slow_writes_end_in_time(tmp_path: Path) -> None:
    made_up = Time()
    store = FaultyStore(str(tmp_path), sleep=made_up.sleep)
    store.faults.hang_s = 50
    findings = look(store, means=made_up.means, counts=(100, 1000))
    assert findings.of("small writes").figures["write_samples"] == 3
    assert findings.of("read back").level == "OK"


class Odd(Store):
    """Lists nothing that ends in .bin, and lets a name be created again."""

    def names(self, folder_key: str) -> list[str]:
        return [name for name in super().names(folder_key) if not name.endswith(".bin")]

    def create(self, key: str, data: bytes) -> None:
        super().replace_copy(key, data)


def test_a_listing_that_lacks_files_and_a_name_that_can_be_written_twice_are_told(tmp_path: Path) -> None:
    findings = look(Odd(str(tmp_path)))
    assert (findings.of("listing").level, findings.of("listing").figures["unlisted"]) == ("WARN", 10)
    assert findings.of("writing").level == findings.level == "FAIL"


def test_a_removed_file_that_stays_is_told(tmp_path: Path) -> None:
    view = View(str(tmp_path), Turns())
    view.ghost_s = 5.0
    assert look(view).of("removal").level == "WARN"


def test_what_cannot_be_removed_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Store, "remove", Mock(side_effect=StoreDenied("may not be removed")))
    findings = look(Store(str(tmp_path)), means=Means(say=said.append))
    there = sum((tmp_path / name).stat().st_size for name in left_in(tmp_path))
    assert findings.remains_bytes == there > 10_000
    assert any(f"{there} bytes could not be removed" in line for line in said)
    assert "could not be removed from" in findings_text(findings)


def test_names_that_stand_twice_are_told_and_cannot_steer_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "first (1)").mkdir()
    (tmp_path / "\x1b[31mred (2)").mkdir()
    findings = look(Store(str(tmp_path)))
    assert findings.of("twins").level == "WARN"
    assert findings.of("twins").figures["twins"] == 2
    text = findings_text(findings)
    assert "experiments/first (1)" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("marks", "level", "took"),
    [
        ({UNCOMMITTED: (b"1", b"0")}, "OK", 3),
        ({"user.drive.id": (b"local-17", b"1AbC")}, "OK", 3),
        ({UNCOMMITTED: (b"1", b"1"), "user.drive.id": (b"1AbC", b"1AbC")}, "WARN", None),
        ({}, "OK", None),
    ],
)
def test_the_marks_of_an_upload_are_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    marks: dict[str, tuple[bytes, bytes]],
    level: str,
    took: float | None,
) -> None:
    made_up = Time()

    def getxattr(path: str, name: str) -> bytes:
        if name not in marks:
            raise OSError(errno.ENODATA, "no such mark", path)
        return marks[name][made_up.now >= 3]

    monkeypatch.setattr(os, "getxattr", getxattr)
    findings = look(Store(str(tmp_path)), means=made_up.means)
    finding = findings.of("upload")
    assert finding.level == level
    assert finding.figures.get("upload_s") == took
    assert finding.figures["uncommitted"] == float(UNCOMMITTED in marks)
    assert finding.figures["id"] == float("user.drive.id" in marks)
    assert findings.preset == ("colab" if marks else "tiny"), "marks of Drive mean Drive"


def test_a_clock_that_is_wrong_or_jumps_is_told(tmp_path: Path) -> None:
    assert look(Store(str(tmp_path)), means=Means(wall=lambda: 4e9)).of("clocks").level == "WARN"
    real = time.time()
    walls = iter([real - 8000.0, real])
    finding = look(Store(str(tmp_path)), means=Means(wall=lambda: next(walls))).of("clocks")
    assert finding.level == "WARN"
    assert "jumped" in finding.found


def test_old_versions_are_a_failure() -> None:
    assert versions().level == "OK"
    assert versions(lambda _: "2025.3.0").level == "OK"
    assert versions(lambda _: "2024.12.0").level == "FAIL"


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def say(_: str) -> None:
        assert left_in(tmp_path) != []
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look(Store(str(tmp_path)), counts=(300,), means=Means(say=say))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("pair", "rounds"), [("A b", 1), ("../x", 1), ("", 1), ("pair", 0), ("pair", 1001)])
def test_a_mistake_writes_nothing(tmp_path: Path, pair: str, rounds: int) -> None:
    with pytest.raises(InvalidName):
        examine(Store(str(tmp_path)), pair_name=pair, rounds=rounds)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [1, 40, 60, 79, 80, 200])
def test_the_text_keeps_to_its_width(tmp_path: Path, width: int) -> None:
    findings = look(Store(str(tmp_path)))
    lines = findings_text(findings, width=width).splitlines()
    assert all(len(line) <= max(40, width) for line in lines if str(tmp_path) not in line)
    text = " ".join(findings_text(findings, width=width).split())
    for finding in findings.findings:
        assert f"{finding.level} {finding.check} {finding.found}" in text
        assert finding.advice in text
    assert all(setting in text for setting in findings.settings)


@pytest.mark.parametrize("samples", [2, 99, 100, 1000])
@pytest.mark.parametrize("p99_s", [0.001, 1.0, 2.5, 30.0, 119.5, 150.0, 300.0, 2400.0])
@pytest.mark.parametrize("slow", [True, False])
def test_settings_bear_what_was_measured_and_are_never_below_the_defaults(
    samples: int, p99_s: float, slow: bool
) -> None:
    preset = "colab" if slow else "tiny"
    found = settings(p99_s / 2, p99_s, samples, slow=slow)
    default = load_config(preset).pace
    config = load_config(preset, overrides=[f"pace.{key}={value}" for key, value in found.items()])
    assert config.pace.settle_s >= max(p99_s, default.settle_s)
    assert config.pace.retry_s >= max(3 * p99_s, default.retry_s)
    assert config.pace.dead_after_s >= max(3 * p99_s, default.dead_after_s)
    assert default.poll_min_s <= config.pace.poll_max_s <= default.poll_max_s
    few = settings(p99_s / 2, p99_s, 10, slow=slow)
    assert all(few[key] >= found[key] for key in ("settle_s", "retry_s", "dead_after_s"))


def test_what_was_not_measured_has_the_defaults() -> None:
    for preset, slow in (("colab", True), ("tiny", False)):
        default = load_config(preset).pace
        found = settings(None, None, 0, slow=slow)
        assert found.pop("settle_s") == (120 if slow else default.settle_s)
        assert found == {key: getattr(default, key) for key in found}


def test_slow_is_what_was_slow_or_may_be() -> None:
    for own_disk in (False, True):
        assert is_slow(2.1, drive=False, own_disk=own_disk)
        assert is_slow(None, drive=False, own_disk=own_disk) is not own_disk
        assert all(is_slow(p99_s, drive=True, own_disk=own_disk) for p99_s in (None, 0.1))
    assert not is_slow(0.1, drive=False, own_disk=False)


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]
    assert percentile([7.0], 0.99) == percentile([7.0], 0.01) == 7


def test_numbers_for_people() -> None:
    assert [seconds(s) for s in (0.0004, 0.035, 2.0, 2.54, 95, 720)] == [
        "under 1 ms", "35 ms", "2 s", "2.5 s", "95 s", "12 min",
    ]  # fmt: skip
    assert [size_text(n) for n in (512, 94_000, 12_300_000_000)] == ["512 B", "94.0 kB", "12.3 GB"]
