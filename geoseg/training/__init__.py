"""Training: from labelled scenes to weights. Nothing that predicts imports from here."""
