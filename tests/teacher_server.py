"""A teacher's server on loopback that answers, charges and misbehaves by script, and keeps its own count."""

import json
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INPUT_TOKENS, OUTPUT_TOKENS = 40, 8  # what every answer is billed for
ROW = re.compile(r"^\[(\d+)\] ASSISTANT (<[0-9a-f]{8}>)\n(.*?)\n\[\1\] END \2$", re.MULTILINE | re.DOTALL)


def chat(text, finish="stop", **more):
    usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return {"choices": [choice], "usage": usage} | more


def by_quality(body):
    """What an infallible teacher says: rows by the quality in their responses, without the WRONG ones."""
    rows = [(int(number), text) for number, _, text in ROW.findall(body["messages"][-1]["content"])]
    right = [(float(re.search(r"quality (\d+)", text)[1]), -number) for number, text in rows if "WRONG" not in text]
    return " > ".join(f"[{-number}]" for _, number in sorted(right, reverse=True)) or "none"


def echo(body):
    return body["messages"][-1]["content"].upper()


class Teacher(ThreadingHTTPServer):
    """Each call is answered with `script(place of the call, its body)`:

    text (an answer), a dict (that JSON), (status, headers, body), or one of the words below.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, script):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script, self.turn = script, threading.Lock()
        self.bodies, self.paths, self.headers, self.times = [], [], [], []
        self.answered = Counter()  # prompts that were answered in full
        self.busy = self.most_busy = 0
        self.closing = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, client_address):
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        server = self.server
        raw = self.rfile.read(int(self.headers["content-length"]))
        body = json.loads(raw)
        with server.turn:
            place = len(server.bodies)
            server.bodies.append(body)
            server.paths.append(self.path)
            server.headers.append(dict(self.headers))
            server.times.append(time.monotonic())
            server.busy += 1
            server.most_busy = max(server.most_busy, server.busy)
        try:
            self.answer(server.script(place, body), body)
        finally:
            with server.turn:
                server.busy -= 1

    def answer(self, what, body):
        if what == "hang":
            self.server.closing.wait(20)
            self.close_connection = True
        elif what == "drop":  # the connection breaks before a word was said
            self.close_connection = True
        elif what == "cut":  # it breaks in the middle of the answer
            self.reply(200, {}, json.dumps(chat("[1]")), missing=20)
        elif what == "drip":
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            while not self.server.closing.wait(0.05):
                self.wfile.write(b" ")
        elif isinstance(what, tuple):
            self.reply(*what)
        else:
            good = what if isinstance(what, dict) else chat(what)
            with self.server.turn:
                self.server.answered[json.dumps(body, sort_keys=True)] += 1
            self.reply(200, {}, json.dumps(good))

    def reply(self, status, headers, body, missing=0):
        data = body.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) - missing])
        self.close_connection = self.close_connection or missing > 0


@contextmanager
def serving(script):
    with Teacher(script) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self):
        self.now, self.slept, self.turn = 1000.0, [], threading.Lock()

    def clock(self):
        with self.turn:
            return self.now

    def sleep(self, seconds):
        with self.turn:
            self.now += seconds
            self.slept.append(seconds)
