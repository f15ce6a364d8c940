from __future__ import annotations

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from actors.storage.credentials import refusal

ANSWER = "Error performing GET http://s/k in 1ms - Server returned non-2xx status code: "


def body(code: str) -> str:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>said</Message></Error>\n\nDebug source:\nGeneric'


@pytest.mark.parametrize(
    "code",
    ["ExpiredToken", "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "AuthenticationFailed"],
)
def test_codes_against_the_credentials(code: str) -> None:
    assert refusal(PermissionDeniedError(f"{ANSWER}403 Forbidden: {body(code)}")) == f"{code}: said"
    assert refusal(GenericError(f"{ANSWER}400 Bad Request: {body(code)}")) == f"{code}: said"


def test_401_is_always_against_them() -> None:
    assert refusal(UnauthenticatedError("The operation lacked valid authentication")) == "401 Unauthorized"
    assert refusal(GenericError(f"{ANSWER}401 Unauthorized: no")) == "401 Unauthorized"
    assert refusal(GenericError('403: {"error": "invalid_grant"}')) == "invalid_grant"


@pytest.mark.parametrize("code", ["AccessDenied", "AllAccessDisabled", "InvalidObjectState"])
def test_codes_against_one_object(code: str) -> None:
    assert refusal(PermissionDeniedError(f"{ANSWER}403 Forbidden: {body(code)}")) is None
