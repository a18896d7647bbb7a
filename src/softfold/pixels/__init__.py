"""Image files as pixels: decoding, exact copies, files that are broken. Pillow, no torch."""
