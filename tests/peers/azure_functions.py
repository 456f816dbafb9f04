"""Reads cases (binding, value, metadata) on stdin, writes what the converters of Microsoft's library make of them."""

import base64
import collections
import datetime
import json
import sys

import azure.functions as func
from azure.functions import meta


def unwrapped(value):
    """A custom handler gets strings as JSON strings, the Python worker as they are."""
    try:
        inner = json.loads(value)
    except ValueError:
        return value
    return inner if isinstance(inner, str) else value


def datum(value):
    if isinstance(value, str):
        return meta.Datum(unwrapped(value), "string")
    return meta.Datum(json.dumps(value), "json")


def data(binding, value):
    if binding.get("dataType") == "binary":
        return meta.Datum(base64.b64decode(value, validate=True), "bytes")
    return datum(value)


def plain(value):
    if isinstance(value, datetime.datetime):
        # The host writes UTC, in some places without saying so.
        return int(value.replace(tzinfo=value.tzinfo or datetime.timezone.utc).timestamp())
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


def members(seen):
    if isinstance(seen, collections.UserList):
        return [dict(document) for document in seen]
    members = {}
    for name in dir(type(seen)):
        if isinstance(getattr(type(seen), name), property):
            try:
                members[name] = getattr(seen, name)
            except NotImplementedError:
                pass
        elif name in ("get_body", "get_json"):
            try:
                members[name[4:]] = getattr(seen, name)()
            except ValueError:
                pass
    return members


def read(case):
    binding = case["binding"]
    converter = meta.get_binding_registry().get(binding["type"])
    if converter is None or not converter.has_trigger_support():
        return {"refused": f"no trigger is called {binding['type']}"}
    metadata = {name: datum(value) for name, value in case["metadata"].items()}
    try:
        seen = converter.decode(data(binding, case["value"]), trigger_metadata=metadata)
    except (ValueError, NotImplementedError) as refusal:
        return {"refused": repr(refusal)}
    return {"read": members(seen), "class": type(seen).__name__}


json.dump([read(case) for case in json.load(sys.stdin)], sys.stdout, default=plain)
