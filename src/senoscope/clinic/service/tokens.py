"""Who may do what: tokens of users, kept hashed, and the browser's session made from one.

A token is 32 random bytes, so a plain SHA-256 of it can neither be guessed nor turned back; slow password hashes are
for what people choose. A session is a signed cookie that ends with its token: nothing of it is stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from senoscope._files import atomic_path
from senoscope._locks import locked
from senoscope.errors import ConfigError, UsageError

ROLES = ("reader", "admin")
SESSION_SECONDS = 12 * 3600
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody, by the name of their token. ``csrf`` is what their page must send with every change."""

    name: str
    role: str
    csrf: str = ""

    @property
    def sees(self) -> str | None:
        """Whose exams they may see: their own, or (``None``) everybody's."""
        return None if self.role == "admin" else self.name


class Tokens:
    """The token file of a data folder, read again whenever it changes."""

    def __init__(self, path: Path, secret: bytes) -> None:
        self._path, self._secret = path, secret
        self._stamp: tuple[int, int] | None = None
        self._known: dict[str, tuple[str, str]] = {}

    @property
    def exist(self) -> bool:
        """Whether anybody has a token: if not, a server on loopback asks for none."""
        return self._path.exists()

    def user(self, token: str) -> User | None:
        """Whose token this is."""
        found = self._users().get(_digest(token))  # looked up by hash: timing tells nothing of the token
        return User(found[0], found[1]) if found else None

    def local(self) -> User:
        """The user of a server that only this machine reaches and that has no tokens."""
        return User("local", "admin", self._mac("csrf", "local"))

    def open_session(self, user: User) -> str:
        """A cookie's value that says who this is until it expires or their token is removed."""
        body = f"{user.name}|{int(time.time()) + SESSION_SECONDS}|{secrets.token_hex(8)}"
        return base64.urlsafe_b64encode(f"{body}|{self._mac('session', body)}".encode()).decode("ascii")

    def session(self, cookie: str) -> User | None:
        """Who a session's cookie speaks for."""
        try:
            text = base64.urlsafe_b64decode(cookie.encode("ascii")).decode("utf-8")
        except ValueError:
            return None
        body, _, mac = text.rpartition("|")
        if not hmac.compare_digest(mac.encode(), self._mac("session", body).encode()):
            return None
        name, expires, _ = body.split("|")
        role = dict(self._users().values()).get(name)
        if role is None or float(expires) < time.time():
            return None
        return User(name, role, self._mac("csrf", body))

    def _users(self) -> dict[str, tuple[str, str]]:
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return {}
        stamp = (state.st_mtime_ns, state.st_size)
        if stamp != self._stamp:
            self._known = {entry["sha256"]: (entry["name"], entry["role"]) for entry in _read(self._path)}
            self._stamp = stamp
        return self._known

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def new_token(path: Path, role: str, name: str | None = None) -> tuple[str, str]:
    """Make a token, keep its hash in ``path`` and return the user's name and the token, which is not kept.

    Raises ``UsageError`` for an unknown role, a name that is taken or not plain.
    """
    if role not in ROLES:
        raise UsageError(f"there is no role '{role}'", expected=f"one of {', '.join(ROLES)}")
    with locked(path.with_suffix(".lock"), wait=True):
        entries = _read(path) if path.exists() else []
        taken = {entry["name"] for entry in entries} | {"local", "ai"}
        chosen = name or next(f"{role}-{n}" for n in range(1, 10**6) if f"{role}-{n}" not in taken)
        if not _NAME.fullmatch(chosen) or chosen in taken:
            raise UsageError(
                f"'{chosen}' cannot be a token's name",
                expected="1 to 40 letters, digits, '.', '_' or '-', that no other token has",
            )
        token = f"seno_{secrets.token_urlsafe(32)}"
        entry = {"name": chosen, "role": role, "sha256": _digest(token)}
        entries.append({**entry, "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        with atomic_path(path) as temporary:
            temporary.chmod(0o600)
            temporary.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    return chosen, token


def _read(path: Path) -> list[dict[str, str]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not all({"name", "role", "sha256"} <= set(entry) and entry["role"] in ROLES for entry in entries):
            raise ValueError
    except (ValueError, TypeError):
        raise ConfigError(
            f"{path.name} is damaged",
            expected="what 'senoscope serve --new-token' wrote",
            fix="restore it, or remove it and make new tokens",
        ) from None
    return list(entries)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
