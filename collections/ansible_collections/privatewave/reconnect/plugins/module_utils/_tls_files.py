# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate and the private key on the disk, whatever is being served: can Asterisk use them?"""

from __future__ import annotations

import base64
import os
import pwd
import ssl
import stat
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils import _config, _process, _x509
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

_DEFAULT_USER = "asterisk"
#: Files beside the certificate that are looked at for its intermediate.
_NEIGHBOURS = 50


def tls_files(settings):
    """``{certificate: {path, der, details…, mtime}, key: {path, readable, encrypted, matches, error}, intermediate:
    {path, subject, issuer} or None}``.

    ``intermediate`` is a certificate that belongs between the last one of the file and its authority, where one lies
    in the same folder. The key itself never leaves this function. Raises `ProbeError` ``skipped`` when no certificate
    is configured, ``missing`` or ``denied`` when there is none to read, ``invalid`` when it is not a certificate.
    """
    path = settings.get("tls_certificate_file")
    if not path:
        raise ProbeError("skipped", "tls_certificate_file is not set")
    # One file may hold both.
    key_path = settings.get("tls_key_file") or path
    with open(path, encoding="ascii", errors="replace") as file:
        text = file.read(_x509.MAX_SIZE * _x509.MAX_CHAIN)
        changed = os.fstat(file.fileno()).st_mtime
    try:
        chain = _x509.pem_chain(text)
        certificate = _x509.details(chain[0])
    except _x509.Invalid as error:
        raise ProbeError("invalid", "{0}: {1}".format(path, error)) from None
    certificate.update(
        path=path,
        der=[base64.b64encode(one).decode("ascii") for one in chain],
        mtime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(changed)),
    )
    return {
        "certificate": certificate,
        "key": key_facts(path, key_path, _user_of_asterisk(settings)),
        "intermediate": intermediate(os.path.dirname(path), chain[-1]),
    }


def intermediate(folder, der):
    """``{path, subject, issuer}`` of the certificate in a folder that stands between another one and its authority."""
    try:
        last = _x509.details(der)
    except _x509.Invalid:
        return None
    for name in [] if last["self_signed"] else sorted(os.listdir(folder))[:_NEIGHBOURS]:
        path = os.path.join(folder, name)
        try:
            # Nothing that could make us wait is opened.
            if os.path.isfile(path):
                with open(path, encoding="ascii", errors="replace") as file:
                    chain = _x509.pem_chain(file.read(_x509.MAX_SIZE * _x509.MAX_CHAIN))
                for one in map(_x509.details, chain):
                    if one["subject"] == last["issuer"] and not one["self_signed"]:
                        return {"path": path, "subject": one["subject"], "issuer": one["issuer"]}
        except (OSError, _x509.Invalid):
            continue
    return None


def key_facts(certificate_path, key_path, user):
    """Whether a user, a pair of user id and group ids, can read a key, and whether it belongs to the certificate.

    ``readable`` and ``matches`` are None when they could not be found out; ``error`` says why, or what is wrong.
    """
    found = {"path": key_path, "readable": None, "encrypted": None, "matches": None, "error": None}
    try:
        found["readable"] = can_read(key_path, *user)
        if not found["readable"]:
            found["error"] = "user {0} may not read it".format(user[0])
        with open(key_path, encoding="ascii", errors="replace") as file:
            found["encrypted"] = "ENCRYPTED" in file.read(_x509.MAX_SIZE)
    except FileNotFoundError:
        return dict(found, readable=False, error="there is no such file")
    except OSError as error:
        return dict(found, error=error.strerror)
    if not found["encrypted"]:
        try:
            # The answer to a question for a passphrase: OpenSSL must never ask the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_path, key_path, password=lambda: "")
            found["matches"] = True
        except ssl.SSLError as error:
            reason = error.reason or "it is not a private key"
            found.update(matches=False, error=reason.lower().replace("_", " "))
    return found


def can_read(path, uid, gids):
    """Whether the mode bits let a user read a file, and pass through the folders to it."""
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


def _allows(status, uid, gids, bit):
    """Whether the mode bit (that of the owner) is set for the class the user belongs to."""
    shift = 0 if status.st_uid == uid else 3 if status.st_gid in gids else 6
    return bool(status.st_mode & (bit >> shift))


def _user_of_asterisk(settings):
    """The (user id, group ids) Asterisk runs with; of a stopped one, those it is told to run with."""
    try:
        pid = _process.main_pid(settings.get("asterisk_unit", "asterisk.service"), ["/run/asterisk/asterisk.pid"])
        with open("/proc/{0}/status".format(pid), encoding="utf-8", errors="replace") as file:
            return parse_ids(file.read(65536))
    except (ProbeError, OSError, KeyError):
        pass
    name = _config.read("asterisk.conf").get("options", {}).get("runuser", _DEFAULT_USER)
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return 0, [0]
    return user.pw_uid, os.getgrouplist(name, user.pw_gid)


def parse_ids(text):
    """The effective user id and all group ids in the text of ``/proc/PID/status``."""
    lines = dict(line.partition(":\t")[::2] for line in text.splitlines())
    groups = [int(word) for word in lines.get("Groups", "").split()]
    return int(lines["Uid"].split()[1]), [int(lines["Gid"].split()[1]), *groups]
