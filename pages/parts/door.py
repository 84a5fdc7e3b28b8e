"""Who may speak to the server: this machine's own browser, on this app's own pages.

A browser lets any web page send requests to localhost and put it into a frame. Whoever is not this app's own page, in a
window of its own, is refused before Streamlit sees the request; what the app draws may ask no other address.
"""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# What Streamlit's own pages need: their scripts evaluate (Plotly, Arrow), their pictures and workers are data and blobs.
_POLICY = ("default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
           "style-src 'self' 'unsafe-inline' blob: data:; connect-src 'self' {sockets} data: blob:; object-src 'none'; "
           "base-uri 'self'; form-action 'none'; frame-ancestors 'none'")
_HEADERS = {"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin"}
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
_FRAMES = frozenset({"iframe", "frame", "embed", "object", "fencedframe"})


class Door:
    """ASGI middleware: refuses foreign hosts, origins and frames, and adds the headers that keep a browser to this app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        reason = refusal(headers, scope["type"] == "websocket")
        if reason and scope["type"] == "websocket":
            await receive()  # the handshake; closed before it is accepted, it is answered with 403
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                host = headers.get("host", "")
                for name, value in _HEADERS.items():
                    answer[name] = value
                answer["Content-Security-Policy"] = _POLICY.format(sockets="" if reason else f"ws://{host} wss://{host}")
            await send(message)

        answer = PlainTextResponse(f"Refused: {reason}.\n", status_code=403) if reason else self._app
        await answer(scope, receive, send_with_headers)


def refusal(headers: Headers, is_socket: bool = False) -> str:
    """Why a request is refused, in a sentence; empty where it is this app's own.

    Args:
        headers: of the request.
        is_socket: whether it opens a websocket, which a browser never does as a navigation.
    """
    host = headers.get("host", "")
    if not _HOST.fullmatch(host) or _hostname(f"//{host}") not in _LOOPBACK | _configured():
        return "the Host must be this machine's own name, as localhost"  # else a name that turns to 127.0.0.1 reads the app
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
        return "the Origin must be this app's own"
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
    if headers.get("sec-fetch-dest", "") in _FRAMES:
        return "the app must be opened in a window of its own, not in a frame"
    if site in ("cross-site", "same-site") and (is_socket or mode != "navigate"):  # another port is the same site
        return "the request must come from this app's own pages"
    return ""


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _configured() -> frozenset[str]:
    """Names that whoever started the server on another address gave it."""
    names = (config.get_option("server.address"), config.get_option("browser.serverAddress"),
             *config.get_option("server.allowedHosts"))
    return frozenset(str(name).lower() for name in names if name)
