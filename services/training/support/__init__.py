"""The head `support`: its data, real and made, and its calibration."""
