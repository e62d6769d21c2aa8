"""The user's phone: Linphone on the host `phone`, which fetches its configuration by a link and registers with it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .tools import LAB, ROOT, Lab

MESSAGES = ROOT / "tests" / "lab" / ".state" / "messages"
#: Fetches what it needs to register by a link.
BY_LINK = """
[misc]
config-uri={link}
[sip]
root_ca=/etc/ssl/certs/ca-certificates.crt
sip_port=-1
sip_tcp_port=-1
"""
#: Registers and stays, in a folder of its own, until it is stopped. Its configuration comes on standard input.
STAYS = """
umask 077 && mkdir -p "/run/$1/.local/share/linphone" && cat > "/run/$1/rc"
systemd-run --quiet --collect --unit="$1" --setenv=HOME="/run/$1" --property=RuntimeMaxSec=120 -- \\
    sh -c 'mkfifo "$HOME/words" && exec linphone-daemon --config "$HOME/rc" --log "$HOME/log" <> "$HOME/words"'
for try in $(seq 100); do
    if grep -qs 'to \\[LinphoneRegistrationOk\\]' "/run/$1/log"; then exit; fi
    sleep 0.1
done
exit 1
"""
#: Unregisters and ends.
LEAVES = """
if systemctl --quiet is-active "$1"; then
    echo quit > "/run/$1/words"
    for try in $(seq 50); do
        systemctl --quiet is-active "$1" || break
        sleep 0.1
    done
fi
systemctl stop "$1.service"
rm -rf "/run/$1"
"""
LIVING = """
[sip]
sip_port=-1
sip_tcp_port=-1
sip_tls_port=-1
root_ca=/etc/ssl/certs/ca-certificates.crt
default_proxy=0
[proxy_0]
reg_proxy=<sip:{domain};transport=tls>
reg_identity=sip:{account}@{domain}
reg_expires=300
reg_sendregister=1
[auth_info_0]
username={account}
domain={domain}
passwd={password}
"""


@contextmanager
def linphone(lab: Lab, name: str, configuration: str) -> Iterator[Callable[[], str]]:
    """Meanwhile Linphone runs on the phone, and has registered if it could; gives a function that reads its log."""
    subprocess.run([LAB, "exec", "phone", "--", "sh", "-c", STAYS, "sh", name], input=configuration, text=True)
    try:
        yield lambda: lab.run("phone", "cat", f"/run/{name}/log")
    finally:
        lab.run("phone", "sh", "-c", LEAVES, "sh", name)


@contextmanager
def stays_connected(lab: Lab, domain: str, account: str, password: str) -> Iterator[Callable[[], str]]:
    """Meanwhile the user's phone is registered at ``domain`` and answers; gives a function that reads its log."""
    configuration = LIVING.format(domain=domain, account=account, password=password)
    with linphone(lab, f"living-{domain}", configuration) as log:
        assert "to [LinphoneRegistrationOk]" in log()
        yield log


@contextmanager
def follows_the_message(lab: Lab, account: str, seconds: float = 60) -> Iterator[None]:
    """Meanwhile the user opens the link in the next message for ``account`` on the phone, and stays connected."""
    message = MESSAGES / f"{account}.txt"
    message.unlink(missing_ok=True)
    over = threading.Event()

    def follow() -> None:
        deadline = time.monotonic() + seconds
        while not message.exists() and time.monotonic() < deadline and not over.wait(0.2):
            pass
        if message.exists():
            link = next(word for word in message.read_text().split() if word.startswith("https://"))
            with linphone(lab, f"following-{account}", BY_LINK.format(link=link)):
                over.wait(seconds)

    user = threading.Thread(target=follow)
    user.start()
    try:
        yield
    finally:
        over.set()
        user.join()
        message.unlink(missing_ok=True)
