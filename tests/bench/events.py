"""What the subjects are asked: an order in the envelope of API Gateway, ten orders in that of SQS, an order by itself."""
import json


def order(items):
    return {"order_id": "o-1", "items": [
        {"sku": f"SKU-{i:04}", "qty": i + 1, "price_cents": 1250 + i} for i in range(items)]}


def gateway(items):
    """Payload 2.0, as the service writes it: without spaces."""
    body = json.dumps(order(items), separators=(",", ":"))
    return compact({
        "version": "2.0", "routeKey": "$default", "rawPath": "/orders", "rawQueryString": "source=web&ref=mail",
        "cookies": ["session=8f14e45fceea167a"],
        "headers": {
            "accept": "*/*", "accept-encoding": "gzip, deflate, br", "accept-language": "en-US,en;q=0.5",
            "content-length": str(len(body)),
            "content-type": "application/json", "host": "id.execute-api.eu-west-1.amazonaws.com",
            "origin": "https://shop.example.com", "referer": "https://shop.example.com/basket?step=pay",
            "sec-fetch-dest": "empty", "sec-fetch-mode": "cors", "sec-fetch-site": "cross-site",
            "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "x-amzn-trace-id": "Root=1-67891233-abcdef012345678912345678", "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "443", "x-forwarded-proto": "https"},
        "queryStringParameters": {"source": "web", "ref": "mail"},
        "requestContext": {
            "accountId": "123456789012", "apiId": "id", "domainName": "id.execute-api.eu-west-1.amazonaws.com",
            "domainPrefix": "id", "http": {
                "method": "POST", "path": "/orders", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
            "requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default", "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1583348638390},
        "body": body, "isBase64Encoded": False})


def queue(records):
    """Records as SQS hands them over."""
    return compact({"Records": [{
        "messageId": f"059f36b4-87a3-44ab-83d2-66197597{i:04}", "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a" * 4,
        "body": json.dumps(order(3), separators=(",", ":")),
        "attributes": {
            "ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183", "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185"},
        "messageAttributes": {}, "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3", "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders", "awsRegion": "eu-west-1"}
        for i in range(records)]})


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()
