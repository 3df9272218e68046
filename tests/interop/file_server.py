"""A small file server of Python's own: what it is given and asked for, it keeps."""

import contextlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, self.headers.get("Authorization"), body))
        self.answer(self.server.refusals.pop(0) if self.server.refusals else 201, b"")

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Authorization"), b""))
        body = self.server.files.get(self.path)
        self.answer(404 if body is None else 200, body or b"")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    context = None

    def finish_request(self, request, address):
        # The handshake is its own thread's: whoever hangs in one holds up nobody.
        if self.context:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, address)
        if self.context:
            with contextlib.suppress(OSError):
                request.unwrap()
            request.close()


@contextlib.contextmanager
def file_server(certificate=None):
    """Serves `files` (path: bytes); its first answers to uploads are `refusals`; `url` ends without a slash.

    With a file of its key and its certificate, for 127.0.0.1, over TLS.
    """
    with Server(("127.0.0.1", 0), Handler) as server:
        server.requests, server.refusals, server.files = [], [], {}
        if certificate:
            server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.context.load_cert_chain(certificate)
        server.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
