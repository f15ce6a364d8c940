"""Opens obstore clients with the settings of `Storage`. Used by `actors.storage.remote_store`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from obstore.exceptions import GenericError, UnknownConfigurationKeyError
from obstore.store import from_url

from actors.errors import JobError
from actors.storage.uris import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping


def connect(root: str, options: Mapping[str, str]) -> Any:
    """Opens a client for a root, with the current credentials from options, environment, files or instance.

    Raises:
        JobError: the scheme of the root, or an option, is unknown.
    """
    given = {key: _parse(value) for key, value in options.items() if key in _CLIENT_OPTIONS}
    config = {key: value for key, value in options.items() if key not in _CLIENT_OPTIONS}
    client = {**_CLIENT_DEFAULTS, **_from_environment(root), **given}
    try:
        return from_url(
            root,
            config=cast("Any", config),
            client_options=cast("Any", client),
            retry_config=_NO_RETRIES,
        )
    except (UnknownConfigurationKeyError, GenericError, ValueError, TypeError) as error:
        raise JobError(
            redacted(f"{root}: {str(error).splitlines()[0]}"),
            fix="use s3://, gs://, az:// or https:// with the storage_options that obstore documents",
        ) from None


def _from_environment(root: str) -> dict[str, object]:
    """Returns client settings from variables such as AWS_ALLOW_HTTP: obstore reads them only if none are passed."""
    prefixes = _PREFIXES.get(root.partition("://")[0].lower(), ())
    found = ((f"{prefix}_{key}".upper(), key) for prefix in prefixes for key in _CLIENT_OPTIONS)
    return {key: _parse(os.environ[name]) for name, key in found if name in os.environ}


_PREFIXES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("s3", "s3a"), ("aws",)),
    **dict.fromkeys(("gs", "gcs"), ("google",)),
    **dict.fromkeys(("az", "azure", "abfs", "abfss", "adl"), ("azure",)),
}


def _parse(option: str) -> object:
    return {"true": True, "false": False}.get(str(option).lower(), option)


# A body may take long, such as a checkpoint, but not stall: responses must begin, and puts end, within read_timeout.
_CLIENT_DEFAULTS: Mapping[str, object] = {"timeout": "300s", "read_timeout": "30s"}
_CLIENT_OPTIONS = frozenset(
    [
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "default_content_type",
        "http1_only",
        "http2_keep_alive_interval",
        "http2_keep_alive_timeout",
        "http2_keep_alive_while_idle",
        "http2_only",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_url",
        "proxy_ca_certificate",
        "proxy_excludes",
        "randomize_addresses",
        "root_certificate",
        "timeout",
        "read_timeout",
        "user_agent",
    ]
)
_NO_RETRIES: Any = {"max_retries": 0}  # see `actors.storage.retries`
