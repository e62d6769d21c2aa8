"""The hosts and networks of the lab: names, addresses, what they are made of."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Network:
    """A podman network without a way out; the machine itself is the last address."""

    name: str
    ipv4: str
    ipv6: str

    def address(self, number: int) -> str:
        return f"{self.ipv4}.{number}"

    def address6(self, number: int) -> str:
        return f"{self.ipv6}::{number}"

    def mac(self, number: int) -> str:
        """The same at every boot: the other hosts would go on sending to the old one for half a minute."""
        return "02:00:" + ":".join(f"{int(part):02x}" for part in self.address(number).split("."))


CONTROL_NODE = 254
CUSTOMER = Network("customer", "198.18.10", "2001:2:0:10")
SERVERS = Network("servers", "198.18.20", "2001:2:0:20")
NETWORKS = (CUSTOMER, SERVERS)


@dataclass(frozen=True)
class Host:
    """A host: the recipes its image is made of (later ones win) and its place in each network."""

    name: str
    recipes: tuple[str, ...]
    places: dict[Network, int]
    resolvers: tuple[str, ...] = field(default=("198.18.20.1",))
    #: The host whose Debian it is made of; its own set-up takes away what it should not have. Empty: its own.
    debian_of: str = ""
    #: Who logs in, and at which port.
    user: str = "root"
    ssh_port: int = 22
    #: Of a proxy: the PBX that it stands before.
    before: str = ""

    @property
    def address(self) -> str:
        """The address the control node reaches it at, in the servers' network when it is there."""
        network = SERVERS if SERVERS in self.places else CUSTOMER
        return network.address(self.places[network])

    @property
    def is_pbx(self) -> bool:
        return "pbx" in self.recipes

    @property
    def is_stranger(self) -> bool:
        """Whether it is a PBX as others set theirs up; it has accounts and no place in the lab's inventory."""
        return "stranger" in self.recipes

    @property
    def has_tls(self) -> bool:
        return self.is_pbx or bool(self.before) or "custom" in self.recipes

    @property
    def channel_driver(self) -> str:
        """Of a PBX: pjsip, or sip."""
        return "pjsip" if self.is_stranger or "pjsip" in self.recipes else "sip"

    @property
    def engine(self) -> str:
        """Of a PBX: the engine of its database."""
        return "postgresql" if "pgsql" in self.recipes else "mysql"

    @property
    def domain_name(self) -> str:
        return f"{self.name}.reconnect.test"


HOSTS = {
    host.name: host
    for host in (
        Host("edge", ("common", "edge"), {CUSTOMER: 1, SERVERS: 1}),
        Host("pbx22", ("common", "pbx", "mariadb", "pjsip", "pbx22"), {SERVERS: 22}),
        Host("pbx16", ("common", "pbx", "mariadb", "pbx16"), {SERVERS: 16}),
        Host("pgsql", ("common", "pbx", "pjsip", "pgsql"), {SERVERS: 23}),
        Host("plain", ("common", "stranger", "plain"), {SERVERS: 24}, debian_of="pbx22"),
        Host(
            *("custom", ("common", "stranger", "custom"), {SERVERS: 25}),
            debian_of="pbx22",
            user="ops",
            ssh_port=2222,
        ),
        Host("sbc", ("common", "sbc"), {SERVERS: 26}, before="pbx22"),
        Host("phone", ("common", "phone"), {CUSTOMER: 10}, ("198.18.10.1",)),
        Host("tracker", ("common", "tracker"), {SERVERS: 5}),
    )
}
PBXS = [host for host in HOSTS.values() if host.is_pbx]
STRANGERS = [host for host in HOSTS.values() if host.is_stranger]
# One server for each channel driver: who does not care about the engine of the database tries these.
USUAL = ("pbx22", "pbx16")
