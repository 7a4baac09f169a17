"""What every store has to do, as a class of tests that a back end inherits.

A back end's own test module subclasses `StoreTests` and defines the fixture ``store``: a `Store` on a root
that is empty. Pytest collects the methods of the subclass.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from drive_store.errors import FolderMissing, InvalidName, NameTaken, NotAFile, StoreUnavailable, TooLarge
from drive_store.store.store import Store

HOSTILE_KEYS = (
    "",
    "/etc/passwd",
    "../outside",
    "a/../../outside",
    "a/./b",
    "a//b",
    "a/",
    "a\\b",
    "a\0b",
    "a\n",
    ".hidden",
    "-option",
    "a b",
    "a[0]",
    "ä",
    "x" * 300,
)
_LIMIT = 1000


class StoreTests:
    """The suite. Each test has a folder of its own within the store that the fixture gives."""

    def test_a_file_reads_as_it_was_written(self, store: Store) -> None:
        """Any bytes come back, none included."""
        store.make_folder("a/b")
        for n, data in enumerate((b"", b"x", bytes(range(256)))):
            store.create(f"a/b/{n}", data)
            assert store.read(f"a/b/{n}", _LIMIT) == data
            assert store.size(f"a/b/{n}") == len(data)

    def test_a_name_is_written_once(self, store: Store) -> None:
        """A second creation fails and changes nothing."""
        store.make_folder("a")
        store.create("a/file", b"first")
        with pytest.raises(NameTaken, match="a/file"):
            store.create("a/file", b"second")
        assert store.read("a/file", _LIMIT) == b"first"

    def test_one_of_many_creators_wins(self, store: Store) -> None:
        """Of eight threads exactly one creates a name, and the content is its own."""
        if not store.capabilities.create_if_absent:
            pytest.skip("this store does not promise it")
        store.make_folder("a")
        for n in range(20):
            start = threading.Barrier(8)

            def claim(who: int, n: int = n, start: threading.Barrier = start) -> int | None:
                start.wait()
                try:
                    store.create(f"a/{n}", b"%d" % who)
                except NameTaken:
                    return None
                return who

            with ThreadPoolExecutor(8) as pool:
                winners = [who for who in pool.map(claim, range(8)) if who is not None]
            assert len(winners) == 1
            assert store.read(f"a/{n}", _LIMIT) == b"%d" % winners[0]

    def test_a_new_file_needs_its_folder(self, store: Store) -> None:
        """Nothing makes folders by the way: a missing one may mean an unmounted drive."""
        with pytest.raises(FolderMissing):
            store.create("a/file", b"data")
        with pytest.raises(FolderMissing):
            store.replace_copy("a/file", b"data")
        assert store.names("a") == []

    def test_a_copy_is_replaced(self, store: Store) -> None:
        """The last content stays, and no rest of a longer one."""
        store.make_folder("a")
        for data in (b"the longer one", b"short"):
            store.replace_copy("a/copy.json", data)
            assert store.read("a/copy.json", _LIMIT) == data

    def test_what_is_absent_reads_as_none(self, store: Store) -> None:
        """Neither a file nor a folder has to be there."""
        assert store.read("a/file", _LIMIT) is None
        assert store.size("a/file") is None
        assert store.names("a") == []

    def test_a_file_beyond_the_limit_is_not_read(self, store: Store) -> None:
        """The limit itself is allowed."""
        store.make_folder("a")
        store.create("a/file", b"12345")
        assert store.read("a/file", 5) == b"12345"
        read = store.operations.bytes_read
        with pytest.raises(TooLarge, match="4 bytes"):
            store.read("a/file", 4)
        assert store.operations.bytes_read == read

    def test_names_are_sorted_and_bare(self, store: Store) -> None:
        """Files and folders alike, of this folder only."""
        store.make_folder("a/folder/deeper")
        for name in ("b", "a", "c.json"):
            store.create(f"a/{name}", b"")
        assert store.names("a") == ["a", "b", "c.json", "folder"]

    def test_folders_and_files_are_told_apart(self, store: Store) -> None:
        """Each in the other's place is an error of its own."""
        store.make_folder("a/folder")
        store.make_folder("a/folder")
        store.create("a/file", b"")
        with pytest.raises(NotAFile):
            store.read("a/folder", _LIMIT)
        with pytest.raises(NotAFile):
            store.names("a/file")
        with pytest.raises(NotAFile):
            store.make_folder("a/file")

    def test_removal(self, store: Store) -> None:
        """A file, a tree, and what is gone already."""
        store.make_folder("a/deep/er")
        store.create("a/file", b"")
        store.create("a/deep/er/file", b"")
        store.remove("a/file")
        store.remove("a/file")
        assert store.names("a") == ["deep"]
        store.remove_tree("a")
        store.remove_tree("a")
        assert store.names("a") == []

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_hostile_keys_are_refused(self, store: Store, key: str) -> None:
        """No key leads out of the root, whatever is done with it."""
        with pytest.raises(InvalidName):
            store.create(key, b"")
        with pytest.raises(InvalidName):
            store.read(key, _LIMIT)
        with pytest.raises(InvalidName):
            store.make_folder(key)
        with pytest.raises(InvalidName):
            store.remove_tree(key)

    def test_twins_are_never_made(self, store: Store) -> None:
        """Their names can be asked for, so that a twin that Drive shows can be read."""
        store.make_folder("a")
        with pytest.raises(InvalidName):
            store.create("a/file (1).json", b"")
        with pytest.raises(InvalidName):
            store.replace_copy("a/file (1).json", b"")
        assert store.read("a/file (1).json", _LIMIT) is None

    def test_a_store_must_be_attached_to_be_checked(self, store: Store) -> None:
        """A missing sentinel, a changed one and a store never attached are all unavailable."""
        store.make_folder("a")
        with pytest.raises(StoreUnavailable, match="attach"):
            store.check()
        with pytest.raises(StoreUnavailable, match="not there"):
            store.attach("a/sentinel.json")
        store.create("a/sentinel.json", b"{}")
        store.attach("a/sentinel.json")
        store.check()
        store.replace_copy("a/sentinel.json", b"[]")
        with pytest.raises(StoreUnavailable, match="replaced"):
            store.check()
        store.remove("a/sentinel.json")
        with pytest.raises(StoreUnavailable, match="not there"):
            store.check()

    def test_operations_are_counted(self, store: Store) -> None:
        """By kind, with the bytes that went each way."""
        store.make_folder("a")
        store.create("a/file", b"123")
        store.replace_copy("a/copy", b"12")
        store.read("a/file", _LIMIT)
        store.read("a/absent", _LIMIT)
        store.names("a")
        store.size("a/file")
        store.remove("a/file")
        done = store.operations
        assert (done.folders, done.creates, done.overwrites, done.reads) == (1, 1, 1, 2)
        assert (done.lists, done.sizes, done.removes) == (1, 1, 1)
        assert (done.bytes_written, done.bytes_read) == (5, 3)
