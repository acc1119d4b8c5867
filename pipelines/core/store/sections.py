"""Section points: what the descent document → section → passage ranks before it ranks passages."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.core.store import payload
from pipelines.core.store.backend import HEADINGS, Found, Point
from pipelines.core.store.bm25 import Bm25
from pipelines.core.types import Passage, Scalar

_TINY = 1e-12


@dataclass(slots=True)
class _Section:
    """One section while its passages are read: their vectors' sum, and every value of their metadata."""

    first: Passage
    tenant: str
    total: NDArray[np.float64]
    metadata: dict[str, dict[Scalar, None]]


def build(passages: Iterable[Found], bm25: Bm25) -> list[Point]:
    """One staged point a section: the normalised mean of its passages' vectors, and BM25 over title and headings.

    Its metadata holds all values of its passages, so that a filter that matches a passage matches its section.

    Args:
        passages: All passages of one version, with dense vectors; read once, so memory is bound by the sections.
        bm25: Makes the sparse vectors.
    """
    sections: dict[str, _Section] = {}
    for found in passages:
        passage = payload.decode(found.payload)
        vector = np.asarray(found.dense, dtype=np.float64)
        section = sections.get(found.payload[payload.SECTION])
        if section is None:
            section = _Section(passage, found.payload[payload.TENANT], np.zeros_like(vector), {})
            sections[found.payload[payload.SECTION]] = section
        section.total += vector
        for key, value in passage.metadata.items():
            section.metadata.setdefault(key, {}).update(dict.fromkeys(value if isinstance(value, tuple) else (value,)))
    return [_point(each, section, bm25) for each, section in sections.items()]


def _point(section_id: str, section: _Section, bm25: Bm25) -> Point:
    norm = max(float(np.linalg.norm(section.total)), _TINY)
    return Point(
        id=section_id,
        dense=(section.total / norm).tolist(),
        terms=HEADINGS,
        sparse=bm25.document(section.first.context),
        payload={
            payload.TENANT: section.tenant,
            payload.DOCUMENT: section.first.document_id,
            payload.VERSION: section.first.version,
            payload.LEVEL: payload.SECTION_LEVEL,
            payload.LABELS: payload.access(section.first.labels),
            payload.METADATA: payload.filterable({key: tuple(values) for key, values in section.metadata.items()}),
        },
    )
