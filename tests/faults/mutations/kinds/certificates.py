"""Certificates and keys of SIP over TLS and of the provisioning service."""

from __future__ import annotations

from random import Random

from ..mutation import Facts, Mutation, effect, write

PROVISIONING = "reconnect-provisioning"
CAUSES = {
    "expired": ("tls_certificate_expired",),
    "not_yet_valid": ("tls_certificate_not_yet_valid",),
    "name_mismatch": ("tls_certificate_name_mismatch",),
    "untrusted": ("tls_certificate_untrusted",),
    "chain_incomplete": ("tls_chain_incomplete", "tls_certificate_untrusted"),
    "ends_soon": (),
}
KEY = ("tls_key_unusable",)


def draw(rng: Random, facts: Facts) -> Mutation | None:
    """Another certificate, another key, or one that cannot be read."""
    # Most clients meet the certificate of SIP.
    unit = rng.choice(("asterisk", "asterisk", "asterisk", PROVISIONING))
    if not facts.tls or (unit == PROVISIONING and f"{PROVISIONING}.service" not in facts.units):
        return None
    path = facts.tls if unit == "asterisk" else "/etc/provisioning/server"
    certificate, key = f"{path}.crt", f"{path}.key"
    change = rng.choice((*CAUSES, "other_key", "encrypted_key", "unreadable_key", "order", "no_key", "der", "in_key"))
    if change in CAUSES:
        # The certificates of the lab are for the key of SIP.
        own = "" if unit == "asterisk" else f"cat /etc/asterisk/keys/server.key > {key}\n"
        apply, target = own + write(certificate, facts.certificates[change]), certificate
    else:
        apply, target = {
            "other_key": (f"openssl genpkey -quiet -algorithm RSA > {key}\n", key),
            "encrypted_key": (
                f"openssl rsa -aes256 -passout pass:secret -in {key} -out {key}.new 2>/dev/null\n"
                f"cat {key}.new > {key}\nrm {key}.new\n",
                key,
            ),
            "unreadable_key": (f"chown root:root {key}\nchmod 600 {key}\n", key),
            "order": (
                f'awk \'/BEGIN/ {{ n++ }} {{ part[n] = part[n] $0 "\\n" }} END {{ for (i = n; i > 0; i--) '
                f'printf "%s", part[i] }}\' {certificate} > /run/mutation.crt\n'
                f"cat /run/mutation.crt > {certificate}\nrm /run/mutation.crt\n",
                certificate,
            ),
            "no_key": (f": > {key}\n", key),
            "der": (
                f"openssl x509 -in {certificate} -outform DER -out /run/mutation.crt\n"
                f"cat /run/mutation.crt > {certificate}\nrm /run/mutation.crt\n",
                certificate,
            ),
            "in_key": (f"cat {certificate} > {key}\n", key),
        }[change]
    word, started = effect(rng, unit)
    return Mutation(
        kind=f"certificates.{change}",
        target=target,
        before="a chain and its key",
        after=change,
        apply=apply + started,
        keeps=(certificate, key),
        units=(unit,),
        effect=word,
        causes=CAUSES.get(change, (*KEY, "tls_certificate_unusable", "transport_not_bound", "provisioning_down")),
    )
