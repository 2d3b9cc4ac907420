"""A connection to a server that can be cut: bytes go through as they are until then."""

import select
import socket
import threading


class CuttableProxy:
    """Listens on a port of its own for connections to `port`, from its making until `close`."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open = True
        self._is_cut = False
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self.accepted_count = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """Breaks all connections off, and every new one."""
        with self._lock:
            self._is_cut = True
            for each in self._sockets:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def mend(self) -> None:
        """Lets connections through again."""
        with self._lock:
            self._is_cut = False

    def close(self) -> None:
        """Ends it."""
        self._open = False
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while self._open:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.accepted_count += 1
            with self._lock:
                if self._is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._sockets |= {near, far}
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._carry, args=(near, far))
            self._threads.append(thread)
            thread.start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        others = {near: far, far: near}
        try:
            while True:
                for readable in select.select([near, far], [], [])[0]:
                    data = readable.recv(65536)
                    if not data:
                        return
                    others[readable].sendall(data)
        except OSError:
            pass
        finally:
            with self._lock:
                self._sockets -= {near, far}
            near.close()
            far.close()
