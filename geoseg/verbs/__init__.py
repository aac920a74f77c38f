"""One file per verb: composes rooms, holds no numerics, prints nothing."""
