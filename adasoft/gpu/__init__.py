"""The Triton kernels, and the one door to them."""
