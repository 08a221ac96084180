"""How good a picture is, and how good a codec is."""
