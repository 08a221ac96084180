"""How files are built around the coded picture: boxes, segments, and the metadata in them."""
