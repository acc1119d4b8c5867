"""Load for a cluster: small documents submitted for as long as it is wanted, and questions at a steady rate."""

import asyncio
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

SYLLABLES = (
    "bra",
    "dol",
    "fen",
    "gim",
    "hul",
    "jor",
    "kel",
    "lum",
    "mav",
    "nor",
    "pel",
    "quin",
    "rus",
    "tam",
    "vor",
    "zel",
)
PLACES = ("harbour", "northern quay", "old mill", "railway yard", "brewery", "airfield", "sugar works", "quarry")
WAIT_S = 0.2


def name(number: int) -> str:
    """A word of its own for each number."""
    word = ""
    for _ in range(4):
        number, syllable = divmod(number, len(SYLLABLES))
        word += SYLLABLES[syllable]
    return word.capitalize()


def litres(number: int) -> int:
    """What its tank holds."""
    return 1000 + number * 7919 % 90_000


def document(number: int, prefix: str) -> dict[str, Any]:
    """A document of one passage, for `POST /v1/documents`."""
    text = (
        f"# The {name(number)} tank\n\nThe {name(number)} tank stands at the {PLACES[number % len(PLACES)]}. It holds "
        f"{litres(number)} litres of rain water. It was inspected in {1950 + number % 70} and found to be sound.\n"
    )
    return {"text": text, "name": f"{prefix}-{number}.md", "source": f"{prefix}-{number}"}


def question(number: int) -> str:
    """What that document answers."""
    return f"How many litres of rain water does the {name(number)} tank hold?"


# --- Documents -------------------------------------------------------------------------------------------------------


class Feeder(threading.Thread):
    """Submits documents, with an idempotency key each batch, and again until the API says that it has them.

    Args:
        backlog: Documents that wait; raises when the state cannot be read.

    Attributes:
        accepted: Sources of the documents that a 202 was received for.
        refused: Submissions that were answered otherwise, or not at all, and repeated.
        at_least: Goes on until so many were accepted, and as long as `wanted` is set.
    """

    def __init__(
        self, client: httpx.Client, prefix: str, backlog: Callable[[], int], *, at_least: int, batch: int = 25
    ) -> None:
        super().__init__(name="feeder", daemon=True)
        self._client, self._prefix, self._backlog, self._batch = client, prefix, backlog, batch
        self.at_least = at_least
        self.wanted = threading.Event()
        self.wanted.set()
        self.accepted: list[str] = []
        self.refused: dict[str, int] = {}

    def run(self) -> None:
        """Keeps some seconds of work waiting."""
        while self.wanted.is_set() or len(self.accepted) < self.at_least:
            if self._waiting() < 4 * self._batch:
                first = len(self.accepted)
                documents = [document(number, self._prefix) for number in range(first, first + self._batch)]
                self._submit(documents)
                self.accepted += [each["source"] for each in documents]
            else:
                time.sleep(WAIT_S)

    def _waiting(self) -> int:
        try:
            return self._backlog()
        except Exception:  # the database is down: that is what is being tried
            return 0

    def _submit(self, documents: list[dict[str, Any]]) -> None:
        key = uuid.uuid4().hex
        while True:
            why = self._try(documents, key)
            if why is None:
                return
            self.refused[why] = self.refused.get(why, 0) + 1
            time.sleep(WAIT_S)

    def _try(self, documents: list[dict[str, Any]], key: str) -> str | None:
        try:
            response = self._client.post(
                "/v1/documents", json={"documents": documents}, headers={"Idempotency-Key": key}
            )
        except httpx.TransportError as error:
            return type(error).__name__
        if response.status_code == 202:
            return None
        problem = response.json()
        if not problem.get("retryable"):
            raise RuntimeError(f"a submission was refused for good: {problem}")
        return str(problem["code"])


# --- Questions -------------------------------------------------------------------------------------------------------

REFUSED = "connection refused"
LOST = "connection lost"
LATE = "beyond the deadline"


@dataclass
class Asked:
    """A question and how it ended, in seconds of `time.monotonic`.

    Attributes:
        ending: The answer's status, `retryable: CODE`, `connection lost` in the middle, `connection refused` by a
            server that is down, or what else came.
        right: Whether the answer holds the fact.
    """

    number: int
    began: float
    ended: float = 0.0
    ending: str = ""
    right: bool = False

    @property
    def seconds(self) -> float:
        """From asking to the end."""
        return self.ended - self.began


@dataclass
class Questions:
    """Asks at a steady rate inside a `with` block, in a thread with an event loop; who waits does not slow it down.

    Attributes:
        numbers: Documents that are asked for.
        asked: All questions, those that have ended and those that have not.
    """

    url: str
    key: str
    numbers: range
    per_second: float
    deadline_s: float = 60.0
    seed: int = 7
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="questions", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * self.deadline_s)

    def running_at(self, moment: float) -> list[Asked]:
        """The questions that were under way at a moment."""
        return [each for each in self.asked if each.began <= moment and (not each.ended or each.ended >= moment)]

    async def _run(self) -> None:
        numbers = random.Random(self.seed)
        headers = {"Authorization": f"Bearer {self.key}"}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=self.deadline_s + 5, limits=limits
        ) as client:
            tasks = set()
            while not self._stop.is_set():
                asked = Asked(numbers.choice(self.numbers), time.monotonic())
                self.asked.append(asked)
                tasks.add(asyncio.create_task(self._ask(client, asked)))
                await asyncio.sleep(numbers.expovariate(self.per_second))
            await asyncio.gather(*tasks)

    async def _ask(self, client: httpx.AsyncClient, asked: Asked) -> None:
        body = {"question": question(asked.number), "limits": {"deadline_ms": int(self.deadline_s * 1000)}}
        try:
            response = await client.post("/v1/ask", json=body)
        except httpx.TimeoutException:
            asked.ending = "no answer in time"
        except httpx.ConnectError:
            asked.ending = REFUSED
        except httpx.TransportError:
            asked.ending = LOST
        else:
            asked.ending = _ending(response)
            asked.right = response.status_code == 200 and str(litres(asked.number)) in response.text
        asked.ended = time.monotonic()


def _ending(response: httpx.Response) -> str:
    try:
        content = response.json()
    except ValueError:
        return f"status {response.status_code} without JSON"
    if response.status_code == 200:
        return str(content["status"])
    kind = "retryable" if content.get("retryable") else "error"
    return f"{kind}: {content.get('code', response.status_code)}"
