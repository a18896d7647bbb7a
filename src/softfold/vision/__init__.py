"""Images: decoding, copies, pretrained backbones and what they make of an image."""
