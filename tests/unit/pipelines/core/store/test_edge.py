"""What only the embedded store does: files, locks, and outliving a kill."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.errors import ConflictError, IndexMismatchError, IndexUnavailableError
from pipelines.core.settings import IndexSettings
from pipelines.core.store import DocumentVersion, EmbeddedPassage, Fusion, RankedQuery, Schema
from pipelines.core.store.edge import EmbeddedStore
from pipelines.core.types import Passage

SCHEMA = Schema("encoder", 4)
UNIT = np.array([1, 0, 0, 0], dtype=np.float32)

CHILD = """
import sys
from pathlib import Path
from uuid import UUID
import numpy as np
from pipelines.core.settings import IndexSettings
from pipelines.core.store import DocumentVersion, EmbeddedPassage, Schema
from pipelines.core.store.edge import EmbeddedStore
from pipelines.core.types import Passage

store = EmbeddedStore(Path(sys.argv[1]), IndexSettings(), Schema("encoder", 4)).open()
unit = np.array([1, 0, 0, 0], dtype=np.float32)

def items(document, version, count):
    return [
        EmbeddedPassage(
            Passage(id=str(UUID(int=hash((document, version, i)) % 2**64)), document_id=document, version=version,
                    section_id=str(UUID(int=i % 2)), title="T", source="s", start=i, end=i + 4, text="text"),
            unit, "default")
        for i in range(count)
    ]

"""
WRITE_AND_WAIT = """
store.write(items("published", "v1", 300))
store.publish(DocumentVersion("published", "v1"))
store.write(items("staged", "v1", 7))
print("ready", flush=True)
sys.stdin.read()
"""
REPLACE_FOR_EVER = """
store.write(items("d", "v0", 5))
store.publish(DocumentVersion("d", "v0"))
print("ready", flush=True)
number = 0
while True:
    number += 1
    store.write(items("d", f"v{number}", 5))
    store.publish(DocumentVersion("d", f"v{number}"))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as path:
        yield Path(path)


def make(folder: Path, schema: Schema = SCHEMA) -> EmbeddedStore:
    return EmbeddedStore(folder, IndexSettings(), schema)


def start(folder: Path, script: str) -> "subprocess.Popen[str]":
    """A process that has the index open and has said that it is ready."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD + script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def kill(child: "subprocess.Popen[str]") -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


def versions_found(store: EmbeddedStore) -> list[str]:
    hits = store.search([RankedQuery("text", UNIT)], limit=50, fusion=Fusion())
    return [hit.passage.version for hit in hits]


def test_a_kill_loses_nothing_and_its_lock_does_not_block(folder: Path) -> None:
    child = start(folder, WRITE_AND_WAIT)
    try:
        with pytest.raises(ConflictError, match=f"process {child.pid}"):
            make(folder).open()
    finally:
        kill(child)
    store = make(folder).open()
    assert store.published("published") == ("v1", 300)
    assert len(list(store.passages("published"))) == 300
    assert len(store.written(DocumentVersion("staged", "v1"))) == 7
    assert store.publish(DocumentVersion("staged", "v1")) == 7
    assert store.info().sections == 4
    store.close()


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.11])
def test_a_kill_while_replacing_leaves_one_whole_version(folder: Path, delay_s: float) -> None:
    child = start(folder, REPLACE_FOR_EVER)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(delay_s)
    kill(child)
    store = make(folder).open()
    seen = versions_found(store)
    published = store.published("d")
    assert published is not None
    assert seen == [published[0]] * 5
    store.close()


def test_two_stores_of_one_process_exclude_each_other(folder: Path) -> None:
    first = make(folder).open()
    with pytest.raises(ConflictError, match=str(os.getpid())):
        make(folder).open()
    first.close()
    make(folder).open().close()


def test_a_refused_schema_gives_the_lock_back(folder: Path) -> None:
    make(folder).open().close()
    with pytest.raises(IndexMismatchError):
        make(folder, Schema("other", 4)).open()
    make(folder).open().close()


def test_an_unfinished_shadow_goes_at_the_next_opening(folder: Path) -> None:
    store = make(folder).open()
    store.shadow(Schema("other", 4))
    builds = folder / "passages"
    assert len([path for path in builds.iterdir() if path.is_dir()]) == 2
    store.close()
    store.open()
    assert len([path for path in builds.iterdir() if path.is_dir()]) == 1
    store.close()


def test_a_crash_after_the_swap_opens_the_new_collection(folder: Path) -> None:
    store = make(folder).open()
    passage = Passage(
        id="00000000-0000-0000-0000-000000000001",
        document_id="d",
        version="v1",
        section_id="00000000-0000-0000-0000-000000000002",
        title="",
        source="s",
        start=0,
        end=4,
        text="text",
    )
    shadow = store.shadow(SCHEMA)
    shadow.write([EmbeddedPassage(passage, UNIT, "default")])
    shadow.publish(DocumentVersion("d", "v1"))
    shadow.close()
    pointer = folder / "passages" / "live.json"
    old = json.loads(pointer.read_text())["build"]
    (new,) = (path.name for path in pointer.parent.iterdir() if path.is_dir() and path.name != old)
    store.close()
    pointer.write_text(json.dumps({"build": new}))
    assert make(folder).open().published("d") == ("v1", 1)
    assert not (pointer.parent / old).exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"other": 1}', "null"])
def test_a_damaged_pointer_is_an_error_and_removes_nothing(folder: Path, content: str) -> None:
    make(folder).open().close()
    pointer = folder / "passages" / "live.json"
    good = pointer.read_text()
    pointer.write_text(content)
    with pytest.raises(IndexUnavailableError, match=r"live\.json"):
        make(folder).open()
    pointer.write_text(good)
    make(folder).open().close()


def test_damaged_index_files_are_an_error(folder: Path) -> None:
    make(folder).open().close()
    (config,) = (folder / "passages").glob("*/shard/edge_config.json")
    config.write_text("{")
    with pytest.raises(IndexUnavailableError, match="cannot be opened"):
        make(folder).open()


def test_a_lost_schema_file_is_a_mismatch(folder: Path) -> None:
    make(folder).open().close()
    (schema,) = (folder / "passages").glob("*/schema.json")
    schema.unlink()
    with pytest.raises(IndexMismatchError, match=r"schema\.json"):
        make(folder).open()


def test_a_file_where_the_folder_should_be_is_an_error(folder: Path) -> None:
    (folder / "passages").write_text("")
    with pytest.raises(IndexUnavailableError, match="cannot be used"):
        make(folder).open()


def test_a_failing_engine_is_an_error_of_ours(folder: Path) -> None:
    store = make(folder).open()
    store._open._shard.close()
    for fails in (store.info, lambda: versions_found(store), lambda: store.delete("d"), lambda: store.published("d")):
        with pytest.raises(IndexUnavailableError, match="embedded index failed"):
            fails()


def test_a_swap_that_cannot_be_recorded_leaves_the_live_collection(folder: Path) -> None:
    store = make(folder).open()
    shadow = store.shadow(Schema("newer", 4))
    blocked = folder / "passages" / "live.partial"
    blocked.mkdir()
    with pytest.raises(IndexUnavailableError, match="made live"):
        store.swap(shadow)
    assert store.info().schema == SCHEMA
    assert versions_found(store) == []
    store.close()
    make(folder).open().close()
