"""The user's phone: Linphone on the host `phone`, which fetches its configuration by a link, registers and calls."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labkit.hosts import HOSTS

from .tools import LAB, ROOT, Lab, ToolError, beside, password_of

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
systemd-run --quiet --collect --unit="$1" --setenv=HOME="/run/$1" --property=RuntimeMaxSec=600 -- \\
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
#: With other phones on the same host, and encrypted as the reserved accounts must be. Without a microphone nothing is
#: sent, so nothing comes back: by default the phone would end such a call after half a minute.
TALKS = """
[sip]
media_encryption=srtp
[rtp]
audio_rtp_port=-1
nortp_timeout=3600
[sound]
echocancellation=0
"""
#: The reserved account that no diagnosis registers as.
CALLER = "602"
#: The extension that answers and sends back what it hears.
ECHO = "600"
#: Seconds that a call may take to be answered.
RINGS = 10.0
#: The ids of the channels that an application has answered.
CHANNELS = "timeout --signal=KILL 10 asterisk -rx 'core show channels concise' | grep '!Echo!' | sed 's/.*!//'"
LIVING = """
[sip]
sip_port=-1
sip_tcp_port=-1
sip_tls_port=-1
root_ca=/etc/ssl/certs/ca-certificates.crt
default_proxy=0
[proxy_0]
reg_proxy=<sip:{domain};transport={transport}>
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
    # One that a run left behind which was killed.
    lab.run("phone", "sh", "-c", f"[ -d '/run/{name}' ] || exit 0\n{LEAVES}", "sh", name)
    subprocess.run([LAB, "exec", "phone", "--", "sh", "-c", STAYS, "sh", name], input=configuration, text=True)
    try:
        yield lambda: lab.run("phone", "cat", f"/run/{name}/log")
    finally:
        lab.run("phone", "sh", "-c", LEAVES, "sh", name)


@contextmanager
def stays_connected(lab: Lab, domain: str, account: str, password: str) -> Iterator[Callable[[], str]]:
    """Meanwhile the user's phone is registered at ``domain`` and answers; gives a function that reads its log."""
    configuration = LIVING.format(domain=domain, transport="tls", account=account, password=password)
    with linphone(lab, f"living-{domain}", configuration) as log:
        assert "to [LinphoneRegistrationOk]" in log()
        yield log


class Calling:
    """A call of the user's phone to an extension that answers and goes on until one of the two ends it."""

    def __init__(self, lab: Lab, name: str, server: str, target: str) -> None:
        self._lab = lab
        self._name = name
        self._server = server
        self._target = target

    def up(self) -> set[str]:
        """The ids of the calls' channels in Asterisk; none where its console does not answer."""
        try:
            return set(self._lab.run(self._server, "sh", "-c", CHANNELS).split())
        except ToolError:
            return set()

    def placed(self) -> set[str]:
        """The same, once a call is up; it is placed where none is, and waited for no longer than a phone rings."""
        if not (found := self.up()):
            self._lab.run("phone", "sh", "-c", 'echo "call $2" > "/run/$1/words"', "sh", self._name, self._target)
            deadline = time.monotonic() + RINGS
            while not (found := self.up()) and time.monotonic() < deadline:
                time.sleep(0.5)  # between two looks at the console
        return found


@contextmanager
def calling(lab: Lab, server: str) -> Iterator[Calling]:
    """Meanwhile a phone of its own, which a call can be placed from, is registered as a reserved account."""
    name, domain = f"calling-{server}", HOSTS[server].domain_name
    configuration = LIVING.format(domain=domain, transport="tls", account=CALLER, password=password_of(server, CALLER))
    with linphone(lab, name, configuration + TALKS):
        yield Calling(lab, name, server, f"sip:{ECHO}@{domain}")


@contextmanager
def follows_the_message(lab: Lab, account: str, seconds: float = 60) -> Iterator[None]:
    """Meanwhile the user opens the link in the next message for ``account`` on the phone, and stays connected."""
    message = MESSAGES / f"{account}.txt"
    message.unlink(missing_ok=True)

    def follow(over: threading.Event) -> None:
        deadline = time.monotonic() + seconds
        while not message.exists() and time.monotonic() < deadline and not over.wait(0.2):
            pass
        if message.exists():
            link = next(word for word in message.read_text().split() if word.startswith("https://"))
            with linphone(lab, f"following-{account}", BY_LINK.format(link=link)):
                over.wait(seconds)

    try:
        with beside(follow):
            yield
    finally:
        message.unlink(missing_ok=True)
