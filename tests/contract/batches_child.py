"""Run as `python batches_child.py ADDRESS CLAIM|DRAIN`: a worker process for the contract suite of batches."""

import sys
import time

from pipelines.core.state import Batches, Database, owner_id
from pipelines.core.types import Answer, AnswerStatus


def main(address: str, action: str) -> None:
    batches = Batches(Database(address))
    if action == "CLAIM":
        for item in batches.claim(1, owner_id(), lease_s=3600):
            print(item.question.text, flush=True)
        time.sleep(60)
    while items := batches.claim(3, owner_id(), lease_s=60):
        for item in items:
            answer = Answer(id=item.token, question=item.question.text, status=AnswerStatus.ANSWERED, text="Yes.")
            print(item.question.text, flush=True)
            assert batches.finish(item, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
