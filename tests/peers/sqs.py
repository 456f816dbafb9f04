"""What AWS's own library for Python makes of a queue, and how it signs."""
import boto3, botocore.auth, botocore.awsrequest, botocore.credentials, datetime, json, sys


def client(given, service):
    return boto3.client(service, endpoint_url=given["endpoint"], region_name="eu-west-1",
        aws_access_key_id="test", aws_secret_access_key="test")


def users(given):
    """A queue, a user who may send to it, and one who may do nothing."""
    url = client(given, "sqs").create_queue(QueueName="outbox")["QueueUrl"]
    iam, keys = client(given, "iam"), []
    for name in ("sender", "stranger"):
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys.append([key["AccessKeyId"], key["SecretAccessKey"]])
    # AWS asks for sqs:SendMessage for batches too; ministack for an action of their own, which AWS does not have.
    statement = {"Effect": "Allow", "Action": "sqs:SendMessage*", "Resource": "arn:aws:sqs:eu-west-1:000000000000:outbox"}
    iam.put_user_policy(UserName="sender", PolicyName="send",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    return {"url": url, "keys": keys}


def received(given):
    """Everything in the queue, as Lambda is given it."""
    sqs, records = client(given, "sqs"), []
    while True:
        got = sqs.receive_message(QueueUrl=given["url"], MaxNumberOfMessages=10, AttributeNames=["All"],
            MessageAttributeNames=["All"]).get("Messages", [])
        if not got:
            return records
        for message in got:
            attributes = {name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
                for name, value in message.get("MessageAttributes", {}).items()}
            records.append({"messageId": message["MessageId"], "body": message["Body"], "attributes": message["Attributes"],
                "messageAttributes": attributes, "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:000000000000:outbox"})


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(cls.seconds, tz)

    @classmethod
    def utcnow(cls):
        return cls.fromtimestamp(cls.seconds, datetime.timezone.utc).replace(tzinfo=None)


def signatures(given):
    answers = []
    botocore.auth.datetime.datetime = Clock
    botocore.auth.get_current_datetime = lambda: Clock.utcnow()
    for case in given["cases"]:
        Clock.seconds = case["time"]
        url = f"https://{dict(case['headers'])['host']}{case['path']}" + (f"?{case['query']}" if case["query"] else "")
        request = botocore.awsrequest.AWSRequest(case["method"], url, data=case["body"].encode())
        for name, value in case["headers"]:
            request.headers[name] = value
        credentials = botocore.credentials.Credentials(case["key"], case["secret"], case["token"])
        botocore.auth.SigV4Auth(credentials, case["service"], case["region"]).add_auth(request)
        answers.append({name: request.headers.get(name) for name in ("X-Amz-Date", "Authorization")})
    return answers


given = json.load(sys.stdin)
print(json.dumps({"users": users, "received": received, "signatures": signatures}[given["do"]](given)))
