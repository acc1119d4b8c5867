"""What every store must do, whatever it is built on."""

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import NAMESPACE_OID, uuid4, uuid5

import numpy as np
import pytest

from pipelines.core.errors import (
    IndexMismatchError,
    IndexUnavailableError,
    InvalidRequestError,
    MalformedDocumentError,
    NotFoundError,
)
from pipelines.core.settings import IndexSettings
from pipelines.core.store import DocumentVersion, EmbeddedPassage, Fusion, RankedQuery, Schema, Store
from pipelines.core.store.edge import EmbeddedStore
from pipelines.core.store.server import ServerStore
from pipelines.core.types import Filter, Passage, Range
from tests.support.qdrant_server import drop_collections

DIM = 16
SCHEMA = Schema(encoder="encoder-one", dim=DIM)
FLAT = Fusion(section=0.0)

Make = Callable[..., Store]


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.network)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where the system has that: not one of these tests is about the time that a disk takes to sync."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as path:
        yield Path(path)


@pytest.fixture
def make(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes stores on one place; each call is what a new process would do."""
    url = request.getfixturevalue("qdrant_url") if kind == "server" else None
    settings = IndexSettings(
        url=url,
        collection=f"contract-{uuid4().hex[:8]}",
        metadata_fields={"year": "integer", "city name": "keyword"},
    )
    made: list[Store] = []

    def factory(schema: Schema = SCHEMA) -> Store:
        store = ServerStore(settings, schema) if url else EmbeddedStore(folder, settings, schema)
        made.append(store)
        return store

    yield factory
    for store in made:
        store.close()
    if url:
        drop_collections(url, settings.collection)


@pytest.fixture
def store(make: Make) -> Store:
    return make().open()


def direction(*weights: float) -> np.ndarray:
    vector = np.zeros(DIM, dtype=np.float32)
    vector[: len(weights)] = weights
    return vector / np.linalg.norm(vector)


def passage(
    document: str,
    place: int = 0,
    *,
    version: str = "v1",
    text: str = "plain text",
    vector: np.ndarray | None = None,
    tenant: str = "default",
    section: str = "only",
    metadata: dict | None = None,
    labels: tuple[str, ...] = (),
) -> EmbeddedPassage:
    made = Passage(
        id=str(uuid5(NAMESPACE_OID, f"{tenant}/{document}/{version}/{place}")),
        document_id=document,
        version=version,
        section_id=str(uuid5(NAMESPACE_OID, f"{document}/{section}")),
        title=f"Title of {document}",
        source=f"{document}.md",
        section_path=(section,),
        page=1,
        start=place * 100,
        end=place * 100 + len(text),
        text=text,
        metadata=metadata or {},
        labels=labels,
    )
    return EmbeddedPassage(made, direction(1.0) if vector is None else vector, tenant)


def add(store: Store, *items: EmbeddedPassage) -> None:
    store.write(items)
    for document, version in sorted({(each.passage.document_id, each.passage.version) for each in items}):
        store.publish(DocumentVersion(document, version))


def ask(text: str = "text", vector: np.ndarray | None = None, weight: float = 1.0) -> list[RankedQuery]:
    return [RankedQuery(text, direction(1.0) if vector is None else vector, weight)]


def found(store: Store, fusion: Fusion = FLAT, **filters: object) -> list[str]:
    hits = store.search(ask(), limit=50, fusion=fusion, filter=Filter(**filters))
    return sorted({hit.passage.document_id for hit in hits})


# --- Opening ---------------------------------------------------------------------------------------------------------


def test_an_empty_index_answers_everything(store: Store) -> None:
    assert store.search(ask(), limit=5, fusion=Fusion()) == []
    assert store.published("d") is None
    assert store.written(DocumentVersion("d", "v1")) == frozenset()
    assert store.delete("d") == 0
    assert list(store.passages("d")) == []
    assert (store.info().passages, store.info().sections, store.info().schema) == (0, 0, SCHEMA)


def test_opening_is_idempotent_and_content_survives_reopening(make: Make) -> None:
    store = make().open()
    assert store.open() is store
    add(store, passage("d"))
    store.close()
    store.close()
    with pytest.raises(IndexUnavailableError):
        store.search(ask(), limit=1, fusion=FLAT)
    assert found(make().open()) == ["d"]


@pytest.mark.parametrize("other", [Schema("encoder-two", DIM), Schema("encoder-one", 8), Schema("encoder-one", DIM, 1)])
def test_another_schema_is_refused_and_both_are_named(make: Make, other: Schema) -> None:
    first = make().open()
    add(first, passage("d"))
    first.close()
    with pytest.raises(IndexMismatchError, match=f"encoder-one.*{other.encoder}.*reindex"):
        make(other).open()
    assert found(make().open()) == ["d"]


# --- Writing and publishing ------------------------------------------------------------------------------------------


def test_staged_passages_are_invisible_until_published(store: Store) -> None:
    items = [passage("d", place) for place in range(3)]
    store.write(items)
    assert found(store) == []
    assert store.published("d") is None
    assert list(store.passages("d")) == []
    assert store.written(DocumentVersion("d", "v1")) == {item.passage.id for item in items}
    assert store.publish(DocumentVersion("d", "v1")) == 3
    assert found(store) == ["d"]
    assert store.published("d") == ("v1", 3)


def test_staging_a_new_version_leaves_the_old_one_visible(store: Store) -> None:
    add(store, passage("d", text="old words"))
    store.write([passage("d", version="v2", text="new words")])
    assert [hit.passage.version for hit in store.search(ask("words"), limit=5, fusion=FLAT)] == ["v1"]
    assert store.publish(DocumentVersion("d", "v2")) == 1
    assert [hit.passage.version for hit in store.search(ask("words"), limit=5, fusion=FLAT)] == ["v2"]
    assert store.written(DocumentVersion("d", "v1")) == frozenset()
    assert store.info().passages == 1


def test_writing_and_publishing_twice_changes_nothing(store: Store) -> None:
    items = [passage("d", place, section=f"s{place}") for place in range(4)]
    add(store, *items)
    before = store.search(ask(), limit=10, fusion=Fusion())
    add(store, *items)
    store.write(items)  # a published passage stays published
    assert store.search(ask(), limit=10, fusion=Fusion()) == before
    assert (store.info().passages, store.info().sections) == (4, 4)


def test_going_back_to_an_earlier_version(store: Store) -> None:
    for version in ("v1", "v2", "v1"):
        add(store, passage("d", version=version))
        assert store.published("d") == (version, 1)
        assert [hit.passage.version for hit in store.search(ask(), limit=5, fusion=FLAT)] == [version]


def test_a_half_staged_version_is_resumed(make: Make) -> None:
    items = [passage("d", place) for place in range(6)]
    first = make().open()
    first.write(items[:3])
    first.close()
    store = make().open()
    missing = [item for item in items if item.passage.id not in store.written(DocumentVersion("d", "v1"))]
    assert missing == items[3:]
    store.write(missing)
    assert store.publish(DocumentVersion("d", "v1")) == 6


def test_publishing_what_was_not_written_keeps_what_is_there(store: Store) -> None:
    add(store, passage("d"))
    with pytest.raises(NotFoundError):
        store.publish(DocumentVersion("d", "v2"))
    assert store.published("d") == ("v1", 1)


def test_discarding_removes_what_is_staged_and_nothing_else(store: Store) -> None:
    add(store, passage("d", version="v1"))
    store.write([passage("d", 1, version="v2"), passage("d", 2, version="v3"), passage("e")])
    store.discard(DocumentVersion("d", "v1"))
    store.discard(DocumentVersion("d", "v2"))
    assert store.published("d") == ("v1", 1)
    assert [len(store.written(DocumentVersion("d", version))) for version in ("v1", "v2", "v3")] == [1, 0, 1]
    assert len(store.written(DocumentVersion("e", "v1"))) == 1


def test_less_than_a_whole_version_is_not_published(store: Store) -> None:
    add(store, passage("d", version="v1"))
    store.write([passage("d", place, version="v2") for place in range(2)])
    with pytest.raises(NotFoundError):
        store.publish(DocumentVersion("d", "v2"), 3)
    assert store.published("d") == ("v1", 1)
    assert store.publish(DocumentVersion("d", "v2"), 2) == 2


def test_many_passages_pass_page_limits(store: Store) -> None:
    items = [passage("d", place, section=f"s{place // 2}") for place in range(600)]
    add(store, *reversed(items))
    assert store.published("d") == ("v1", 600)
    assert [each.start for each in store.passages("d")] == [item.passage.start for item in items]
    assert store.info().sections == 300
    assert store.delete("d") == 600


def test_a_passage_comes_back_as_it_was_written(store: Store) -> None:
    item = passage("d", text="Zürich — 東京 🗼", metadata={"year": 1999, "f": 2.0, "b": True, "many": ("a", 1, 2.5)})
    add(store, item)
    (hit,) = store.search(ask("東京"), limit=1, fusion=FLAT)
    assert hit.passage == item.passage
    assert list(store.passages("d")) == [item.passage]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (passage("d", vector=np.ones(3, dtype=np.float32)), InvalidRequestError),
        (passage("d", vector=np.full(DIM, np.nan, dtype=np.float32)), InvalidRequestError),
        (passage("d", text="\ud800"), MalformedDocumentError),
        (
            EmbeddedPassage(passage("d").passage.model_copy(update={"id": "7"}), direction(1.0), "t"),
            InvalidRequestError,
        ),
    ],
)
def test_bad_passages_are_refused_and_nothing_is_lost(store: Store, bad: EmbeddedPassage, error: type) -> None:
    add(store, passage("kept"))
    with pytest.raises(error):
        store.write([bad])
    assert found(store) == ["kept"]


# --- Deleting --------------------------------------------------------------------------------------------------------


def test_deleting_removes_every_state_of_a_document(store: Store) -> None:
    add(store, passage("d", 0, section="a"), passage("d", 1, section="b"), passage("kept"))
    store.write([passage("d", version="v2"), passage("staged")])
    assert store.delete("d") == 3
    assert store.delete("d") == 0
    assert store.delete("staged") == 1
    assert store.info().sections == 0
    assert found(store) == ["kept"]


def test_tenants_do_not_see_or_touch_each_other(store: Store) -> None:
    add(store, passage("d", tenant="a", text="secret of a"))
    store.write([passage("d", tenant="b", version="v2", text="secret of b")])
    store.publish(DocumentVersion("d", "v2"))
    for tenant, version in (("a", "v1"), ("b", "v2")):
        hits = store.search(ask("secret"), limit=5, fusion=FLAT, filter=Filter(tenant=tenant))
        assert [hit.passage.version for hit in hits] == [version]
    assert found(store) == []
    assert [each.version for each in store.passages("d", tenant="a")] == ["v1"]
    assert store.delete("d", tenant="c") == 0
    assert store.delete("d", tenant="a") == 1
    assert found(store, tenant="b") == ["d"]


# --- Searching -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reader", "seen"),
    [
        (None, {"open", "red", "blue", "both"}),
        ((), {"open"}),
        (("red",), {"open", "red", "both"}),
        (("blue", "other"), {"open", "blue", "both"}),
        (("unknown",), {"open"}),
        (("*",), {"open"}),
    ],
)
@pytest.mark.parametrize("fusion", [FLAT, Fusion(dense=0.01, bm25=0.01, section=5.0)])
def test_a_reader_sees_what_has_no_label_or_one_of_theirs(
    store: Store, reader: tuple[str, ...] | None, seen: set[str], fusion: Fusion
) -> None:
    for document, labels in {"open": (), "red": ("red",), "blue": ("blue",), "both": ("blue", "red")}.items():
        parts = (passage(document, place, labels=labels, section=f"part {place}") for place in range(3))
        add(store, *parts)
    wanted = Filter(labels=reader)
    hits = store.search(ask("title of part plain"), limit=50, fusion=fusion, filter=wanted)
    assert {hit.passage.document_id for hit in hits} == seen
    told = {label for hit in hits for label in hit.passage.labels}
    assert told == ({"red", "blue"} if reader is None else {"red", "blue"} & set(reader))


def test_a_replaced_document_has_only_its_new_labels(store: Store) -> None:
    add(store, passage("a", labels=("red",)))
    add(store, passage("a", version="v2", labels=("blue",)))
    assert found(store, labels=("red",)) == []
    assert found(store, labels=("blue",)) == ["a"]


def test_scores_are_the_weighted_reciprocal_ranks(store: Store) -> None:
    items = [
        passage("a", text="apple", vector=direction(1, 0)),
        passage("b", text="apple banana", vector=direction(1, 1)),
        passage("c", text="cherry", vector=direction(0.1, 1)),
    ]
    add(store, *items)
    hits = store.search(ask("cherry", direction(1.0)), limit=3, fusion=Fusion(rrf_k=10, dense=1, bm25=0.5, section=0))
    scores = {hit.passage.document_id: hit.score for hit in hits}
    assert scores == pytest.approx({"a": 1 / 11, "b": 1 / 12, "c": 1 / 13 + 0.5 / 11})
    assert [hit.passage.document_id for hit in hits] == ["c", "a", "b"]


def test_a_weight_of_zero_leaves_a_ranking_out(store: Store) -> None:
    add(store, passage("near", text="nothing"), passage("words", text="apple", vector=direction(0, 1)))
    by_words = store.search(ask("apple"), limit=5, fusion=Fusion(dense=0, section=0))
    assert [hit.passage.document_id for hit in by_words] == ["words"]
    by_vector = store.search(ask("apple"), limit=1, fusion=Fusion(bm25=0, section=0))
    assert [hit.passage.document_id for hit in by_vector] == ["near"]
    assert store.search(ask("apple"), limit=5, fusion=Fusion(dense=0, bm25=0)) == []


@pytest.mark.parametrize("text", ["", "the of and", "   ", "\ud800"])
def test_a_query_without_terms_is_searched_by_its_vector(store: Store, text: str) -> None:
    add(store, passage("d"))
    assert len(store.search(ask(text), limit=5, fusion=Fusion())) == 1


def test_a_query_without_a_vector_is_searched_by_its_words_alone(store: Store) -> None:
    add(store, passage("words", text="viaduct"), passage("near", text="other", vector=direction(1.0)))
    hits = store.search([RankedQuery("viaduct", None)], limit=5, fusion=FLAT)
    assert [hit.passage.document_id for hit in hits] == ["words"]


def test_queries_vote_by_their_weight(store: Store) -> None:
    add(store, passage("a", vector=direction(1, 0)), passage("b", vector=direction(0, 1)))
    queries = [*ask("", direction(1, 0), weight=1.0), *ask("", direction(0, 1), weight=3.0)]
    hits = store.search(queries, limit=2, fusion=FLAT)
    assert [hit.passage.document_id for hit in hits] == ["b", "a"]
    assert hits[0].score == pytest.approx(3 / 61 + 1 / 62)


def test_equal_scores_come_in_the_order_of_ids(store: Store) -> None:
    items = [passage(f"d{number}", text="same") for number in range(9)]
    add(store, *items)
    hits = store.search(ask("same"), limit=9, fusion=FLAT)
    assert [hit.passage.id for hit in hits] == sorted(item.passage.id for item in items)


def test_the_limit_cuts_and_does_not_change_scores(store: Store) -> None:
    rng = np.random.default_rng(3)
    words = ["alpha", "beta", "gamma", "delta"]
    add(
        store,
        *(
            passage(
                f"d{place // 8}",
                place,
                text=" ".join(rng.choice(words, 5)),
                vector=direction(*rng.normal(size=DIM)),
                section=f"s{place % 3}",
            )
            for place in range(64)
        ),
    )
    queries = ask("alpha beta", direction(*rng.normal(size=DIM)))
    everything = store.search(queries, limit=64, fusion=Fusion())
    assert store.search(queries, limit=5, fusion=Fusion()) == everything[:5]
    with pytest.raises(InvalidRequestError):
        store.search(queries, limit=0, fusion=Fusion())


def test_descent_lifts_passages_of_the_best_section(store: Store) -> None:
    add(
        store,
        passage("d", 0, section="Engines", text="one", vector=direction(1, 0.9)),
        passage("d", 1, section="Engines", text="two", vector=direction(1, 0.8)),
        passage("d", 2, section="Wings", text="three", vector=direction(1, 0.85)),
        passage("d", 3, section="Wings", text="four", vector=direction(-1, 1)),
    )
    assert store.info().sections == 2
    query = ask("engines", direction(1, 0))
    plain = {hit.passage.start: hit.score for hit in store.search(query, limit=4, fusion=FLAT)}
    lifted = {hit.passage.start: hit.score for hit in store.search(query, limit=4, fusion=Fusion(sections=1))}
    assert {start for start in plain if lifted[start] > plain[start]} == {0, 100}


def test_documents_of_one_section_need_no_section_point(store: Store) -> None:
    add(store, passage("d", 0), passage("d", 1))
    assert store.info().sections == 0
    assert store.search(ask(), limit=5, fusion=Fusion()) == store.search(ask(), limit=5, fusion=FLAT)


def test_sections_of_a_replaced_version_go_with_it(store: Store) -> None:
    add(store, *(passage("d", place, section=f"s{place}") for place in range(3)))
    add(store, *(passage("d", place, section=f"s{place}", version="v2") for place in range(2)))
    assert store.info().sections == 2
    hits = store.search(ask(), limit=9, fusion=Fusion())
    assert {hit.passage.version for hit in hits} == {"v2"}


@pytest.mark.parametrize("fusion", [FLAT, Fusion()], ids=["flat", "descent"])
@pytest.mark.parametrize(
    ("wanted", "documents"),
    [
        ({"year": 1999}, ["a"]),
        ({"year": 1999.0}, ["a"]),
        ({"year": (1999, 2005)}, ["a", "b"]),
        ({"year": Range(gt=1999)}, ["b"]),
        ({"year": Range(gte=1999, lt=2005)}, ["a"]),
        ({"ratio": 0.5}, ["a"]),
        ({"city name": "Bern"}, ["a"]),
        ({"city name": ("Bern", "Genf")}, ["a", "b"]),
        ({"tags": "x"}, ["a", "b"]),
        ({"tags": ("y", 7)}, ["b"]),
        ({"flag": True}, ["a"]),
        ({"flag": (False, "maybe")}, ["b"]),
        ({"flag": 1}, []),
        ({"year": 1999, "city name": "Genf"}, []),
        ({"absent": "x"}, []),
        ({"tags": ()}, []),
        ({"dotted.name": "v"}, ["a"]),
        ({"big": 2**60 + 1}, ["a"]),
    ],
)
def test_filters_apply_inside_the_index(store: Store, wanted: dict, documents: list[str], fusion: Fusion) -> None:
    first = {"year": 1999, "ratio": 0.5, "city name": "Bern", "tags": ("x",), "flag": True, "dotted.name": "v"}
    second = {"year": 2005, "ratio": 0.75, "city name": "Genf", "tags": ("x", "y"), "flag": False}
    for place in range(2):
        store.write([passage("a", place, section=f"s{place}", metadata=first | {"big": 2**60 + 1})])
        store.write([passage("b", place, section=f"s{place}", metadata=second | {"big": 2**60})])
    for document in ("a", "b"):
        store.publish(DocumentVersion(document, "v1"))
    assert found(store, fusion, metadata=wanted) == documents


def test_filter_by_documents(store: Store) -> None:
    add(store, passage("a"), passage("b"), passage("c"))
    assert found(store, document_ids=("a", "c")) == ["a", "c"]


@pytest.mark.parametrize("wanted", [{'quo"te': 1}, {"": 1}, {"year": 2**70}, {"year": (1, float("nan"))}])
def test_filters_that_cannot_be_said_are_refused(store: Store, wanted: dict) -> None:
    with pytest.raises(InvalidRequestError):
        found(store, metadata=wanted)


def test_hostile_names_and_texts_are_data(store: Store) -> None:
    add(
        store,
        passage("a", text="x' OR 1=1 --\0 {{7*7}}", metadata={'a"b': "v", "": "w", "n": float("inf"), "h": 2**80}),
    )
    (hit,) = store.search(ask("x"), limit=2, fusion=FLAT)
    assert hit.passage.metadata == {'a"b': "v", "": "w", "n": float("inf"), "h": 2**80}


# --- Replacing the collection ----------------------------------------------------------------------------------------


def test_a_shadow_takes_the_place_of_the_live_collection(make: Make) -> None:
    store = make().open()
    add(store, passage("old"))
    other = Schema("encoder-two", 8)
    shadow = store.shadow(other)
    small = EmbeddedPassage(passage("new").passage, direction(1.0)[:8], "default")
    add(shadow, small)
    assert found(store) == ["old"]
    store.swap(shadow)
    hits = store.search(ask(vector=direction(1.0)[:8]), limit=5, fusion=FLAT)
    assert [hit.passage.document_id for hit in hits] == ["new"]
    assert store.info().schema == other
    store.close()
    with pytest.raises(IndexMismatchError):
        make().open()
    assert make(other).open().published("new") == ("v1", 1)


def test_a_shadow_that_was_left_is_taken_up_again(make: Make) -> None:
    other = Schema("encoder-two", DIM)
    store = make().open()
    add(store, passage("old"))
    left = store.shadow(other)
    add(left, passage("new"))
    build = left.build
    left.close()
    store.close()
    store = make(other).open(any_schema=True)
    assert (store.info().schema, found(store)) == (SCHEMA, ["old"])
    shadow = store.shadow(other, resume=build)
    assert (shadow.build, shadow.published("new")) == (build, ("v1", 1))
    store.swap(shadow)
    assert store.build == build
    assert found(store) == ["new"]


@pytest.mark.parametrize("schema", [SCHEMA, Schema("encoder-three", DIM)])
def test_a_shadow_with_another_schema_is_not_taken_up(make: Make, schema: Schema) -> None:
    store = make().open()
    shadow = store.shadow(Schema("encoder-two", DIM))
    add(shadow, passage("new"))
    build = shadow.build
    shadow.close()
    again = store.shadow(schema, resume=build if schema == SCHEMA else "no such build")
    assert again.published("new") is None
    again.close()
    assert store.drop_leftovers() == 1
    assert store.drop_leftovers() == 0


def test_only_a_shadow_of_this_index_can_be_swapped_in(store: Store) -> None:
    with pytest.raises(InvalidRequestError):
        store.swap(store)
    assert store.info().schema == SCHEMA


def test_compacting_keeps_everything(store: Store) -> None:
    add(store, *(passage(f"d{number}") for number in range(10)))
    before = store.search(ask(), limit=10, fusion=FLAT)
    store.compact()
    assert store.search(ask(), limit=10, fusion=FLAT) == before


# --- Concurrency -----------------------------------------------------------------------------------------------------


def test_readers_see_exactly_one_version_while_a_document_is_replaced(store: Store, kind: str) -> None:
    add(store, *(passage("d", place, version="v0", section=f"s{place % 2}") for place in range(8)))
    add(store, passage("other"))
    stop, wrong, missed, searches = threading.Event(), [], [], []

    def read() -> None:
        while not stop.is_set():
            hits = store.search(ask(), limit=20, fusion=Fusion())
            seen = [hit.passage.version for hit in hits if hit.passage.document_id == "d"]
            searches.append(1)
            if not seen and kind == "server":  # replaced during each of its tries: rare, and never a mix
                missed.append(1)
            elif len(set(seen)) != 1 or (kind == "embedded" and len(seen) != 8):
                wrong.append(seen)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 51):
            version = f"v{number}"
            store.write([passage("d", place, version=version, section=f"s{place % 2}") for place in range(8)])
            store.publish(DocumentVersion("d", version))
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert wrong == []
    assert len(searches) > 10
    assert len(missed) <= len(searches) / 10
    assert store.published("d") == ("v50", 8)
