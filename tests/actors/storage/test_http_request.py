from __future__ import annotations

import pytest

from actors.errors import JobError
from actors.storage.http_request import ClientOptions, Target


def test_what_a_url_asks_of_whom() -> None:
    found = Target.parse("HTTPS://u:p@Exämple.org/a%2fb?q#frag")
    assert found.url == "https://xn--exmple-cua.org/a%2fb?q"
    assert found.origin == ("https", "xn--exmple-cua.org", ":443")
    assert found.headers == {"Authorization": "Basic dTpw"}
    assert Target.parse("http://[::1]:8/x").origin == ("http", "[::1]", ":8")


@pytest.mark.parametrize("url", ["https://", "http:///x", "http://user@/x", "ftp://host/x", "http://a b/x"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="not an http"):
        Target.parse(url)


def test_options_by_the_names_that_obstore_gives_them() -> None:
    options = ClientOptions.parse({"timeout": "8s", "read_timeout": "250ms", "region": "nowhere"})
    assert (options.timeout_s, options.read_s, options.connect_s) == (8.0, 0.25, 30.0)
    assert ClientOptions.parse({"allow_invalid_certificates": "true"}).tls() is False
    with pytest.raises(JobError, match="connect_timeout=1 week"):
        ClientOptions.parse({"connect_timeout": "1 week"})


def test_hosts_of_proxies_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ClientOptions.parse({}).proxy_hosts() == set()
    monkeypatch.setenv("https_proxy", "http://me:password@Proxy.example:3128")
    assert ClientOptions.parse({}).proxy_hosts() == {"proxy.example"}
    assert ClientOptions.parse({"proxy_url": "http://10.0.0.1:8080"}).proxy_hosts() == {"10.0.0.1"}
