"""Lambda's Runtime API on loopback: hands out N events, then leaves the last question open."""
import selectors, socket, threading, time


class RuntimeApi:
    def __init__(self, event, count):
        self.event, self.left = event, count
        self.answers, self.connections, self.polled, self.answered = [], 0, None, None
        self.done = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.open = True
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def environment(self):
        return {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.port}", "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_REGION": "eu-west-1",
            "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_LOG_GROUP_NAME": "g",
            "AWS_LAMBDA_LOG_STREAM_NAME": "s"}

    def close(self):
        self.open = False
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()

    def serve(self):
        while self.open:
            for key, _ in self.selector.select():
                if key.data is None:
                    peer, _ = self.listener.accept()
                    if not self.open:
                        peer.close()
                        return
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.connections += 1
                    self.selector.register(peer, selectors.EVENT_READ, bytearray())
                else:
                    self.read(key.fileobj, key.data)

    def read(self, peer, buffer):
        try:
            piece = peer.recv(1 << 18)
        except ConnectionResetError:
            piece = b""
        if not piece:
            self.selector.unregister(peer)
            peer.close()
            return
        buffer += piece
        while (request := whole(buffer)) is not None:
            self.answer(peer, *request)

    def answer(self, peer, method, body):
        if method == b"GET":
            self.polled = self.polled or time.monotonic()
            if self.left == 0:
                self.done.set()
                return
            self.left -= 1
            deadline = int(time.time() * 1000) + 60_000
            peer.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
                b"Lambda-Runtime-Deadline-Ms: %d\r\n"
                b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:123456789012:function:f\r\n"
                b"Lambda-Runtime-Trace-Id: Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1\r\n"
                b"Date: Thu, 12 Mar 2020 19:03:58 GMT\r\nContent-Length: %d\r\n\r\n" % (deadline, len(self.event))
                + self.event)
        else:
            self.answered = self.answered or time.monotonic()
            self.answers.append(body)
            peer.sendall(
                b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nDate: Thu, 12 Mar 2020 19:03:58 GMT\r\n"
                b"Content-Length: 16\r\n\r\n{\"status\":\"OK\"}\n")


def whole(buffer):
    """Takes a request off the buffer once it is all there: its method and body."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(buffer[:end]).lower()
    method = bytes(buffer[:buffer.find(b" ")])
    at = end + 4
    if b"transfer-encoding: chunked" in head:
        body = bytearray()
        while True:
            line = buffer.find(b"\r\n", at)
            if line < 0:
                return None
            size = int(buffer[at:line], 16)
            at = line + 2 + size + 2
            if len(buffer) < at:
                return None
            body += buffer[line + 2:line + 2 + size]
            if size == 0:
                break
    else:
        mark = head.find(b"content-length:")
        length = int(head[mark + 15:].split(b"\r\n", 1)[0]) if mark >= 0 else 0
        if len(buffer) < at + length:
            return None
        body = buffer[at:at + length]
        at += length
    body = bytes(body)
    del buffer[:at]
    return method, body
