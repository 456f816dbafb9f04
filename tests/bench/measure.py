"""Instructions per 2 KB API Gateway invocation, ours against lambda_runtime: `python3 tests/bench/measure.py`.

A Runtime API on loopback hands out N events; callgrind counts the program's instructions for a small and a large N,
and the difference is what an invocation costs. Needs valgrind.
"""
import http.server, json, os, re, subprocess, sys, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
ITEMS = [{"sku": f"SKU-{i:04}", "qty": i + 1, "price_cents": 1250 + i} for i in range(12)]
EVENT = json.dumps({
    "version": "2.0", "routeKey": "$default", "rawPath": "/orders", "rawQueryString": "a=1&b=2",
    "cookies": ["s=1"], "headers": {f"x-header-{i}": "value" * 3 for i in range(10)} | {"content-type": "application/json"},
    "requestContext": {"accountId": "123456789012", "apiId": "id", "domainName": "id.execute-api.eu-west-1.amazonaws.com",
        "domainPrefix": "id", "http": {"method": "POST", "path": "/orders", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
        "userAgent": "agent"}, "requestId": "id", "routeKey": "$default", "stage": "$default",
        "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1583348638390},
    "body": json.dumps({"order_id": "o-1", "items": ITEMS}), "isBase64Encoded": False}).encode()


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    left, process, answers = 0, None, []

    def log_message(self, *_):
        pass

    def do_GET(self):
        cls = type(self)
        if cls.left == 0:
            cls.process.terminate()
            time.sleep(60)
        cls.left -= 1
        self.send_response(200)
        for name, value in {"Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 60000), "Content-Type": "application/json",
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:1:function:f",
                "Content-Length": str(len(EVENT))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(EVENT)

    def do_POST(self):
        length = self.headers.get("Content-Length")
        if length is None:
            body = b""
            while (size := int(self.rfile.readline(), 16)):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(length))
        type(self).answers.append(body)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()


def count(program, events):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Api.left, Api.answers = events, []
    env = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}", "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_REGION": "eu-west-1",
        "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_LOG_GROUP_NAME": "g",
        "AWS_LAMBDA_LOG_STREAM_NAME": "s", "PATH": os.environ["PATH"]}
    Api.process = subprocess.Popen(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program], env=env,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    text = Api.process.stderr.read()
    server.shutdown()
    assert len(Api.answers) == events, (len(Api.answers), text)
    assert all(b'total_cents' in a and b'"statusCode":200' in a for a in Api.answers), Api.answers[0]
    return int(re.search(r"Collected : (\d+)", text).group(1))


def main():
    subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", f"{HERE}/Cargo.toml"], check=True)
    target = os.environ.get("CARGO_TARGET_DIR", f"{HERE}/target")
    cost = {}
    for name in ("anchor", "ours"):
        few, many = (count(f"{target}/release/{name}", n) for n in (100, 500))
        cost[name] = (many - few) / 400
        print(f"{name}: {cost[name]:.0f} instructions per invocation ({len(EVENT)} bytes)")
    print(f"ratio: {cost['ours'] / cost['anchor']:.2f}")


if __name__ == "__main__":
    sys.exit(main())
