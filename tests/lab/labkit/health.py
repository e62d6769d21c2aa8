"""Ask every host whether it does its work: from the control node as a client would, and on the host itself."""

import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from . import containers, faults, podman, state
from .errors import LabError
from .hosts import HOSTS, PBXS, SERVERS, Host
from .paths import STATE

Check = Callable[[Host], list[str] | None]
ANSWER_SECONDS = 3
OPTIONS = (
    "OPTIONS sip:{domain};transport=tls SIP/2.0\r\n"
    "Via: SIP/2.0/TLS {local};branch=z9hG4bKlab{stamp};rport\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:lab@{domain}>;tag=lab{stamp}\r\n"
    "To: <sip:{domain}>\r\n"
    "Call-ID: lab{stamp}\r\n"
    "CSeq: 1 OPTIONS\r\n"
    "Contact: <sip:lab@{local};transport=tls>\r\n"
    "Content-Length: 0\r\n\r\n"
)


def checks(host: Host) -> list[Check]:
    """What a host is asked, the cheap questions first."""
    own: list[Check] = []
    if host.is_pbx:
        own = [sip, provisioning]
    elif host.name == "tracker":
        own = [tracker]
    elif host.name == "edge":
        own = [paths]
    return [*own, ssh, inside]


def problems(host: Host) -> list[str]:
    """What is wrong with a host, in words; empty when it is healthy."""
    asked = checks(host)
    with ThreadPoolExecutor(len(asked)) as pool:
        return [problem for found in pool.map(lambda check: attempt(check, host), asked) for problem in found]


def first_problems(host: Host) -> list[str]:
    """What the first failing check says: while a host boots there is no use in asking on."""
    return next(filter(None, (attempt(check, host) for check in checks(host))), [])


def attempt(check: Check, host: Host) -> list[str]:
    try:
        return check(host) or []
    except (OSError, LabError, ValueError) as error:
        return [f"{check.__name__}: {error}"]


def ssh(host: Host) -> None:
    """A login with the lab's key, as Ansible makes it."""
    options = [f"UserKnownHostsFile={STATE / 'known_hosts'}", "BatchMode=yes", f"ConnectTimeout={ANSWER_SECONDS}"]
    words = [word for option in options for word in ("-o", option)]
    place = ["-p", str(host.ssh_port), f"{host.user}@{host.address}"]
    podman.call(["ssh", "-F", "none", "-i", str(STATE / "id_ed25519"), *words, *place, "true"], 10)


def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(STATE / "ca.crt"))


def sip(host: Host) -> None:
    """OPTIONS over TLS with the certificate verified; any final answer will do."""
    with (
        socket.create_connection((host.address, 5061), ANSWER_SECONDS) as plain,
        trust().wrap_socket(plain, server_hostname=host.domain_name) as connection,
    ):
        local = "{}:{}".format(*connection.getsockname())
        connection.sendall(OPTIONS.format(domain=host.domain_name, local=local, stamp=time.time_ns()).encode())
        answer = connection.recv(512)
    if not answer.startswith(b"SIP/2.0 "):
        raise ValueError(f"Asterisk said {answer!r}")


def provisioning(host: Host) -> None:
    connection = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unnamed(trust()))
    )
    try:
        connection.open(f"https://{host.address}/provisioning/health", timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError as error:
        raise ValueError(f"status {error.code}") from None


def unnamed(context: ssl.SSLContext) -> ssl.SSLContext:
    """The control node reaches the service by address: the lab's names are known on its hosts alone."""
    context.check_hostname = False
    return context


def tracker(host: Host) -> None:
    url = state.read_secrets()["tracker"]["url"]
    request = urllib.request.Request(f"{url}/REST/2.0/rt", headers={"Authorization": f"token {tracker_token()}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_SECONDS) as answer:
            json.load(answer)
    except urllib.error.HTTPError as error:
        raise ValueError(f"status {error.code}") from None


def tracker_token() -> str:
    """The tracker makes its token when its image is made; it is kept in the state for everyone who needs it."""
    token = podman.run_script("tracker", "cat /opt/lab/token").stdout
    state.keep(state.TRACKER_TOKEN, token)
    return token


def inside(host: Host) -> list[str]:
    """The host's own word: /etc/lab/health prints a line per problem."""
    done = podman.run_script(host.name, "test ! -x /etc/lab/health || /etc/lab/health", timeout=20)
    return done.stdout.splitlines() if done.returncode else []


def paths(host: Host) -> list[str]:
    """Whether the phone gets names from both resolvers and reaches the PBXs through the edge."""
    if "running" not in podman.podman("ps", "--filter=name=^reconnect-phone$", "--format={{.State}}"):
        return []
    with faults.active() as known:
        broken = {server for _, server in known}
    up = containers.states()
    whole = [pbx for pbx in PBXS if pbx.name not in broken and up.get(pbx.name, ("",))[0] == "running"]
    pbxs = " ".join(f"{pbx.name}:{pbx.places[SERVERS]}" for pbx in whole)
    done = podman.run_script("phone", f"pbxs='{pbxs}'\n{PATHS}", timeout=20)
    return done.stdout.splitlines() if done.returncode else []


PATHS = """
name_is() {  # name_is RESOLVER NAME TYPE EXPECTED
    [ "$(dig +short +time=1 +tries=1 @$1 $2 $3)" = "$4" ] || echo "resolver $1: wrong $3 of $2"
}

problems=$(
    for pbx in $pbxs; do
        name=${pbx%:*}.reconnect.test number=${pbx#*:}
        for resolver in 198.18.10.1 198.18.20.1; do
            name_is $resolver $name A 198.18.20.$number
            name_is $resolver _sips._tcp.$name SRV "0 0 5061 $name."
        done
        for address in 198.18.20.$number 2001:2:0:20::$number; do
            ping -c 1 -W 1 -q $address >/dev/null || echo "the phone can't reach $address"
        done
    done
)
[ -z "$problems" ] || { echo "$problems"; exit 1; }
"""


def wait(hosts: list[Host], seconds: float) -> dict[str, list[str]]:
    """Ask again until every host is healthy; what is still wrong after `seconds`, by host name."""
    deadline = time.monotonic() + seconds
    left = {host.name: ["not asked yet"] for host in hosts}
    with ThreadPoolExecutor(len(hosts) or 1) as pool:
        while True:
            names = list(left)
            answers = pool.map(lambda name: first_problems(HOSTS[name]), names)
            left = {name: found for name, found in zip(names, answers, strict=True) if found}
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.2)  # between two questions, not for an answer
