"""The probe: how far a model sees, which halo that asks for, and how fast it runs here. Results need no torch."""
