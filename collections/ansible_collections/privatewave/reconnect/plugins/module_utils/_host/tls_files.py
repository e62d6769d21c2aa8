# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate and the private key on the disk: can Asterisk use them, and would clients accept them?"""

from __future__ import annotations

import base64
import os
import pwd
import ssl
import stat
import time
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils import _files
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config, files, process
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import tls, x509
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import (
        CertificateFile,
        IntermediateFile,
        KeyFile,
        TlsFiles,
        Trust,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import CertificateDetails
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

    #: A user id and group ids.
    User = tuple[int, list[int]]

_DEFAULT_USER = "asterisk"
#: The most files beside the certificate that are searched for its intermediate.
_NEIGHBOURS = 50
#: Seconds to read and compare them, and the most turns of a handshake in memory.
LIMIT = 3.0
_TURNS = 20


def question(settings: Settings, authorities: str | None) -> tuple[Callable[[], TlsFiles], float]:
    """``(function, limit in seconds)`` that reads the files; ``authorities`` are those of `tls_files`."""
    return (lambda: tls_files(settings, authorities)), LIMIT


def tls_files(settings: Settings, authorities: str | None = None) -> TlsFiles:
    """The certificate and the key of the settings; the key itself never leaves this function.

    ``authorities`` is PEM text of those that clients trust, None: those of the system. Raises `ProbeError` ``skipped``
    when no certificate is configured and ``invalid`` when Asterisk cannot use the file, and `OSError` when we cannot
    read it.
    """
    path = settings.get("tls_certificate_file")
    if not path:
        raise ProbeError("skipped", "tls_certificate_file is not set")
    # One file can hold both.
    key_path = settings.get("tls_key_file") or path
    try:
        with open(path, encoding="ascii", errors="replace", opener=_files.opener) as file:
            text = file.read(x509.MAX_SIZE * x509.MAX_CHAIN)
            changed = os.fstat(file.fileno()).st_mtime
        chain = x509.pem_chain(text)
        details = x509.details(chain[0])
    except IsADirectoryError:
        raise ProbeError("invalid", "{0} is a folder".format(path)) from None
    except x509.Invalid as error:
        raise ProbeError("invalid", "{0}: {1}".format(path, error)) from None
    user = _user_of_asterisk(settings)
    if not can_read(path, *user):
        raise ProbeError("invalid", "{0}: user {1}, who runs Asterisk, may not read it".format(path, user[0]))
    certificate: CertificateFile = {
        **details,
        "path": path,
        "der": [base64.b64encode(one).decode("ascii") for one in chain],
        "mtime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(changed)),
    }
    key = key_facts(path, key_path, user)
    return {
        "certificate": certificate,
        "key": key,
        "intermediate": intermediate(os.path.dirname(path), chain[-1]),
        "trust": trust(path, key, details, settings.get("sip_domain") or "", authorities),
    }


def trust(
    certificate_path: str, key: KeyFile, details: CertificateDetails, name: str, authorities: str | None
) -> Trust:
    """Whether a client that trusts ``authorities`` would accept what is on the disk for a ``name``.

    A client and a server shake hands in memory, so that OpenSSL itself says whether key, chain and dates fit together.
    """
    matches = tls.name_matches(details, name) if name else None
    found: Trust = {"verified": None, "verify_code": None, "verify_message": "", "name_matches": matches}
    if not key["matches"]:
        return {**found, "verify_message": "the key is invalid"}
    try:
        client = tls.verifying_context(authorities)
    except (ssl.SSLError, ValueError) as error:
        return {**found, "verify_message": "invalid CA certificates of the clients: {0}".format(error)}
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certificate_path, key["path"], password=lambda: "")
        _shake_hands(client, server, name)
    except ssl.SSLCertVerificationError as error:
        return {**found, "verified": False, "verify_code": error.verify_code, "verify_message": error.verify_message}
    except (ssl.SSLError, OSError, ValueError) as error:
        return {**found, "verify_message": "no handshake with it: {0}".format(error)}
    return {**found, "verified": True, "verify_code": 0, "verify_message": "ok"}


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """A handshake without a network. Raises `ssl.SSLError`."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=name or None),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _turn in range(_TURNS):
        waiting = []
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(side)
        if not waiting:
            return
    raise ssl.SSLError("it did not end")


def intermediate(folder: str, der: bytes) -> IntermediateFile | None:
    """The certificate in a folder that belongs between another one and its authority, or None."""
    try:
        last = x509.details(der)
    except x509.Invalid:
        return None
    for name in [] if last["self_signed"] else sorted(os.listdir(folder))[:_NEIGHBOURS]:
        path = os.path.join(folder, name)
        try:
            # Only regular files: a pipe could block us.
            if os.path.isfile(path):
                chain = x509.pem_chain(files.read(path, x509.MAX_SIZE * x509.MAX_CHAIN))
                for one in map(x509.details, chain):
                    if one["subject"] == last["issuer"] and not one["self_signed"]:
                        return {"path": path, "subject": one["subject"], "issuer": one["issuer"]}
        except (OSError, x509.Invalid):
            continue
    return None


def key_facts(certificate_path: str, key_path: str, user: User) -> KeyFile:
    """Whether a user can read a key, and whether the key belongs to the certificate.

    ``readable`` and ``matches`` are None when nobody can tell; ``error`` says why, or what is wrong.
    """
    found: KeyFile = {"path": key_path, "readable": None, "encrypted": None, "matches": None, "error": None}
    try:
        found["readable"] = can_read(key_path, *user)
        if not found["readable"]:
            found["error"] = "user {0} may not read it".format(user[0])
        found["encrypted"] = "ENCRYPTED" in files.read(key_path, x509.MAX_SIZE)
    except FileNotFoundError:
        return {**found, "readable": False, "error": "there is no such file"}
    except OSError as error:
        return {**found, "error": error.strerror}
    if not found["encrypted"]:
        try:
            # An empty passphrase: OpenSSL must never ask for one on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_path, key_path, password=lambda: "")
            found["matches"] = True
        except ssl.SSLError as error:
            reason = error.reason or "it is not a private key"
            found["matches"], found["error"] = False, reason.lower().replace("_", " ")
    return found


def can_read(path: str, uid: int, gids: Collection[int]) -> bool:
    """Whether the mode bits let a user read a file and enter the folders above it. Raises `OSError`."""
    if uid == 0:
        return True
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    while True:
        if not _allows(os.stat(folder), uid, gids, stat.S_IXUSR):
            return False
        if folder == os.path.dirname(folder):
            break
        folder = os.path.dirname(folder)
    return _allows(os.stat(path), uid, gids, stat.S_IRUSR)


def _allows(status: os.stat_result, uid: int, gids: Collection[int], bit: int) -> bool:
    """Whether the mode bit (given as the owner's) is set for the class of the user."""
    shift = 0 if status.st_uid == uid else 3 if status.st_gid in gids else 6
    return bool(status.st_mode & (bit >> shift))


def _user_of_asterisk(settings: Settings) -> User:
    """The user that Asterisk runs as, or is configured to run as when it is stopped."""
    try:
        pid = process.main_pid(settings.get("asterisk_unit", "asterisk.service"), ["/run/asterisk/asterisk.pid"])
        return parse_ids(files.read("/proc/{0}/status".format(pid)))
    except (ProbeError, OSError, KeyError):
        pass
    name = config.read("asterisk.conf").get("options", {}).get("runuser", _DEFAULT_USER)
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return 0, [0]
    return user.pw_uid, os.getgrouplist(name, user.pw_gid)


def parse_ids(text: str) -> User:
    """The effective user id and all group ids in the text of ``/proc/PID/status``. Raises `KeyError`."""
    lines = {name: value for name, _tab, value in (line.partition(":\t") for line in text.splitlines())}
    groups = [int(word) for word in lines.get("Groups", "").split()]
    return int(lines["Uid"].split()[1]), [int(lines["Gid"].split()[1]), *groups]
