"""Images as features: pretrained backbones, what they make of an image, near copies."""
