"""How N nodes' policies live on one device: loading, decoding, log-probs and updates."""
