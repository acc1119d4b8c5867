import os
import subprocess
import sys

from pipelines.core.state.owners import is_dead, owner_id


def test_this_process_lives() -> None:
    assert not is_dead(owner_id())
    assert not is_dead(f"{owner_id()}/thread-1")


def test_an_earlier_process_with_the_same_pid_is_dead() -> None:
    assert is_dead(owner_id().rpartition(":")[0] + ":0123456789ab")


def test_a_process_is_dead_once_it_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = owner_id().replace(f":{os.getpid()}:", f":{child.pid}:")
    assert not is_dead(owner)
    child.communicate(b"\n")
    assert is_dead(owner)


def test_nothing_is_known_of_other_hosts_and_other_names() -> None:
    pid = owner_id().split(":")[1]
    for owner in (f"elsewhere:{pid}:x", "", "worker-1", "a:b:c", f"{owner_id().split(':')[0]}:x:y"):
        assert not is_dead(owner)


def test_a_fork_is_another_owner() -> None:
    mine = owner_id()
    code = (
        "import os; from pipelines.core.state.owners import owner_id as o; a = o(); p = os.fork(); b = o(); "
        "assert (a == b) == (p != 0); os._exit(0) if p == 0 else os.waitpid(p, 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert owner_id() == mine
