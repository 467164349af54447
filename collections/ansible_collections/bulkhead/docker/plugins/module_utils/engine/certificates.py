# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the certificates of an engine that listens on TCP. With wrong ones the engine does not start, or no client can connect."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NoReturn

from ..host.root import Host, Owner

CA, CERTIFICATE, KEY = FILES = ("tlscacert", "tlscert", "tlskey")
# The strength of keys is not judged here: Go and OpenSSL have different limits.
_CIPHERS = "DEFAULT:@SECLEVEL=0"
_ROUNDS = 5  # more than a handshake has


class _Encrypted(Exception):
    """A key needs a password."""


def find_certificate_problems(host: Host, files: Mapping[str, str], user: Owner | None = None) -> list[str]:
    """Return why the engine cannot use these files, one message each. files: key of daemon.json -> path. user: with whose rights they are read."""
    texts, found = {}, []
    for name, path in files.items():
        try:
            text = host.read(path, user=user)
        except OSError as error:
            found.append(f"{name}: {path} cannot be read ({error.strerror}); name a readable file")
            continue
        if text is None:
            found.append(f"{name}: {path} does not exist; put the file there first")
        else:
            texts[name] = text.encode("ascii", "replace").decode()
    if found:
        return found
    if CA in texts:
        found += [f"{CA}: {files[CA]} {problem}" for problem in _check_ca(texts[CA])]
    if CERTIFICATE in texts and KEY in texts:
        found += [f"{name}: {files[name]} {problem}" for name, problem in _check_pair(texts[CERTIFICATE], texts[KEY])]
    return found


def _check_ca(text: str) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        yield "is not a certificate in PEM form"
        return
    ends = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
    if ends and max(ends) < time.time():
        yield "has expired, so no client could connect"


def _check_pair(certificate: str, key: str) -> Iterator[tuple[str, str]]:
    """Yield key of daemon.json and problem. A client that trusts the certificate connects to it, in memory: that fails as it would for clients."""
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for context in (client, server):
        context.set_ciphers(_CIPHERS)
    try:
        client.load_verify_locations(cadata=certificate)
    except (ssl.SSLError, ValueError):
        yield CERTIFICATE, "is not a certificate in PEM form"
        return
    try:
        with _keep_in_memory(certificate) as first, _keep_in_memory(key) as second:
            server.load_cert_chain(first, second, password=_reject_encrypted)
        _shake_hands(client, server)
    except _Encrypted:
        yield KEY, "is encrypted, and the engine cannot ask for its password; write it without one"
    except ssl.SSLCertVerificationError as error:
        yield CERTIFICATE, f"is rejected by clients: {error.verify_message}"
    except ssl.SSLError as error:
        is_other = error.reason == "KEY_VALUES_MISMATCH"
        yield KEY, "does not belong to the certificate of tlscert" if is_other else "is not a key in PEM form"


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    for _round in range(_ROUNDS):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()


def _reject_encrypted(*unused: object) -> NoReturn:
    raise _Encrypted


@contextmanager
def _keep_in_memory(text: str) -> Iterator[str]:
    """Give a text a path, without a file on a disk."""
    handle = os.memfd_create("bulkhead")
    try:
        os.write(handle, text.encode())
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
