"""Networks, and all else that needs torch: import it inside of functions only."""
