"""The first two lessons, 00 and 01: what the layer is for, this machine, how unequal words are."""
