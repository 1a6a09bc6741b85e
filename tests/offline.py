"""A guard against the network, for processes of tests: source text, for it runs inside of them.

Whatever is asked for beyond this machine raises OSError; where ``NETWORK_LOG`` names a folder, it is also written to
``foreign.log`` there, one line for each, and ``guarded.log`` holds the number of every process that the guard is in.
"""

GUARD = """
import os, socket
def _wrote(name, text):
    if os.environ.get("NETWORK_LOG"):
        with open(os.path.join(os.environ["NETWORK_LOG"], name), "a") as file:
            file.write(f"{os.getpid()} {text}\\n")
def _local(address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", None):
        _wrote("foreign.log", address)
        raise OSError(f"no network in this test: {address}")
def _guarded(method):
    def call(self, address, *rest):
        _local(address)
        return method(self, address, *rest)
    return call
socket.socket.connect = _guarded(socket.socket.connect)
socket.socket.connect_ex = _guarded(socket.socket.connect_ex)
_info = socket.getaddrinfo
def _getaddrinfo(host, *rest, **more):
    _local((host.decode() if isinstance(host, bytes) else host,))
    return _info(host, *rest, **more)
socket.getaddrinfo = _getaddrinfo
_wrote("guarded.log", "guarded")
"""
