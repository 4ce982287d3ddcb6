"""The sandbox company behind its vendors' own interfaces: servers on loopback that speak the vendors' dialects.

Each module has `make_app(company, day)`, an application without state outside itself; `serve` puts one on a port. What
a test steers lies under `/_sandbox/`, outside every vendor's paths (see `control` and `faults`).
"""

from onefunnel.sandbox.servers.serving import VENDORS, connection, following, serve, serve_all

__all__ = ["VENDORS", "connection", "following", "serve", "serve_all"]
