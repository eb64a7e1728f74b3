"""What the client does when the API, or the way to it, is in trouble: against a server that misbehaves as it is told."""

import builtins
import json
import pickle
import socket
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import warmline
from warmline import ConnectionError, ServerError, TimeoutError, ValidationError, Warmline, WarmlineApiError

IP = {"id": "ip_1"}


def answer(status, body=None, headers=()):
    def behave(handler):
        content = b"" if body is None else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return behave


def refusal(status, code, retry_after=None):
    body = {"error": {"code": code, "message": f"refused: {code}", "param": None, "details": {}}}
    return answer(status, body, [] if retry_after is None else [("Retry-After", retry_after)])


def drop(handler):
    """Hangs up before it has said a word."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def break_off(handler):
    """Hangs up in the middle of its answer."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"id":')
    handler.close_connection = True


class Misbehaving(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.connections, self.script = [], set(), []
        self.ended = threading.Event()

    def handle_error(self, request, client_address):
        pass

    def behave(self, *script):
        """Once after the other, and the last way from then on."""
        self.seen.clear()
        self.connections.clear()
        self.script = list(script)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        size = int(self.headers.get("Content-Length") or 0)
        self.server.seen.append((self.command, self.path, self.headers, self.rfile.read(size)))
        self.server.connections.add(self.client_address)
        script = self.server.script
        (script.pop(0) if len(script) > 1 else script[0])(self)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    def log_message(self, *args):
        pass


class Retries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Misbehaving()
        cls.url = f"http://127.0.0.1:{cls.server.server_address[1]}"
        threading.Thread(target=cls.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.ended.set()
        cls.server.shutdown()
        cls.server.server_close()

    def client(self, **options):
        client = Warmline(base_url=self.url, api_key="wl_secret_key", **options)
        self.addCleanup(client.close)
        return client

    def sent(self, name):
        return [headers.get(name) for _, _, headers, _ in self.server.seen]

    def hang(self, handler):
        """Takes the request and never answers."""
        self.server.ended.wait(20)

    def test_a_lost_answer_a_broken_one_and_a_503_are_each_tried_again(self):
        self.server.behave(drop, break_off, refusal(503, "server_error", "0"), answer(200, IP))
        self.assertEqual(self.client().dedicated_ips.get("ip_1"), IP)
        self.assertEqual(len(self.server.seen), 4)
        self.assertEqual(len(set(self.sent("X-Request-Id"))), 1)

    def test_a_create_is_tried_again_under_one_key(self):
        self.server.behave(drop, refusal(409, "conflict", "0"), answer(201, IP), answer(201, IP))
        client = self.client()
        client.dedicated_ips.create()
        client.dedicated_ips.create()
        client.dedicated_ips.create(idempotency_key="order-17")
        first, again, last, another, own = self.sent("Idempotency-Key")
        self.assertEqual(len(first), 36)
        self.assertEqual({first, again, last}, {first})
        self.assertNotEqual(first, another)
        self.assertEqual(own, "order-17")
        self.assertEqual([body for _, _, _, body in self.server.seen], [b""] * 5)
        self.assertEqual(self.sent("Content-Type"), [None] * 5)

    def test_a_take_is_sent_one_time_and_without_a_key(self):
        client = self.client(max_retries=5)
        calls = [
            lambda: client.quota.take(ip="203.0.113.1"),
            lambda: client.quota.refund(refunds=[{"receipt": "r"}]),
            lambda: client.keys.create(account="acme"),
            lambda: client.test_clock.advance(by="P1D"),
        ]
        for trouble in (drop, break_off, refusal(503, "server_error", "0"), refusal(429, "rate_limit", "0")):
            for call in calls:
                self.server.behave(trouble)
                with self.assertRaises(WarmlineApiError):
                    call()
                self.assertEqual(self.sent("Idempotency-Key"), [None])

    def test_a_release_whose_answer_was_lost_is_done_when_it_was_released(self):
        gone = {"error": {"code": "conflict", "message": "released", "details": {"status": "cooldown"}}}
        self.server.behave(drop, answer(409, gone))
        self.assertIsNone(self.client().dedicated_ips.release("ip_1"))
        self.server.behave(answer(409, gone))
        with self.assertRaises(warmline.ConflictError):
            self.client().dedicated_ips.release("ip_1")

    def test_what_is_refused_for_a_reason_is_not_tried_again(self):
        for status in (400, 401, 403, 404, 409, 422):
            self.server.behave(refusal(status, "some_code"))
            with self.assertRaises(WarmlineApiError) as caught:
                self.client().dedicated_ips.get("ip_1")
            self.assertEqual((caught.exception.status, caught.exception.code), (status, "some_code"))
            self.assertEqual(len(self.server.seen), 1)

    def test_it_gives_up_after_as_many_retries_as_it_may_make(self):
        self.server.behave(refusal(503, "server_error", "0"))
        with self.assertRaises(ServerError) as caught:
            self.client(max_retries=2).dedicated_ips.get("ip_1")
        self.assertEqual(caught.exception.retry_after, 0)
        self.assertEqual(len(self.server.seen), 3)

    def test_it_waits_longer_each_time_and_as_long_as_it_is_asked(self):
        waited = []
        with mock.patch("warmline.api.time.sleep", waited.append):
            self.server.behave(refusal(503, "server_error"))
            with self.assertRaises(ServerError):
                self.client(max_retries=4).dedicated_ips.get("ip_1")
            for retries, seconds in enumerate(waited):
                self.assertGreaterEqual(seconds, 0.1 * 2**retries)
                self.assertLessEqual(seconds, 0.2 * 2**retries)
            waited.clear()
            self.server.behave(refusal(429, "rate_limit", "7"), answer(200, IP))
            self.client().dedicated_ips.get("ip_1")
            self.assertEqual([7 <= seconds <= 7.2 for seconds in waited], [True])
            waited.clear()
            self.server.behave(refusal(429, "rate_limit", "3600"))
            with self.assertRaises(warmline.RateLimitError) as caught:
                self.client().dedicated_ips.get("ip_1")
            self.assertEqual((caught.exception.retry_after, waited), (3600, []))

    def test_a_silent_server_is_left_after_the_timeout(self):
        self.server.behave(self.hang, answer(200, IP))
        self.assertEqual(self.client(timeout=0.1).dedicated_ips.get("ip_1"), IP)
        self.server.behave(self.hang)
        with self.assertRaises(TimeoutError) as caught:
            self.client().quota.take(timeout=0.1)
        error = caught.exception
        self.assertIsInstance(error, ConnectionError)
        self.assertIsInstance(error, builtins.TimeoutError)
        self.assertEqual((error.status, error.code), (None, "timeout"))
        self.assertEqual([error.request_id], self.sent("X-Request-Id"))

    def test_a_server_that_trickles_is_left_too(self):
        def trickle(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            while not self.server.ended.wait(0.03):
                handler.wfile.write(b" ")

        def trickle_headers(handler):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.server.ended.wait(0.03):
                handler.wfile.write(b"x")

        for slow in (trickle, trickle_headers):
            self.server.behave(slow)
            began = time.monotonic()
            with self.assertRaises(TimeoutError):
                self.client(max_retries=0, timeout=0.2).dedicated_ips.get("ip_1")
            self.assertLess(time.monotonic() - began, 2)

    def test_one_connection_serves_call_after_call_and_a_dropped_one_is_noticed(self):
        client = self.client(max_retries=0)
        self.server.behave(answer(200, IP))
        for _ in range(3):
            client.dedicated_ips.get("ip_1")
        client.dedicated_ips.release("ip_1")
        self.assertEqual(len(self.server.connections), 1)

        def last_answer(handler):
            answer(200, IP)(handler)
            handler.close_connection = True

        self.server.behave(last_answer, answer(200, IP))
        client.dedicated_ips.get("ip_1")
        deadline = time.monotonic() + 5
        idle = client._api._idle[-1].connection
        while not warmline.api._was_dropped(idle) and time.monotonic() < deadline:
            time.sleep(0.005)
        client.quota.take()
        self.assertEqual(len(self.server.connections), 2)

    def test_many_threads_share_one_client(self):
        self.server.behave(answer(200, IP))
        client, found = self.client(), []
        threads = [
            threading.Thread(target=lambda: found.extend(client.dedicated_ips.get("ip_1")["id"] for _ in range(5)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, ["ip_1"] * 40)
        self.assertLessEqual(len(self.server.connections), 40)

    def test_nobody_there_and_a_closed_client(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
            with Warmline(base_url=url, api_key="wl_secret_key", max_retries=0) as client:
                with self.assertRaises(builtins.ConnectionError) as caught:
                    client.dedicated_ips.get("ip_1")
        self.assertIn(f"GET {url}: no answer", str(caught.exception))
        with self.assertRaises(RuntimeError):
            client.dedicated_ips.get("ip_1")

    def test_what_is_not_warmline_is_told(self):
        def html(status):
            def behave(handler):
                handler.send_response(status)
                handler.send_header("Content-Type", "text/html")
                handler.send_header("Content-Length", "11")
                handler.end_headers()
                handler.wfile.write(b"<h1>Hi</h1>")

            return behave

        for status, kind in ((200, WarmlineApiError), (302, WarmlineApiError), (502, ServerError)):
            self.server.behave(html(status))
            with self.assertRaises(kind) as caught:
                self.client(max_retries=0).dedicated_ips.get("ip_1")
            self.assertEqual(caught.exception.status, status)

    def test_bodies_are_bounded_in_both_directions(self):
        self.server.behave(answer(200, {"fits": "x" * 4000}))
        with self.assertRaises(ValidationError):
            self.client().dedicated_ips.update("ip_1", labels={"note": "x" * 1024 * 1024})
        self.assertEqual(self.server.seen, [])
        with mock.patch("warmline.api._LARGEST_ANSWER", 1000), self.assertRaises(ConnectionError) as caught:
            self.client().dedicated_ips.get("ip_1")
        self.assertEqual(caught.exception.code, "answer_too_large")
        self.assertEqual(len(self.server.seen), 1)

    def test_no_error_shows_the_key_and_each_survives_a_copy(self):
        client = self.client(max_retries=0, timeout=0.1)
        for trouble in (drop, self.hang, break_off, refusal(401, "authentication_error"), answer(500, {})):
            self.server.behave(trouble)
            with self.assertRaises(WarmlineApiError) as caught:
                client.dedicated_ips.create()
            error = caught.exception
            self.assertNotIn("wl_secret", f"{error} {error!r} {vars(error)} {client!r}")
            copy = pickle.loads(pickle.dumps(error))
            self.assertEqual((type(copy), str(copy), copy.code), (type(error), str(error), error.code))

    def test_mistakes_are_told_before_anything_is_sent(self):
        self.server.behave(answer(200, IP))
        client = self.client()
        for name in ("", ".", "..", None):
            with self.assertRaises(ValueError):
                client.dedicated_ips.release(name)
        with self.assertRaises(TypeError):
            client.inventory.add("203.0.113.7")
        with self.assertRaises(ValueError):
            client.dedicated_ips.create(idempotency_key="two\nlines")
        for options in (
            {"timeout": 0},
            {"max_retries": -1},
            {"base_url": "ftp://host"},
            {"base_url": "http://user:wl_secret@host"},
            {"api_key": "two words"},
        ):
            with self.subTest(options), self.assertRaises(ValueError) as caught:
                Warmline(**{"base_url": self.url, "api_key": "k", **options})
            self.assertNotIn("wl_secret", str(caught.exception))
        self.assertEqual(self.server.seen, [])

    def test_what_is_asked_is_what_the_wire_expects(self):
        self.server.behave(answer(200, {"data": [], "hasMore": False, "nextCursor": None}))
        client = Warmline(base_url=f"{self.url}/warmline/", api_key="wl_secret_key")
        self.addCleanup(client.close)
        client.dedicated_ips.start_warmup("ip_1", plan="fourteen-day", day_starts_at="04:00", start_day=2)
        client.dedicated_ips.update("ip_1", hostname=None)
        client.dedicated_ips.update_pool("News / EU", is_default=True)
        client.dedicated_ips.delete_pool("pool_1")
        client.dedicated_ips.list(status="warming", limit=5)
        client.quota.take(pool="News", count=2, among=["ip_1"], from_="example.com", class_="bulk")
        client.inventory.add(["203.0.113.0/28"], account="acme", status="active")
        client.changes(since="5-0")
        asked = [(method, at, json.loads(body) if body else None) for method, at, _, body in self.server.seen]
        start = {"plan": "fourteen-day", "dayStartsAt": "04:00", "startDay": 2}
        take = {"pool": "News", "count": 2, "among": ["ip_1"], "from": "example.com", "class": "bulk"}
        brought = {"addresses": ["203.0.113.0/28"], "account": "acme", "status": "active"}
        self.assertEqual(
            asked,
            [
                ("POST", "/warmline/v1/dedicated-ips/ip_1/warmup", start),
                ("PATCH", "/warmline/v1/dedicated-ips/ip_1", {"hostname": None}),
                ("PATCH", "/warmline/v1/dedicated-ips/pools/News%20%2F%20EU", {"isDefault": True}),
                ("DELETE", "/warmline/v1/dedicated-ips/pools/pool_1", None),
                ("GET", "/warmline/v1/dedicated-ips?status=warming&limit=5", None),
                ("POST", "/warmline/v1/quota/take", take),
                ("POST", "/warmline/v1/inventory", brought),
                ("GET", "/warmline/v1/changes?since=5-0", None),
            ],
        )
        self.assertEqual(set(self.sent("Authorization")), {"Bearer wl_secret_key"})


if __name__ == "__main__":
    unittest.main()
