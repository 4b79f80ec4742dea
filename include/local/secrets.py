"""The generated passwords of the local platform, made once and kept in a file of mode 600."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from include.local.service import LocalPlatformError


def _password() -> str:
    return secrets.token_urlsafe(18)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


@dataclass(frozen=True, repr=False)
class Secrets:
    """Passwords of the logins, and the keys that Airflow signs and encrypts with."""

    clickhouse_password: str = field(default_factory=_password)
    analyst_password: str = field(default_factory=_password)
    airflow_password: str = field(default_factory=_password)
    airflow_jwt_secret: str = field(default_factory=lambda: secrets.token_hex(32))
    airflow_api_secret: str = field(default_factory=lambda: secrets.token_hex(32))
    airflow_fernet_key: str = field(default_factory=_fernet_key)


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path`, readable by its owner only, replacing it in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    scratch.replace(path)


def load_secrets(path: Path) -> Secrets:
    """Return the secrets kept in `path`; those that are not there yet are generated and kept.

    Raises:
        LocalPlatformError: the file is not what this module writes.
    """
    kept: dict[str, str] = {}
    if path.exists():
        try:
            kept = dict(json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise LocalPlatformError(
                f"{path} is damaged ({error}); run `make clean`, then `make up`"
            ) from error
    names = {item.name for item in fields(Secrets)}
    loaded = Secrets(**{name: value for name, value in kept.items() if name in names})
    if asdict(loaded) != kept:
        write_private(path, json.dumps(asdict(loaded), indent=2) + "\n")
    return loaded
