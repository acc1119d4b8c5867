"""The head `evidence`: its data, real and made, and its calibration."""
