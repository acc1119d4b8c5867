"""Training the heads: examples from real data, from corpora and from recorded traffic, LoRA, calibration, cards."""
