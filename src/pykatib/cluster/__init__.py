"""What a person's computer does with a cluster in which the operator runs: asks, watches, and writes wishes down."""
