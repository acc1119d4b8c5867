"""Run as `python ledger_child.py ADDRESS CLAIM|DRAIN|OPEN`: a worker process for the ledger's contract suite."""

import sys
import time

from pipelines.core.state import Ledger, owner_id


def main(address: str, action: str) -> None:
    ledger = Ledger(address)
    if action == "CLAIM":
        for item in ledger.leases.claim(1, owner_id(), lease_s=3600):
            print(item.document_id, flush=True)
        time.sleep(60)
    elif action == "DRAIN":
        while items := ledger.leases.claim(3, owner_id(), lease_s=60):
            for item in items:
                print(item.document_id, flush=True)
                assert ledger.leases.finish(item, passages=1, title="t", text_key=None)
    else:
        print(ledger.counts().oldest_queued_s)


if __name__ == "__main__":
    main(*sys.argv[1:])
