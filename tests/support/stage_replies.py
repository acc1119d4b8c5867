"""A small model that does each stage well, for questions about the lighthouse of Brannoch, built in 1871."""

import json

from tests.support.model_stub import Behaviour, Reply, Request


def replies(request: Request) -> Behaviour:
    """A model that does each small stage well."""
    system, data = request.messages[0]["content"], json.loads(request.prompt)
    if "prepare searches" in system:
        return Reply(json.dumps({"standalone": data["question"], "queries": ["Brannoch lighthouse year"]}))
    if "choose evidence" in system:
        found = [
            {"passage": passage["number"], "sentences": [int(number) for number in passage["sentences"]]}
            for passage in data["passages"]
        ]
        return Reply(json.dumps({"keep": found, "answerable": True}))
    sources = [source["number"] for source in data["sources"] if "1871" in source["text"]]
    bindings = [{"claim": claim["number"], "sources": sources} for claim in data["claims"] if "1871" in claim["text"]]
    return Reply(json.dumps({"bindings": bindings}))
