"""One exchange with an OpenAI-compatible server: addresses, the key, time limits, and what went wrong."""

from __future__ import annotations

import importlib
import ipaddress
import json
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from goodgrain.checks import check_within
from goodgrain.errors import InputError, MissingExtra
from goodgrain.teacher.replies import Then, Trouble, trouble_of

if TYPE_CHECKING:
    import httpx

_LARGEST_REPLY = 64 * 2**20
DEFAULT_KEY = "OPENAI_API_KEY"


class Server:
    """An address that answers `/chat/completions` and `/embeddings`, and the key for it.

    Args:
        base_url: such as `https://api.example.org/v1`; without a path, `/v1` is added.
        api_key_env: the environment variable that holds the key; None for a server without one. The default may be
            unset; any other has to be set.
        timeout: seconds that one call may take in all.
        connections: calls at a time.

    Raises:
        InputError: an address that is none or holds credentials, no such variable, a key that cannot be one, or one
            that would travel unencrypted to a public host.
        MissingExtra: httpx is not installed.

    Example:
        >>> Server("http://localhost:8000", api_key_env=None)
        Server('http://localhost:8000/v1', api_key_env=None)
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key_env: str | None = DEFAULT_KEY,
        timeout: float = 120.0,
        connections: int = 8,
    ) -> None:
        self.base_url, host = check_url(base_url)
        self._api_key_env = api_key_env
        self._timeout = check_within("timeout", timeout, above=0)
        self._key = _key(api_key_env)
        if self._key and self.base_url.startswith("http:") and not is_near(host):
            raise InputError(
                f"the key in {api_key_env} would travel to {host} unencrypted. Give an https address, or "
                "api_key_env=None if the server needs no key."
            )
        try:
            http = importlib.import_module("httpx")
        except ImportError as reason:
            raise MissingExtra("httpx", "instruct") from reason
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {self._key}"} if self._key else {})
        self._errors = http
        self._http: httpx.Client = http.Client(
            headers=headers,
            timeout=http.Timeout(self._timeout, connect=min(self._timeout, 20.0), pool=None),
            limits=http.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,  # the key goes nowhere else
            trust_env=not is_near(host),  # a proxy is not for one's own machine
        )

    def __repr__(self) -> str:
        return f"Server({self.base_url!r}, api_key_env={self._api_key_env!r})"

    def post(self, path: str, body: dict[str, Any]) -> str | Trouble:
        """Send one call.

        Args:
            path: below the address, such as "/chat/completions".
            body: what becomes JSON.

        Returns:
            The body of a good reply, or what went wrong. The key stands in neither.
        """
        http = self._errors
        try:
            status, headers, data = self._exchange(self.base_url + path, json.dumps(body).encode())
        except (http.ConnectError, http.ConnectTimeout, http.UnsupportedProtocol, http.ProxyError) as reason:
            return Trouble(self._clean(f"{self.base_url} cannot be reached ({reason})"), reached=False)
        except http.TimeoutException:
            return Trouble(f"no answer within {self._timeout:g} seconds", billed=True)
        except (http.HTTPError, http.StreamError) as reason:
            return Trouble(self._clean(f"the connection broke off ({reason})"), billed=True)
        text = self._clean(data.decode("utf-8", "replace"))
        trouble = trouble_of(status, headers, text, now=time.time())
        if trouble and status in (404, 405):
            check = f"check the address, the model's name and whether this server offers {path}"
            return Trouble(f"{self.base_url}{path} answered {trouble.reason}; {check}", Then.STOP)
        if trouble and trouble.then is Then.STOP and status in (401, 403):
            named = f"the key in {self._api_key_env}" if self._key else f"a call without a key ({self._api_key_env})"
            return Trouble(f"the server refused {named}; {trouble.reason}", Then.STOP)
        return trouble or text

    def _exchange(self, url: str, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """One request and its whole reply; a reply that drips in more slowly than the time limit is given up."""
        until = time.monotonic() + self._timeout
        with self._http.stream("POST", url, content=data) as reply:
            pieces, size = [], 0
            for piece in reply.iter_bytes():
                pieces.append(piece)
                size += len(piece)
                if time.monotonic() > until:
                    raise self._errors.ReadTimeout("the reply drips")
                if size > _LARGEST_REPLY:
                    raise self._errors.ReadError("the reply is larger than 64 MiB")
            return reply.status_code, {name.lower(): value for name, value in reply.headers.items()}, b"".join(pieces)

    def _clean(self, text: str) -> str:
        """The text without the key, which some servers repeat in their errors."""
        return text.replace(self._key, "***") if self._key else text

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def check_url(base_url: str) -> tuple[str, str]:
    """An address without a final "/", with `/v1` where it has no path, and its host.

    Raises:
        InputError: not http or https, no host, or with credentials, a query or a fragment.

    Example:
        >>> check_url("http://127.0.0.1:8000/")
        ('http://127.0.0.1:8000/v1', '127.0.0.1')
    """
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as reason:
        raise InputError(f"base_url is no address: {reason}.") from reason
    if parts.username is not None or parts.password is not None:
        raise InputError("base_url should hold no user name or password. Put the key into an environment variable.")
    if parts.query or parts.fragment:
        raise InputError("base_url should end with its path, without '?' or '#'. Keys belong into the environment.")
    plain = base_url.strip().isprintable() and " " not in base_url.strip()
    if parts.scheme not in ("http", "https") or not host or port == 0 or not plain:
        raise InputError(f"base_url should look like https://api.example.org/v1; {base_url!r} came.")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}", host


def is_near(host: str) -> bool:
    """Whether a host is this machine or in a private network."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal"))


def _key(name: str | None) -> str:
    if name is None:
        return ""
    key = os.environ.get(name, "").strip()
    if not key and name != DEFAULT_KEY:
        raise InputError(f"the environment variable {name} is not set. Put the key of the API into it.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"the environment variable {name} holds spaces or characters that no key has. Set it again.")
    return key
