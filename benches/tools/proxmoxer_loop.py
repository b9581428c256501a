"""What people write to find their guests: a loop with proxmoxer over nodes, guests, configurations and agents.

Prints one line of JSON: seconds, rows, addresses. Takes host, port, token id (user@realm!name) and a file with its secret.
"""

import json
import sys
import time

import urllib3
from proxmoxer import ProxmoxAPI
from proxmoxer.core import ResourceException

urllib3.disable_warnings()


def macs(config):
    found = []
    for key, line in config.items():
        if key.startswith("net") and key[3:].isdigit():
            for part in line.split(","):
                name, _, value = part.partition("=")
                if value.count(":") == 5:
                    found.append(value.lower())
    return found


def addresses(interfaces, cards, key, list_key, address_key):
    found = []
    for interface in interfaces:
        if interface.get(key, "").lower() not in cards:
            continue
        for address in interface.get(list_key) or []:
            text = address[address_key]
            if not text.startswith(("127.", "fe80:", "169.254.")) and text != "::1":
                found.append(text)
    return found


def main():
    host, port, token, secret_file = sys.argv[1:5]
    with open(secret_file, encoding="utf-8") as file:
        secret = file.read().split()[-1]
    user, name = token.split("!")
    begun = time.monotonic()
    api = ProxmoxAPI(host, port=int(port), user=user, token_name=name, token_value=secret, verify_ssl=False, timeout=60)
    rows = {}
    for node in api.nodes.get():
        for kind in ("qemu", "lxc"):
            for guest in getattr(api.nodes(node["node"]), kind).get():
                handle = getattr(api.nodes(node["node"]), kind)(guest["vmid"])
                config = handle.config.get()
                cards, found = macs(config), []
                if guest["status"] == "running":
                    try:
                        if kind == "lxc":
                            found = addresses(handle.interfaces.get() or [], cards, "hwaddr", "ip-addresses", "ip-address")
                        elif config.get("agent"):
                            said = handle.agent("network-get-interfaces").get()["result"]
                            found = addresses(said, cards, "hardware-address", "ip-addresses", "ip-address")
                    except ResourceException:
                        pass
                rows[str(guest["vmid"])] = found
    print(json.dumps({"seconds": time.monotonic() - begun, "rows": rows}))


main()
