"""The lab's command line."""

import argparse
import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from . import containers, faults, health, images, network, podman, state
from .errors import LabError
from .hosts import HOSTS, PBXS, Host
from .paths import LAB, STATE

UP_SECONDS = 60
# A host that a heal has not brought back by then is booted again.
HEAL_SECONDS = 12


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    try:
        if not podman.is_root():
            enter(options, arguments)
        code: int = options.run(options)
        return code
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return error.code
    except PermissionError as error:
        print(f"lab: {error.filename} belongs to somebody else: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def enter(options: argparse.Namespace, arguments: list[str]) -> None:
    """Start this command again where a user's networks are: podman keeps them in a namespace of its own.

    Images are made before, outside: mmdebstrap makes its own namespace, which it can't within podman's.
    """
    podman.check()
    if options.run is up:
        hosts = chosen(options.hosts)
        with alone():
            state.create()
            images.provide(hosts, say)
    command = ["podman", "unshare", "--rootless-netns", sys.executable, str(LAB / "lab"), *arguments]
    os.execvp(command[0], command)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lab", description="Real hosts to diagnose, and faults to break them with.")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    added = command("up", up, "Make the images that are missing, boot the hosts, wait until every one answers.")
    added.add_argument("hosts", nargs="*", metavar="HOST", help=", ".join(HOSTS))
    command("down", down, "End every host and network.")
    command("status", status, "Show every host, what is wrong with it, and the faults in effect.")
    added = command("reset", reset, "Bring back the healthy state, whatever was broken.")
    added.add_argument("hosts", nargs="*", metavar="HOST", help="boot these again and leave the others alone")
    added = command("break", break_, "Inject a fault; returns when it is in effect.")
    added.add_argument("fault", metavar="FAULT", help="a file of tests/faults, without .yml")
    added.add_argument(
        "--host", metavar="H", default=PBXS[0].name, help="the server that suffers (default: %(default)s)"
    )
    added = command("heal", heal, "Heal a fault, or all of them; returns when the hosts are healthy.")
    added.add_argument("fault", metavar="FAULT", nargs="?")
    added.add_argument("--host", metavar="H", help="only on this server")
    added = command("exec", execute, "Run a command on a host.")
    added.add_argument("host", metavar="HOST")
    added.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    return top


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def chosen(names: list[str]) -> list[Host]:
    for name in names:
        if name not in HOSTS:
            raise LabError(f"there is no host {name!r}; there are {', '.join(HOSTS)}.", 2)
    return [HOSTS[name] for name in names or HOSTS]


def up(options: argparse.Namespace) -> int:
    hosts = chosen(options.hosts)
    began = time.monotonic()
    podman.check()
    with alone():
        state.create()
        forget_killed()
        images.provide(hosts, say)
        network.create()
        known = containers.states()
        boot([host for host in hosts if not containers.running(host, known)])
    settle(hosts, UP_SECONDS)
    say(f"{', '.join(host.name for host in hosts)}: up in {time.monotonic() - began:.0f} s")
    return 0


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other call of this command makes images or boots hosts."""
    STATE.mkdir(mode=0o700, exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def boot(hosts: list[Host]) -> None:
    with ThreadPoolExecutor(len(hosts) or 1) as pool:
        list(pool.map(containers.start, hosts))


def settle(hosts: list[Host], seconds: float) -> None:
    sick = health.wait(hosts, seconds)
    if sick:
        lines = [f"{name}: {problem}" for name, found in sick.items() for problem in found]
        raise LabError("after {:.0f} s still not healthy:\n  {}".format(seconds, "\n  ".join(lines)))


def down(options: argparse.Namespace) -> int:
    podman.check()
    with alone():
        forget_killed()
        remove()
    return 0


def forget_killed() -> None:
    """Remove what is left of a lab that was killed together with the network namespaces of its hosts."""
    lost = podman.replace_lost_namespaces()
    if lost:
        remove()
        podman.drop_namespaces(lost)


def remove() -> None:
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        list(pool.map(containers.remove, HOSTS.values()))
    network.remove()
    faults.forget_all()


def status(options: argparse.Namespace) -> int:
    podman.check()
    known = containers.states()
    up_hosts = [host for host in HOSTS.values() if known.get(host.name, ("",))[0] == "running"]
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        found = dict(zip([host.name for host in up_hosts], pool.map(health.problems, up_hosts), strict=True))
    sick = False
    for host in HOSTS.values():
        if host.name not in found:
            word, details = "down", []
        else:
            details = found[host.name]
            word = "sick" if details else "healthy"
        sick = sick or word != "healthy"
        print(f"{host.name:<8} {host.address:<14} {word:<8} {'; '.join(details)}".rstrip())
    with faults.active() as active:
        for name, server in active:
            print(f"fault    {name} on {server}")
    return 1 if sick else 0


def reset(options: argparse.Namespace) -> int:
    began = time.monotonic()
    podman.check()
    hosts = chosen(options.hosts)
    with alone():
        if options.hosts:
            faults.forget_of(options.hosts)
            hosts = boot_again(hosts, lambda: boot(hosts))
        else:
            faults.forget_all()
            hosts = boot_again(hosts, renew)
    settle(hosts, UP_SECONDS)
    say(f"healthy again in {time.monotonic() - began:.1f} s")
    return 0


def boot_again(hosts: list[Host], attempt: Callable[[], None]) -> list[Host]:
    """Boot hosts again by an attempt; where podman refuses it, boot every host of the lab. Those that were booted."""
    there = {*containers.states(), *(host.name for host in hosts)}
    try:
        attempt()
    except LabError as error:
        # Podman was seen to keep the address of a container that is gone. It forgets it with the network.
        say(f"making networks and hosts again: {error}")
        hosts = [host for name, host in HOSTS.items() if name in there]
        remove()
        network.create()
        boot(hosts)
    return hosts


def renew() -> None:
    """Boot again what can have been broken."""
    # Servers and edge boot again whatever they report: a fault may be one that no check knows.
    suspects = [
        host for host in HOSTS.values() if host.is_pbx or host.is_stranger or host.before or host.name == "edge"
    ]
    known = containers.states()
    others = [host for host in HOSTS.values() if host not in suspects]
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        booted = [pool.submit(containers.start, host) for host in suspects]
        asked = {host.name: pool.submit(host_is_well, host, known) for host in others}
        for each in booted:
            each.result()
    boot([host for host in others if not asked[host.name].result()])


def break_(options: argparse.Namespace) -> int:
    fault = faults.read(options.fault)
    chosen([options.host])
    containers.require(HOSTS[fault.host(options.host)])
    faults.inject(fault, options.host)
    say(f"{options.host}: {fault.what}")
    return 0


def heal(options: argparse.Namespace) -> int:
    wanted = faults.read(options.fault).name if options.fault else None
    with faults.active() as known:
        found = [(name, server) for name, server in known if wanted in (None, name) and options.host in (None, server)]
    touched: list[str] = []
    for name, server in reversed(found):
        fault = faults.read(name)
        failure = faults.heal(fault, server)
        if failure:
            say(f"{fault.host(server)}: {failure}")
        # While a fault lasts, honest clients look like attackers and get banned; that ends with it.
        podman.run_script(server, "fail2ban-client unban --all")
        touched += [server, fault.host(server)]
    recover([HOSTS[name] for name in dict.fromkeys(touched)])
    return 0


def recover(hosts: list[Host]) -> None:
    """Wait until hosts are healthy; boot those again that do not get there by themselves."""
    sick = health.wait(hosts, HEAL_SECONDS)
    if sick:
        say(f"booting {', '.join(sick)} again: {'; '.join(problem for found in sick.values() for problem in found)}")
        again = [HOSTS[name] for name in sick]
        with alone():
            again = boot_again(again, lambda: boot([HOSTS[name] for name in sick]))
        settle([*hosts, *(host for host in again if host not in hosts)], UP_SECONDS)


def host_is_well(host: Host, known: dict[str, tuple[str, str]]) -> bool:
    return containers.running(host, known) and not health.problems(host)


def execute(options: argparse.Namespace) -> int:
    (host,) = chosen([options.host])
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not words:
        raise LabError("which command? tests/lab/lab exec HOST -- COMMAND…", 2)
    containers.require(host)
    terminal = ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    command = [*podman.prefix(), "exec", "--interactive", *terminal, podman.container(host.name), *words]
    os.execvp(command[0], command)
