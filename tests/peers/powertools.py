"""Reads cases (model, payload) on stdin, writes what AWS's parser models make of them, or their refusal."""

import datetime
import decimal
import hashlib
import json
import sys

from aws_lambda_powertools.utilities.data_classes import S3Event
from aws_lambda_powertools.utilities.parser import models


def plain(value):
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise TypeError(f"a time without a zone: {value}")
        return round(value.timestamp() * 1000)
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def read(case):
    model = getattr(models, case["model"])
    try:
        seen = model.model_validate(case["payload"]).model_dump(by_alias=True)
    except ValueError as refusal:
        return {"refused": str(refusal)}
    if case["model"] == "S3Model":
        # The parser leaves keys as they are written; the library's other half decodes them.
        seen["decoded_key"] = S3Event(case["payload"]).object_key
    if case["model"] == "SqsModel":
        seen["md5"] = [hashlib.md5(r["body"].encode()).hexdigest() for r in seen["Records"]]
    return {"read": seen}


json.dump([read(case) for case in json.load(sys.stdin)], sys.stdout, default=plain)
