"""The user's phone: Linphone on the host `phone`, which fetches its configuration by a link and registers with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .tools import ROOT, Lab

MESSAGES = ROOT / "tests" / "lab" / ".state" / "messages"
#: Fetches, registers, and ends by itself. The link is the first argument.
LINPHONE = """
home=$(mktemp -d) && trap 'rm -rf "$home"' EXIT && mkdir -p "$home/.local/share/linphone"
printf '[misc]\\nconfig-uri=%s\\n[sip]\\nroot_ca=/etc/ssl/certs/ca-certificates.crt\\n' "$1" > "$home/rc"
printf 'sip_port=-1\\nsip_tcp_port=-1\\n' >> "$home/rc"
(sleep 12; echo quit) | HOME=$home timeout 20 linphonec -c "$home/rc" > /dev/null 2>&1 || true
"""


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
