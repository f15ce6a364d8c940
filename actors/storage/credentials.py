"""Distinguishes refused credentials from a refused object. Used by `remote_store`."""

from __future__ import annotations

import re

from obstore.exceptions import UnauthenticatedError

from actors.escapes import printable
from actors.storage.uris import redacted


def refusal(error: Exception) -> str | None:
    """Returns the store's reason for refusing the credentials; None for other errors, including a plain 403."""
    answer = str(error).partition("\n\nDebug source")[0]  # obstore repeats the response there, in Rust notation
    code = _CODE.search(answer)
    if code is None and not isinstance(error, UnauthenticatedError) and not _UNAUTHORIZED.search(answer):
        return None
    message = _MESSAGE.search(answer)
    parts = [code[1] or code[2] if code else "401 Unauthorized", *([message[1].strip()] if message else [])]
    return printable(redacted(": ".join(parts)))[:_MAX_CHARS]


# Error codes of S3, Google Cloud Storage and Azure. AccessDenied is absent: it may concern a single object.
_CODES = (
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidToken",
    "InvalidIdentityToken",
    "TokenRefreshRequired",
    "RequestTimeTooSkewed",
    "RequestExpired",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "NoAuthenticationInformation",
)
_CODE = re.compile(rf'<Code>\s*({"|".join(_CODES)})\s*</Code>|"error":\s*"(invalid_grant|invalid_client)"')
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_UNAUTHORIZED = re.compile(r"status code: 401\b")
_MAX_CHARS = 300  # limit for the store's message within ours
