"""What the server takes at most."""

UPLOAD = 256 * 2**20
"""Bytes of a photograph's file."""
BODY = 64 * 1024
"""Bytes of any other request."""
PHOTOS = 2000
"""Uploaded from one open page."""
DESKS = 64
"""Open pages."""
WAITING = 256
"""Jobs that wait, of all pages."""
DISK = 8 * 2**30
"""Bytes in the work folder of one open page."""
SPARE = 512 * 2**20
"""Bytes that must stay free on the disk."""
IDLE = 600.0
"""Seconds after which an open page that no browser listens to is taken for closed."""
READING = 300.0
"""Seconds in which an uploaded file has to be read. How long encoding takes is for the user to
choose."""
NAME = 200
"""Characters of a file's name."""
VIEW = 4096
"""Pixels of each side of a view."""
