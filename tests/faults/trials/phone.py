"""The user's phone: Linphone on the host `phone`, which fetches its configuration by a link and registers with it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .tools import LAB, ROOT, Lab

MESSAGES = ROOT / "tests" / "lab" / ".state" / "messages"
#: Fetches, registers, and ends by itself. The link is the first argument.
LINPHONE = """
home=$(mktemp -d) && trap 'rm -rf "$home"' EXIT && mkdir -p "$home/.local/share/linphone"
printf '[misc]\\nconfig-uri=%s\\n[sip]\\nroot_ca=/etc/ssl/certs/ca-certificates.crt\\n' "$1" > "$home/rc"
printf 'sip_port=-1\\nsip_tcp_port=-1\\n' >> "$home/rc"
(sleep 12; echo quit) | HOME=$home timeout 20 linphonec -c "$home/rc" > /dev/null 2>&1 || true
"""
#: Registers and stays, in a folder of its own, until it is stopped. Its configuration comes on standard input.
STAYS = """
umask 077 && mkdir -p "/run/$1/.local/share/linphone" && cat > "/run/$1/rc"
systemd-run --quiet --collect --unit="$1" --setenv=HOME="/run/$1" --property=RuntimeMaxSec=120 -- \\
    sh -c 'sleep 120 | linphone-daemon --config $HOME/rc --log $HOME/log'
for try in $(seq 100); do
    if grep -qs 'to \\[LinphoneRegistrationOk\\]' "/run/$1/log"; then exit; fi
    sleep 0.1
done
exit 1
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
def stays_connected(lab: Lab, domain: str, account: str, password: str) -> Iterator[Callable[[], str]]:
    """Meanwhile the user's phone is registered at ``domain`` and answers; gives a function that reads its log."""
    name = f"living-{domain}"
    configuration = LIVING.format(domain=domain, account=account, password=password)
    subprocess.run(
        [LAB, "exec", "phone", "--", "sh", "-c", STAYS, "sh", name], input=configuration, text=True, check=True
    )
    try:
        yield lambda: lab.run("phone", "cat", f"/run/{name}/log")
    finally:
        lab.run("phone", "sh", "-c", 'systemctl stop "$1.service"; rm -rf "/run/$1"', "sh", name)


@contextmanager
def follows_the_message(lab: Lab, account: str, seconds: float = 60) -> Iterator[None]:
    """Meanwhile the user opens the link in the next message for ``account`` on the phone."""
    message = MESSAGES / f"{account}.txt"
    message.unlink(missing_ok=True)
    over = threading.Event()

    def follow() -> None:
        deadline = time.monotonic() + seconds
        while not message.exists() and time.monotonic() < deadline and not over.wait(0.2):
            pass
        if message.exists():
            link = next(word for word in message.read_text().split() if word.startswith("https://"))
            lab.run("phone", "sh", "-c", LINPHONE, "sh", link)

    user = threading.Thread(target=follow)
    user.start()
    try:
        yield
    finally:
        over.set()
        user.join()
        message.unlink(missing_ok=True)
