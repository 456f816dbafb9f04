"""Reads protobuf messages (base64) on stdin, writes what Google's own types make of them."""

import base64
import json
import sys

from google.events.cloud.firestore_v1 import DocumentEventData
from google.protobuf.json_format import MessageToDict


def value(read):
    kind = read.WhichOneof("value_type")
    if kind == "null_value":
        return None
    if kind == "map_value":
        return {name: value(field) for name, field in read.map_value.fields.items()}
    if kind == "array_value":
        return [value(element) for element in read.array_value.values]
    return getattr(read, kind)


def document(message, field):
    if not message.HasField(field):
        return None
    read = getattr(message, field)
    fields = {name: value(each) for name, each in read.fields.items()}
    return {"name": read.name, "fields": fields, "updated": read.update_time.seconds}


def read(case):
    message = DocumentEventData.pb(DocumentEventData.deserialize(base64.b64decode(case)))
    return {
        "old": document(message, "old_value"),
        "new": document(message, "value"),
        "mask": sorted(message.update_mask.field_paths),
        "json": MessageToDict(message),
    }


json.dump([read(case) for case in json.load(sys.stdin)], sys.stdout)
