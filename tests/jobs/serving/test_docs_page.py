from __future__ import annotations

import re

from jobs.serving.docs_page import docs_page


def test_the_page_asks_its_own_server_alone() -> None:
    answer = docs_page()
    page = bytes(answer.body).decode()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src 'self'" in policy
    assert not re.search(r"https?:|//[a-z]", page)
