"""Certificates are made, judged and renewed, and no key but the served one outlives their making."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from pykatib.kube.certificates import (
    LIFETIME,
    Certificates,
    expiry,
    includes,
    joined,
    made,
    problem_with,
    renewal_time,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTS = ("katib-controller.kubeflow.svc", "127.0.0.1")
GOOD = made(HOSTS, now=NOW)
OTHER = made(HOSTS, now=NOW)


def test_what_is_made_is_usable_until_it_expires() -> None:
    assert problem_with(GOOD, HOSTS, now=NOW) is None
    assert problem_with(GOOD, HOSTS[:1], now=NOW + LIFETIME - timedelta(seconds=1)) is None
    assert NOW + LIFETIME / 2 < renewal_time(GOOD) < expiry(GOOD) == NOW + LIFETIME


@pytest.mark.parametrize(
    ("found", "now", "words"),
    [
        pytest.param(GOOD, NOW + LIFETIME, "has expired", id="expired"),
        pytest.param(GOOD, NOW - timedelta(days=2), "not valid before", id="of the future"),
        pytest.param(GOOD._replace(key=OTHER.key), NOW, "another certificate", id="another's key"),
        pytest.param(GOOD._replace(authorities=OTHER.authorities), NOW, "none of the authorities", id="a stranger's"),
        pytest.param(made(["elsewhere"], now=NOW), NOW, "not for 127.0.0.1, katib-controller", id="for other names"),
        pytest.param(Certificates(b"", b"", b""), NOW, "there is no ca.crt", id="nothing"),
        pytest.param(GOOD._replace(certificate=b""), NOW, "there is no tls.crt", id="no certificate"),
        pytest.param(GOOD._replace(key=b""), NOW, "there is no tls.key", id="no key"),
        pytest.param(GOOD._replace(key=b"key"), NOW, "cannot be read", id="a key that is none"),
        pytest.param(GOOD._replace(certificate=b"\x00\xff"), NOW, "cannot be read", id="noise"),
    ],
)
def test_what_cannot_be_served_is_told_why(found: Certificates, now: datetime, words: str) -> None:
    assert words in (problem_with(found, HOSTS, now=now) or "")


def test_a_renewal_trusts_the_earlier_authority_while_it_is_valid() -> None:
    later = NOW + timedelta(days=60)
    renewed = made(HOSTS, now=later, trusted=GOOD.authorities)
    assert includes(renewed.authorities, GOOD.authorities, now=later)
    assert not includes(GOOD.authorities, renewed.authorities, now=later)

    much_later = NOW + timedelta(days=140)
    again = made(HOSTS, now=much_later, trusted=renewed.authorities)
    assert again.authorities.count(b"BEGIN") == 2, "the first has expired"
    assert includes(again.authorities, GOOD.authorities, now=much_later)


def test_authorities_are_joined_once_each_and_not_without_end() -> None:
    assert joined(GOOD.authorities, GOOD.authorities, now=NOW) == GOOD.authorities
    trusted = GOOD.authorities
    for _ in range(12):
        trusted = made(HOSTS, now=NOW, trusted=trusted).authorities
    assert trusted.count(b"BEGIN") == 8


def test_a_client_that_trusts_the_authority_accepts_the_certificate() -> None:
    fresh = made(HOSTS, now=datetime.now(UTC), trusted=OTHER.authorities)
    context = ssl.create_default_context(cadata=fresh.authorities.decode())
    assert len(context.get_ca_certs()) >= 1
    assert b"PRIVATE KEY" in fresh.key
    assert b"PRIVATE KEY" not in fresh.authorities + fresh.certificate
