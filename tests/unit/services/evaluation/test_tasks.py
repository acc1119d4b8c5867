import pytest

from pipelines.core.errors import InvalidRequestError
from services.evaluation.data.sets import SETS
from services.evaluation.tasks import TASKS, tasks_of


def test_every_set_has_tasks_each_once_and_none_needs_an_index_of_nothing() -> None:
    for name, adapter in SETS.items():
        offered = [task.name for task in tasks_of(name)]
        assert offered
        assert len(set(offered)) == len(offered)
        assert adapter.corpus or not any(task.needs_index for task in tasks_of(name))
    assert {name for task in TASKS for name in task.sets} == set(SETS)


def test_a_task_is_found_by_name_or_refused_with_those_that_there_are() -> None:
    (task,) = tasks_of("nq_gold", "path")
    assert task.name == "path"
    with pytest.raises(InvalidRequestError, match="`ingest_docs` has no task `path`; it has conversion"):
        tasks_of("ingest_docs", "path")
