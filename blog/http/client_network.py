"""The network of a client, for limits that include its neighbours."""

import ipaddress

#: The bits of an address that identify a customer or a small network of a provider.
PREFIX = {4: 24, 6: 48}


def address_of(text: str) -> str | None:
    """Parse an IP address as servers and proxies write it; return None if it is not one.

    :param text: such as ``192.0.2.1``, ``192.0.2.1:80``, ``"[2001:db8::1]:80"``, ``fe80::1%eth0``
        or ``::ffff:192.0.2.1``, which is the address 192.0.2.1.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str((ip.version == 6 and ip.ipv4_mapped) or ip)


def network_of(address: str) -> str:
    """Return the network of an IP address, as ``203.0.113.0/24`` or ``2001:db8::/48``.

    :param address: REMOTE_ADDR, in any form that :func:`address_of` parses; any other value (as
        of a Unix socket) is returned unchanged.
    """
    bare = address_of(address)
    if bare is None:
        return address
    prefix = PREFIX[ipaddress.ip_address(bare).version]
    return str(ipaddress.ip_network(f"{bare}/{prefix}", strict=False))
