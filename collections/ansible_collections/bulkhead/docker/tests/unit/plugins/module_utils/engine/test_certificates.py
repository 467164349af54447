# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates are checked before the engine uses them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.certificates import find_certificate_problems
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEYS = [ec.generate_private_key(ec.SECP256R1()) for _number in range(3)]
CA_KEY, KEY, OTHER_KEY = KEYS
FILES = {"tlscacert": "/tls/ca.pem", "tlscert": "/tls/cert.pem", "tlskey": "/tls/key.pem"}


def make_certificate(key: Any, signer: Any, is_ca: bool = False, days: int = 5, usage: Any = None) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca" if is_ca else "host")])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    end = datetime.now(UTC) + timedelta(days=days)
    builder = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number(), end - timedelta(days=9), end)
    builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def make_key(key: Any, password: bytes = b"") -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode())


@pytest.fixture
def tls_host(host: Host) -> Host:
    host.path("/tls").mkdir()
    write(host, tlscacert=make_certificate(CA_KEY, CA_KEY, is_ca=True), tlscert=make_certificate(KEY, CA_KEY), tlskey=make_key(KEY))
    return host


def write(host: Host, **texts: str) -> None:
    for name, text in texts.items():
        host.path(FILES[name]).write_text(text)


def test_files_that_fit_have_no_problem(tls_host: Host) -> None:
    assert find_certificate_problems(tls_host, FILES) == []


def test_the_certificate_of_the_engine_may_be_of_another_ca(tls_host: Host) -> None:
    write(tls_host, tlscert=make_certificate(KEY, OTHER_KEY))
    assert find_certificate_problems(tls_host, FILES) == []


@pytest.mark.parametrize(
    ("changed", "text", "problem"),
    [
        ("tlscacert", "none", "tlscacert: /tls/ca.pem is not a certificate in PEM form"),
        (
            "tlscacert",
            make_certificate(CA_KEY, CA_KEY, is_ca=True, days=-1),
            "tlscacert: /tls/ca.pem has expired, so no client could connect",
        ),
        ("tlscert", "ümlaut", "tlscert: /tls/cert.pem is not a certificate in PEM form"),
        ("tlscert", make_certificate(KEY, CA_KEY, days=-1), "tlscert: /tls/cert.pem is rejected by clients: certificate has expired"),
        ("tlscert", make_certificate(KEY, CA_KEY, days=90), "tlscert: /tls/cert.pem is rejected by clients: certificate is not yet valid"),
        (
            "tlscert",
            make_certificate(KEY, CA_KEY, usage=ExtendedKeyUsageOID.CLIENT_AUTH),
            "tlscert: /tls/cert.pem is rejected by clients: unsuitable certificate purpose",
        ),
        ("tlskey", make_key(OTHER_KEY), "tlskey: /tls/key.pem does not belong to the certificate of tlscert"),
        ("tlskey", "none", "tlskey: /tls/key.pem is not a key in PEM form"),
        (
            "tlskey",
            make_key(KEY, b"secret"),
            "tlskey: /tls/key.pem is encrypted, and the engine cannot ask for its password; write it without one",
        ),
    ],
)
def test_each_defect_is_one_message(tls_host: Host, changed: str, text: str, problem: str) -> None:
    write(tls_host, **{changed: text})
    assert find_certificate_problems(tls_host, FILES) == [problem]


def test_missing_and_unreadable_files_are_named(tls_host: Host) -> None:
    tls_host.path(FILES["tlscert"]).unlink()
    tls_host.path(FILES["tlskey"]).unlink()
    tls_host.path(FILES["tlskey"]).mkdir()
    assert find_certificate_problems(tls_host, FILES) == [
        "tlscert: /tls/cert.pem does not exist; put the file there first",
        "tlskey: /tls/key.pem cannot be read (Is a directory); name a readable file",
    ]
