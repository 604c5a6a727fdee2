"""From where a request comes, as coarsely as it takes to slow down a flood."""

import ipaddress

#: How many bits of an address say whose it is: a provider hands out the rest as it likes.
PREFIX = {4: 24, 6: 48}


def network_of(address: str) -> str:
    """Return the network of an IP address, as ``203.0.113.0/24`` or ``2001:db8::/48``.

    :param address: what the server gives for the client, possibly with a zone; anything that is no
        address (a Unix socket's) is a network of its own.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return str(ipaddress.ip_network(f"{ip}/{PREFIX[ip.version]}", strict=False))
