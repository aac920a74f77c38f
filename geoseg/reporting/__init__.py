"""A run as one page to look at: what is counted, drawn and written for it. Reads only through functions handed in."""
