"""Only this machine's own browser, on the app's own pages, is answered: raw requests, raw handshakes, and a foreign page."""

import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, expect
from starlette.datastructures import Headers

from pages.parts.door import refusal
from tests.browsing import Server
from tests.waiting import DEADLINE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("door"))
    yield found
    found.stop()


def ask(server: Server, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and head of the answer to a raw request; a header's name has _ for -."""
    given = {"Host": f"localhost:{server.port}", "Connection": "close",
             **{name.replace("_", "-"): value for name, value in headers.items()}}
    with socket.create_connection(("localhost", server.port), timeout=DEADLINE) as link:
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        link.sendall("\r\n".join(lines).encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (part := link.recv(4096)):
            answer += part
    head = answer.partition(b"\r\n\r\n")[0].decode().lower()
    return int(head.split()[1]), head


def handshake(server: Server, **headers: str) -> int:
    """Status of the answer to a websocket's handshake: 101 where it is accepted."""
    return ask(server, "/_stcore/stream", Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="13",
               Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==", **headers)[0]


def test_a_websocket_opens_for_the_apps_own_origin_alone(server: Server) -> None:
    own = f"localhost:{server.port}"
    assert handshake(server, Origin=f"http://{own}") == 101
    assert handshake(server, Host=f"127.0.0.1:{server.port}", Origin=f"http://127.0.0.1:{server.port}") == 101
    for origin in ("http://localhost:9999", "http://localhost", "http://127.0.0.1:9999", f"http://127.0.0.1:{server.port}",
                   "http://evil.example", f"http://evil.example:{server.port}", "null", f"http://{own}.evil.example",
                   f"http://{own}@evil.example"):
        assert handshake(server, Origin=origin) == 403, origin
    assert handshake(server, Host="evil.example", Origin="http://evil.example") == 403, "a name turned to 127.0.0.1"
    assert handshake(server, Host=f"evil.example:{server.port}") == 403


@pytest.mark.parametrize("path, method", [("/", "GET"), ("/data?source=folder&root=/", "GET"), ("/_stcore/health", "GET"),
                                          ("/_stcore/upload_file/x/y", "PUT"), ("/_stcore/upload_file/x/y", "OPTIONS"),
                                          ("/media/0.png", "GET")])
def test_every_endpoint_refuses_foreign_hosts_origins_and_frames(server: Server, path: str, method: str) -> None:
    for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{server.port}"}, {"Origin": "http://evil.example"},
                    {"Origin": "http://localhost:9999"}, {"Origin": "null"}, {"Sec_Fetch_Dest": "iframe"},
                    {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
                    {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors"}):
        status, head = ask(server, path, method, **headers)
        assert status == 403, headers
        assert "access-control-allow-origin" not in head


def test_every_answer_forbids_frames_and_other_addresses(server: Server) -> None:
    for path in ("/", "/compare", "/_stcore/health", "/_stcore/host-config"):
        status, head = ask(server, path)
        assert status == 200
        assert "x-frame-options: deny" in head and "frame-ancestors 'none'" in head and "default-src 'self'" in head
        assert "http://*" not in head and "https://*" not in head


def test_a_link_from_elsewhere_opens_the_app_in_its_own_window(server: Server) -> None:
    assert ask(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")[0] == 200


def test_the_server_listens_on_this_machine_alone(server: Server) -> None:
    listening = [item.laddr.ip for item in psutil.Process(server.process.pid).net_connections("inet")
                 if item.status == psutil.CONN_LISTEN]
    assert listening and set(listening) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("host", ["", "localhost/", "localhost:80:90", "a@localhost", "localhost evil", "[::1", "localhost:x"])
def test_a_host_that_is_no_host_is_refused(host: str) -> None:
    assert refusal(Headers({"host": host}))


class _Evil(BaseHTTPRequestHandler):
    """A web page that puts the app in a frame, reads its pages and opens its websocket."""

    def __init__(self, target: str, *arguments: object) -> None:
        self.target = target
        super().__init__(*arguments)

    def do_GET(self) -> None:
        page = f"""<!doctype html><iframe src="http://{self.target}/data?source=folder&root=/"></iframe><p></p><script>
            const said = [];
            const say = text => {{ said.push(text); document.querySelector('p').textContent = said.sort().join(); }};
            const socket = new WebSocket('ws://{self.target}/_stcore/stream');
            socket.onopen = () => say('socket open'); socket.onerror = () => say('socket refused');
            fetch('http://{self.target}/_stcore/health').then(() => say('read'), () => say('unread'));
            const image = new Image(); image.onload = () => say('image'); image.onerror = () => say('no image');
            image.src = 'http://{self.target}/favicon.png';</script>"""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_page_on_another_port_can_neither_frame_nor_read_nor_steer_the_app(server: Server, browser: Browser) -> None:
    evil = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Evil, f"localhost:{server.port}"))
    threading.Thread(target=evil.serve_forever, daemon=True).start()
    try:
        page = browser.new_page()
        page.goto(f"http://localhost:{evil.server_port}/")
        expect(page.locator("p")).to_have_text("no image,socket refused,unread")
        [frame] = [item for item in page.frames if item != page.main_frame]
        assert not frame.url.startswith(server.address) and not frame.locator("#root").count()
        page.close()
    finally:
        evil.shutdown()
        evil.server_close()
    assert not list(Path(server.root).glob("data/.scans/*")), "nothing was scanned"
