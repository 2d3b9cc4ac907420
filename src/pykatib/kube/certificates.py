"""The certificates that the webhooks are served with: made, and judged.

Each certificate comes with an authority of its own, whose key signs it and is then forgotten: nobody who reads the
Secret can make a further certificate. The price is that a renewal changes the authority; so `authorities` keeps the
earlier ones until they expire, and the API server trusts what a replica serves that has not heard of the renewal yet.
"""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=90)
BACKDATED = timedelta(days=1)
"""Clocks need not agree."""
MOST_AUTHORITIES = 8


class Certificates(NamedTuple):
    """All as PEM: the authorities to trust, the newest first; the certificate with its chain; its key."""

    authorities: bytes
    certificate: bytes
    key: bytes


def made(hosts: Sequence[str], *, now: datetime, trusted: bytes = b"") -> Certificates:
    """New ones for these DNS names and IP addresses; the authorities in `trusted` stay trusted while they last."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("katib-ca")
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key(), authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _builder(_name("katib-webhook"), authority_name, key.public_key(), authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return Certificates(
        joined(_pem(authority), trusted, now=now),
        _pem(certificate),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def joined(authorities: bytes, more: bytes, *, now: datetime) -> bytes:
    """Authorities of both, each once; those of `more` only while they are valid, and not without end."""
    first = _certificates_in(authorities)
    rest = [each for each in _certificates_in(more) if each not in first and each.not_valid_after_utc > now]
    return b"".join(_pem(each) for each in (*first, *dict.fromkeys(rest))[:MOST_AUTHORITIES])


def includes(authorities: bytes, others: bytes, *, now: datetime) -> bool:
    """Whether all `others` that are still valid are among the authorities."""
    known = _certificates_in(authorities)
    return all(each in known for each in _certificates_in(others) if each.not_valid_after_utc > now)


def problem_with(certificates: Certificates, hosts: Sequence[str], *, now: datetime) -> str | None:
    """Why these cannot be served for those hosts; None where they can."""
    try:
        authorities = _certificates_in(certificates.authorities)
        chain = _certificates_in(certificates.certificate)
        key = serialization.load_pem_private_key(certificates.key, None) if certificates.key else None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return f"they cannot be read: {error}"
    for there, what in ((authorities, "ca.crt"), (chain, "tls.crt"), (key, "tls.key")):
        if not there:
            return f"there is no {what}"
    assert key is not None
    leaf = chain[0]
    if _public(key.public_key()) != _public(leaf.public_key()):
        return "the key belongs to another certificate"
    missing = sorted(set(hosts) - _hosts_of(leaf))
    if missing:
        return f"the certificate is not for {', '.join(missing)}"
    if not any(_has_issued(each, chain[-1]) for each in authorities):
        return "none of the authorities has issued the certificate"
    if now < leaf.not_valid_before_utc:
        return f"the certificate is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M}"
    if now >= leaf.not_valid_after_utc:
        return f"the certificate has expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M}"
    return None


def renewal_time(certificates: Certificates) -> datetime:
    """When a quarter of its life is left; cert-manager renews earlier, so that what it keeps is left to it."""
    leaf = _certificates_in(certificates.certificate)[0]
    return leaf.not_valid_after_utc - (leaf.not_valid_after_utc - leaf.not_valid_before_utc) / 4


def expiry(certificates: Certificates) -> datetime:
    """When the certificate expires."""
    return _certificates_in(certificates.certificate)[0].not_valid_after_utc


def current_time() -> datetime:
    """Now, as certificates tell time."""
    return datetime.now(UTC)


def _certificates_in(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem) if pem.strip() else []


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _public(key: object) -> bytes:
    if not hasattr(key, "public_bytes"):
        return b""
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    if authority == certificate:
        return True
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _hosts_of(leaf: x509.Certificate) -> set[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "katib"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    now: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
