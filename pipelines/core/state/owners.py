"""Who holds a lease, and whether that process still lives."""

import functools
import os
import socket
import uuid
from pathlib import Path


@functools.cache
def _process_uuid(pid: int) -> str:
    """Differs between a process and a later one that got the same pid; the argument renews it after a fork."""
    return uuid.uuid4().hex[:12]


@functools.cache
def _host() -> str:
    """Names what a pid is unique in: a host since its start, and in containers the pid namespace."""
    parts = [socket.gethostname().replace(":", "-")]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8])
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    except OSError:  # not Linux: the name alone
        pass
    return "-".join(parts)


def owner_id() -> str:
    """This process, as `host:pid:uuid`; pass it as `worker` so that a restart reclaims at once what a kill left."""
    pid = os.getpid()
    return f"{_host()}:{pid}:{_process_uuid(pid)}"


def is_dead(owner: str) -> bool:
    """Whether the owner is known to be dead. `False` for other hosts and for names of another shape: unknown."""
    host, _, rest = owner.partition(":")
    pid_text, _, token = rest.partition(":")
    if host != _host() or not pid_text.isdigit() or not token:
        return False
    pid = int(pid_text)
    if pid == os.getpid():
        return token.split("/")[0] != _process_uuid(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
